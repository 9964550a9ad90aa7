//! `sluice status`: where an upload stands.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use sluice_proto::client::{Client, ClientError};
use sluice_proto::error::ReceivedRefusal;
use sluice_proto::pb::{self, UploadState};

use crate::command::connection::runtime;
use crate::command::{Connection, Exit, output};
use sluice_proto::units::format_size;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// More are of no use to a reader.
const RANGES_SHOWN: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The upload.
    #[arg(value_name = "ID")]
    upload_id: String,
    /// Waits for its end, telling every change.
    #[arg(short, long)]
    wait: bool,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    let told = runtime().map(|runtime| {
        runtime.block_on(async {
            let client = connection.open().await?;
            tell(&client, arguments).await
        })
    });
    match told {
        Ok(Ok(state)) if arguments.wait && state != UploadState::Completed => Exit::Refused,
        Ok(Ok(_)) => Exit::Done,
        Ok(Err(error)) => {
            eprintln!("sluice: {error}");
            Exit::of(&error, false)
        }
        Err(error) => {
            eprintln!("sluice: {error}");
            Exit::Failed
        }
    }
}

async fn tell(client: &Client, arguments: &Arguments) -> Result<UploadState, ClientError> {
    let mut last = String::new();
    loop {
        let status = client.status(&arguments.upload_id).await?;
        let text = describe(&status);
        if text != last {
            output::line(&text);
        }
        let state = status.upload.unwrap_or_default().state();
        if !arguments.wait || is_last(state) {
            return Ok(state);
        }
        last = text;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_last(state: UploadState) -> bool {
    use UploadState::{Aborted, Completed, Expired, Failed};
    matches!(state, Completed | Failed | Aborted | Expired)
}

fn describe(status: &pb::GetUploadStatusResponse) -> String {
    let upload = status.upload.clone().unwrap_or_default();
    let state = upload.state().as_str_name().trim_start_matches("UPLOAD_STATE_");
    let size = |bytes: i64| format_size(u64::try_from(bytes).unwrap_or_default());
    let of = upload.expected_size_bytes.map_or(String::new(), |all| format!(" of {}", size(all)));
    let chunks = match upload.total_chunks {
        Some(total) => format!("{} of {total} chunks", upload.received_count),
        None => format!("{} chunks", upload.received_count),
    };
    let mut text = format!(
        "{state}  {}/{}  {}{of} in {chunks}  {} stored",
        upload.drive_id,
        upload.filename,
        size(upload.received_bytes),
        size(upload.stored_bytes),
    );
    if !status.missing_ranges.is_empty() {
        let _ = write!(text, "\nmissing {}", ranges(status));
    }
    if let Some(error) = &upload.error {
        let _ = write!(text, "\n{}", ReceivedRefusal::from_status(error));
    }
    text
}

fn ranges(status: &pb::GetUploadStatusResponse) -> String {
    let shown = status.missing_ranges.iter().take(RANGES_SHOWN).map(|range| {
        match range.first == range.last {
            true => range.first.to_string(),
            false => format!("{}-{}", range.first, range.last),
        }
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if status.missing_ranges.len() > RANGES_SHOWN || !status.next_page_token.is_empty() {
        text.push_str(" and more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_why_it_failed_is_told() {
        let error = sluice_proto::error::Refusal::invalid("f", "bad").to_status();
        let upload = pb::Upload {
            drive_id: "default".into(),
            filename: "a".into(),
            state: UploadState::Failed.into(),
            received_bytes: 1024,
            received_count: 2,
            total_chunks: Some(5),
            expected_size_bytes: Some(4096),
            error: Some(error),
            ..Default::default()
        };
        let missing_ranges =
            [(1, 3), (4, 4)].map(|(first, last)| pb::ChunkRange { first, last }).to_vec();
        let status = pb::GetUploadStatusResponse {
            upload: Some(upload),
            missing_ranges,
            ..Default::default()
        };
        let expected = "FAILED  default/a  1.0 KiB of 4.0 KiB in 2 of 5 chunks  0 B stored\n\
                        missing 1-3, 4\n\
                        FIELD_INVALID (code 3): bad";
        assert_eq!(describe(&status), expected);
    }
}
