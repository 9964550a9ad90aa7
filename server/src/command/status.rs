//! `sluice status`: where an upload stands.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::Args;
use sluice_proto::client::{Client, ClientError};
use sluice_proto::error::ReceivedRefusal;
use sluice_proto::pb::{self, UploadState};
use sluice_proto::units::format_size;

use crate::command::{Connection, Exit, output};

/// Changes that come sooner after each other than a reader can follow are left out.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// More are of no use to a reader.
const RANGES_SHOWN: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The upload.
    #[arg(value_name = "ID")]
    upload_id: String,
    /// Waits for its end, telling of changes, at most once a second.
    #[arg(short, long)]
    wait: bool,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    connection.call(async |client| match arguments.wait {
        true => follow(&client, &arguments.upload_id).await,
        false => {
            output::line(describe(&client.status(&arguments.upload_id).await?));
            Ok(Exit::Done)
        }
    })
}

async fn follow(client: &Client, upload_id: &str) -> Result<Exit, ClientError> {
    let mut watch = client.watch(upload_id);
    let (mut told, mut told_at) = (String::new(), None);
    let mut state = UploadState::Unspecified;
    while let Some(upload) = watch.next().await? {
        state = upload.state();
        let text = describe_upload(&upload);
        let now = now();
        let soon = told_at.is_some_and(|told_at: Instant| now - told_at < TELL_INTERVAL);
        if text != told && (!soon || is_last(state)) {
            output::line(&text);
            (told, told_at) = (text, Some(now));
        }
    }
    Ok(if state == UploadState::Completed { Exit::Done } else { Exit::Refused })
}

fn is_last(state: UploadState) -> bool {
    use UploadState::{Aborted, Completed, Expired, Failed};
    matches!(state, Completed | Failed | Aborted | Expired)
}

fn describe(status: &pb::GetUploadStatusResponse) -> String {
    let mut text = describe_upload(status.upload.as_ref().unwrap_or(&pb::Upload::default()));
    if !status.missing_ranges.is_empty() {
        let _ = write!(text, "\nmissing {}", ranges(status));
    }
    text
}

fn describe_upload(upload: &pb::Upload) -> String {
    let state = state_name(upload.state());
    let size = |bytes: i64| format_size(u64::try_from(bytes).unwrap_or_default());
    let of = upload.expected_size_bytes.map_or(String::new(), |all| format!(" of {}", size(all)));
    let chunks = match upload.total_chunks {
        Some(total) => format!("{} of {total} chunks", upload.received_count),
        None => format!("{} chunks", upload.received_count),
    };
    let mut text = format!(
        "{state}  {}/{}  {}{of} in {chunks}  {} stored",
        upload.drive_id,
        output::printable(&upload.filename),
        size(upload.received_bytes),
        size(upload.stored_bytes),
    );
    if let Some(error) = &upload.error {
        let _ = write!(text, "\n{}", ReceivedRefusal::from_status(error));
    }
    text
}

/// As the contract has it, without what all states begin with.
pub(super) fn state_name(state: UploadState) -> &'static str {
    state.as_str_name().trim_start_matches("UPLOAD_STATE_")
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

#[expect(clippy::disallowed_methods, reason = "a person is told, and not too often")]
fn now() -> Instant {
    Instant::now()
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
                        FIELD_INVALID (code 3): bad\n\
                        missing 1-3, 4";
        assert_eq!(describe(&status), expected);
    }
}
