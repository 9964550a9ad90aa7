//! `sluice uploads`: what is on its way, and what ended lately.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sluice_proto::error::ReceivedRefusal;
use sluice_proto::pb::{self, UploadState};

use super::list::{self, Item, PAGE_ITEMS, Style, object_json};
use super::status::state_name;
use crate::command::{Connection, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Drive to look at.
    #[arg(long, default_value = "default")]
    drive: String,
    /// Only uploads in this state.
    #[arg(long, value_enum)]
    state: Option<In>,
    /// Prints one line of JSON an upload.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum In {
    Pending,
    Uploading,
    Completing,
    Completed,
    Failed,
    Aborted,
    Expired,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    let state = match arguments.state {
        None => UploadState::Unspecified,
        Some(In::Pending) => UploadState::Pending,
        Some(In::Uploading) => UploadState::Uploading,
        Some(In::Completing) => UploadState::Completing,
        Some(In::Completed) => UploadState::Completed,
        Some(In::Failed) => UploadState::Failed,
        Some(In::Aborted) => UploadState::Aborted,
        Some(In::Expired) => UploadState::Expired,
    };
    connection.call(async |client| {
        list::print(Style::of(arguments.json), async |page_token| {
            let request = pb::ListUploadsRequest {
                drive_id: arguments.drive.clone(),
                state: state.into(),
                page_size: PAGE_ITEMS,
                page_token,
                ..Default::default()
            };
            let page = client.list_uploads(request).await?;
            Ok((page.uploads, page.next_page_token))
        })
        .await
    })
}

impl Item for pb::Upload {
    const HEADINGS: &'static [&'static str] =
        &["STATE", "RECEIVED", "OF", "CREATED", "UPLOAD", "NAME"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            state_name(self.state()).to_owned(),
            style.size(self.received_bytes),
            self.expected_size_bytes.map_or(String::new(), |bytes| style.size(bytes)),
            style.time(self.create_time.as_ref()),
            self.upload_id.clone(),
            self.filename.clone(),
        ]
    }

    fn json(&self) -> Value {
        let error = self.error.as_ref().map(|error| {
            let read = ReceivedRefusal::from_status(error);
            json!({ "reason": read.reason.map(|reason| reason.as_str()), "message": read.message })
        });
        json!({
            "upload_id": self.upload_id,
            "drive_id": self.drive_id,
            "node_id": self.node_id,
            "filename": self.filename,
            "mime_type": self.mime_type,
            "metadata": self.metadata,
            "state": state_name(self.state()),
            "received_bytes": self.received_bytes,
            "received_count": self.received_count,
            "stored_bytes": self.stored_bytes,
            "total_chunks": self.total_chunks,
            "expected_size_bytes": self.expected_size_bytes,
            "chunk_size_bytes": self.chunk_size_bytes,
            "create_time": Style::Json.time(self.create_time.as_ref()),
            "update_time": Style::Json.time(self.update_time.as_ref()),
            "expire_time": Style::Json.time(self.expire_time.as_ref()),
            "error": error,
            "object": object_json(self.object.as_ref()),
        })
    }
}
