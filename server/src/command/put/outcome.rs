//! What is told of one file on stdout, as text or as one line of JSON.

use serde_json::{Value, json};
use sluice_proto::client::{ClientError, UploadReport};
use sluice_proto::units::format_size;

use super::Arguments;
use super::one::{Failure, Stored};
use crate::command::output::hex;
use crate::command::{Exit, output};

/// Tells of a file that is stored: `path` is the user's name for it, `name` the server's.
pub(super) fn tell_stored(arguments: &Arguments, path: &str, name: &str, stored: &Stored) {
    let (drive, report, seconds) = (&arguments.drive, &stored.report, stored.seconds);
    match arguments.json {
        true => output::line(stored_json(drive, path, report, seconds)),
        false => output::line(stored_text(drive, &output::printable(name), report, seconds)),
    };
}

/// Tells why one isn't.
pub(super) fn tell_failed(arguments: &Arguments, path: &str, failure: &Failure) {
    let text = match failure {
        Failure::Unreadable(error) => error.to_string(),
        Failure::Upload { error, exit } => {
            if arguments.json {
                output::line(failed_json(path, error, *exit));
            }
            describe(error)
        }
    };
    output::problem(format_args!("{}: {text}", output::printable(path)));
}

/// `stored default/big.iso  crc64nvme=…  sha256=…  3.2 s`; sums are those that the server has.
fn stored_text(drive: &str, name: &str, report: &UploadReport, seconds: f64) -> String {
    let mut text = format!("stored {drive}/{name}");
    let sums = [("crc64nvme", &report.object.crc64nvme), ("sha256", &report.object.sha256)];
    for (sum, value) in sums.into_iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("  {sum}={}", hex(value));
    }
    text + &format!("  {}  {seconds:.1} s", format_size(report.size_bytes))
}

/// The same for programs; names as in the contract.
fn stored_json(drive: &str, file: &str, report: &UploadReport, seconds: f64) -> Value {
    let object = &report.object;
    json!({
        "file": file,
        "upload_id": report.upload_id,
        "drive_id": drive,
        "node_id": report.node_id,
        "bucket": object.bucket,
        "key": object.key,
        "etag": object.etag,
        "version_id": object.version_id,
        "size_bytes": report.size_bytes,
        "resumed_bytes": report.resumed_bytes,
        "crc64nvme": hex(&object.crc64nvme),
        "sha256": hex(&object.sha256),
        "seconds": seconds,
    })
}

/// Why a file was not stored, for programs.
fn failed_json(file: &str, error: &ClientError, exit: Exit) -> Value {
    let refusal = match error {
        ClientError::Refused(refusal) => Some(refusal),
        ClientError::Ended { error, .. } => error.as_ref(),
        _ => None,
    };
    let reason = refusal.and_then(|refusal| refusal.reason).map(|reason| reason.as_str());
    json!({
        "file": file,
        "error": describe(error),
        "reason": reason,
        "can_resume": exit == Exit::Resumable,
    })
}

/// The error and what is behind it, on one line.
pub(super) fn describe(error: &ClientError) -> String {
    match error {
        ClientError::Ended { error: Some(cause), .. } => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_proto::pb::ObjectInfo;

    fn report() -> UploadReport {
        let object = ObjectInfo {
            crc64nvme: 7_u64.to_be_bytes().to_vec().into(),
            sha256: vec![0xab; 32].into(),
            ..Default::default()
        };
        UploadReport {
            upload_id: "u".into(),
            node_id: "n".into(),
            object,
            size_bytes: 2048,
            crc64nvme: 7,
            resumed_bytes: 0,
        }
    }

    #[test]
    fn the_sums_can_be_compared_with_other_tools() {
        let text = stored_text("default", "big.iso", &report(), 3.21);
        let sha256 = "ab".repeat(32);
        let expected = format!(
            "stored default/big.iso  crc64nvme=0000000000000007  sha256={sha256}  2.0 KiB  3.2 s"
        );
        assert_eq!(text, expected);
        let read = stored_json("default", "/big.iso", &report(), 3.21);
        assert_eq!((&read["sha256"], &read["size_bytes"]), (&sha256.into(), &2048.into()));
        assert_eq!(read["crc64nvme"], "0000000000000007");
    }

    #[test]
    fn no_sum_is_told_that_the_server_does_not_have() {
        let report = UploadReport { object: ObjectInfo::default(), ..report() };
        let text = stored_text("default", "big.iso", &report, 3.21);
        assert_eq!(text, "stored default/big.iso  2.0 KiB  3.2 s");
        assert_eq!(stored_json("default", "/big.iso", &report, 3.21)["crc64nvme"], "");
    }

    #[test]
    fn a_failure_says_whether_to_run_it_again() {
        let error = ClientError::Integrity { sent: 1, stored: 2 };
        let read = failed_json("f", &error, Exit::Integrity);
        assert_eq!(read["can_resume"], false);
        assert!(read["error"].as_str().unwrap().contains("CRC-64"));
    }
}
