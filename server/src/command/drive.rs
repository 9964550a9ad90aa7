//! `sluice drive`: the places that files are put on.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sluice_proto::pb;
use sluice_proto::units::parse_size;

use super::list::{self, Item, PAGE_ITEMS, Style};
use crate::command::{Connection, Exit, output};

#[derive(Debug, Subcommand)]
pub enum DriveCommand {
    /// Makes a drive; one that is there with the same parameters is left as it is.
    Create(CreateArguments),
    /// Lists the drives.
    Ls(LsArguments),
}

#[derive(Debug, Args)]
pub struct CreateArguments {
    /// What it is called: 1 to 128 of letters, digits, dot, dash and underscore.
    #[arg(value_name = "ID")]
    drive_id: String,
    /// Bucket that its objects are in [default: the server's].
    #[arg(long, default_value = "", hide_default_value = true)]
    bucket: String,
    /// What the key of each object begins with [default: nothing].
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Name of credentials in the server's settings [default: the server's own].
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    credentials_ref: String,
    /// Bytes that it may hold, such as 2T [default: no limit].
    #[arg(long, value_name = "SIZE", value_parser = quota)]
    quota: Option<i64>,
    /// Prints the drive as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct LsArguments {
    /// Prints one line of JSON a drive.
    #[arg(long)]
    json: bool,
}

pub fn run(command: &DriveCommand, connection: &Connection) -> Exit {
    match command {
        DriveCommand::Create(arguments) => create(arguments, connection),
        DriveCommand::Ls(arguments) => ls(arguments, connection),
    }
}

fn create(arguments: &CreateArguments, connection: &Connection) -> Exit {
    connection.call(async |client| {
        let request = pb::CreateDriveRequest {
            drive_id: arguments.drive_id.clone(),
            bucket: arguments.bucket.clone(),
            prefix: arguments.prefix.clone(),
            credentials_ref: arguments.credentials_ref.clone(),
            quota_bytes: arguments.quota.unwrap_or_default(),
        };
        let drive = client.create_drive(request).await?;
        match arguments.json {
            true => output::line(drive.json()),
            false => output::line(format_args!("created {}", drive.drive_id)),
        };
        Ok(Exit::Done)
    })
}

fn ls(arguments: &LsArguments, connection: &Connection) -> Exit {
    connection.call(async |client| {
        list::print(Style::of(arguments.json), async |page_token| {
            let request = pb::ListDrivesRequest { page_size: PAGE_ITEMS, page_token };
            let page = client.list_drives(request).await?;
            Ok((page.drives, page.next_page_token))
        })
        .await
    })
}

impl Item for pb::Drive {
    const HEADINGS: &'static [&'static str] =
        &["DRIVE", "QUOTA", "CREATED", "CREDENTIALS", "BUCKET", "PREFIX"];

    fn cells(&self, style: Style) -> Vec<String> {
        let quota = match self.quota_bytes {
            0 => String::new(),
            bytes => style.size(bytes),
        };
        vec![
            self.drive_id.clone(),
            quota,
            style.time(self.create_time.as_ref()),
            self.credentials_ref.clone(),
            self.bucket.clone(),
            self.prefix.clone(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "drive_id": self.drive_id,
            "bucket": self.bucket,
            "prefix": self.prefix,
            "credentials_ref": self.credentials_ref,
            "quota_bytes": self.quota_bytes,
            "create_time": Style::Json.time(self.create_time.as_ref()),
        })
    }
}

fn quota(text: &str) -> Result<i64, &'static str> {
    let bytes = parse_size(text).filter(|&bytes| bytes > 0);
    bytes.and_then(|bytes| i64::try_from(bytes).ok()).ok_or("needed is a size such as 2T")
}
