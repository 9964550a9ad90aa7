//! From an InitiateUpload message to what the shard understands: every field checked, the field
//! and its limit named in the refusal.

use std::collections::BTreeMap;

use sluice_proto::checksum::Sha256State;
use sluice_proto::{
    error::{Reason, Refusal},
    ids::{DriveId, Filename, NodeId, RequestId},
    limits::{
        METADATA_BYTES_MAX, METADATA_KEY_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX,
        MIME_TYPE_BYTES_MAX, SHA256_BYTES,
    },
    pb::{self, AckLevel},
};
use sluice_shard::record::UploadSpec;

use super::TENANT;
use crate::serve::s3;

/// What this server can promise and allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) max_upload_bytes: u64,
    pub(crate) max_chunk_bytes: u64,
    /// Acks survive this process.
    pub(crate) spooled: bool,
    /// The SHA-256 of every whole is computed.
    pub(crate) sha256: bool,
    /// Objects lie in S3, which takes little metadata.
    pub(crate) in_s3: bool,
}

/// Checks a request. `fresh_node_id` is used if the client named none.
pub(crate) fn spec(
    request: &pb::InitiateUploadRequest,
    payload_bytes: Option<u64>,
    fresh_node_id: NodeId,
    offer: Offer,
) -> Result<UploadSpec, Refusal> {
    let drive_id = DriveId::from_request(&request.drive_id)?;
    let node_id = match request.node_id.as_str() {
        "" => fresh_node_id,
        asked => NodeId::parse(asked).map_err(|error| error.refusal("node_id"))?,
    };
    let request_id = match request.request_id.as_str() {
        "" => None,
        asked => Some(RequestId::parse(asked).map_err(|error| error.refusal("request_id"))?),
    };
    let sha256 = sha256(&request.sha256)?;
    check_ack_level(request.ack_level, offer)?;
    let said_bytes =
        request.expected_size_bytes.map(|bytes| size("expected_size_bytes", bytes)).transpose()?;
    if let (Some(said), Some(came)) = (said_bytes, payload_bytes.filter(|&b| Some(b) != said_bytes))
    {
        let message = format!("the payload has {came} bytes; {said} were declared");
        return Err(Refusal::new(Reason::SizeMismatch, message).field("expected_size_bytes"));
    }
    let max_size_bytes = match size("max_size_bytes", request.max_size_bytes)? {
        0 => offer.max_upload_bytes,
        asked => asked.min(offer.max_upload_bytes),
    };
    let chunk_size_bytes = size("chunk_size_bytes", request.chunk_size_bytes)?;
    Ok(UploadSpec {
        tenant: TENANT.to_owned(),
        drive_id,
        node_id,
        filename: Filename::parse(&request.filename).map_err(|error| error.refusal("filename"))?,
        mime_type: mime_type(&request.mime_type)?,
        metadata: match offer.in_s3 {
            true => s3_metadata(&request.metadata)?,
            false => metadata(&request.metadata)?,
        },
        expected_size_bytes: said_bytes.or(payload_bytes),
        // The payload is one chunk, whatever was promised.
        chunk_size_bytes: (chunk_size_bytes > 0 && payload_bytes.is_none())
            .then_some(chunk_size_bytes),
        max_size_bytes,
        sha256,
        hash: offer.sha256 || sha256.is_some(),
        if_not_exists: request.if_not_exists,
        request_id,
        fingerprint: fingerprint(request, payload_bytes),
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> Result<Option<[u8; 32]>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(Some).map_err(|_length| {
        Refusal::invalid("sha256", format!("has {SHA256_BYTES} bytes"))
            .with("bytes", bytes.len())
            .with("limit", SHA256_BYTES)
    })
}

fn size(field: &'static str, bytes: i64) -> Result<u64, Refusal> {
    u64::try_from(bytes).map_err(|_negative| {
        Refusal::invalid(field, "can't be negative").with("value", bytes).with("minimum", 0)
    })
}

fn check_ack_level(asked: i32, offer: Offer) -> Result<(), Refusal> {
    match AckLevel::try_from(asked) {
        Ok(AckLevel::Unspecified | AckLevel::Received) => Ok(()),
        Ok(AckLevel::Spooled) if offer.spooled => Ok(()),
        Ok(AckLevel::Spooled) => {
            let message = "this server's layers keep chunks in memory alone";
            Err(Refusal::new(Reason::AckUnavailable, message).field("ack_level"))
        }
        Err(_) => Err(Refusal::invalid("ack_level", "is no AckLevel").with("value", asked)),
    }
}

fn mime_type(asked: &str) -> Result<String, Refusal> {
    let visible = asked.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if asked.len() > MIME_TYPE_BYTES_MAX || !visible {
        let rule = format!("has at most {MIME_TYPE_BYTES_MAX} bytes of visible ASCII");
        return Err(Refusal::invalid("mime_type", rule)
            .with("bytes", asked.len())
            .with("limit", MIME_TYPE_BYTES_MAX));
    }
    Ok(asked.to_owned())
}

fn metadata(
    asked: &std::collections::HashMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let over = |rule: String, found: usize, limit: usize| {
        Err(Refusal::invalid("metadata", rule).with("found", found).with("limit", limit))
    };
    if asked.len() > METADATA_PAIRS_MAX {
        return over(
            format!("has at most {METADATA_PAIRS_MAX} pairs"),
            asked.len(),
            METADATA_PAIRS_MAX,
        );
    }
    for (key, value) in asked {
        if key.is_empty() || key.len() > METADATA_KEY_BYTES_MAX {
            let rule = format!("a key has 1 to {METADATA_KEY_BYTES_MAX} bytes");
            return over(rule, key.len(), METADATA_KEY_BYTES_MAX);
        }
        if value.len() > METADATA_VALUE_BYTES_MAX {
            let rule = format!("a value has at most {METADATA_VALUE_BYTES_MAX} bytes");
            return over(rule, value.len(), METADATA_VALUE_BYTES_MAX);
        }
    }
    let all = asked.iter().map(|(key, value)| key.len() + value.len()).sum();
    if all > METADATA_BYTES_MAX {
        return over(
            format!("has at most {METADATA_BYTES_MAX} bytes in all"),
            all,
            METADATA_BYTES_MAX,
        );
    }
    Ok(asked.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The same for an object that is to carry it.
fn s3_metadata(
    asked: &std::collections::HashMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let checked = metadata(asked)?;
    s3::check_metadata(&checked)?;
    Ok(checked)
}

/// A digest of all that a client asked for, but its name for the request and the payload's bytes.
fn fingerprint(request: &pb::InitiateUploadRequest, payload_bytes: Option<u64>) -> [u8; 32] {
    let mut state = Sha256State::new();
    let mut part = |bytes: &[u8]| {
        state.update(&(bytes.len() as u64).to_be_bytes());
        state.update(bytes);
    };
    part(DriveId::from_request(&request.drive_id).as_ref().map_or("", |id| id.as_str()).as_bytes());
    part(request.node_id.as_bytes());
    part(request.filename.as_bytes());
    part(request.mime_type.as_bytes());
    for (key, value) in request.metadata.iter().collect::<BTreeMap<_, _>>() {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    part(&request.expected_size_bytes.unwrap_or(-1).to_be_bytes());
    part(&request.chunk_size_bytes.to_be_bytes());
    part(&request.max_size_bytes.to_be_bytes());
    part(&request.sha256);
    part(&[u8::from(request.if_not_exists)]);
    part(&request.ack_level.to_be_bytes());
    part(&payload_bytes.map_or(-1, |bytes| bytes as i64).to_be_bytes());
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer {
        max_upload_bytes: 1 << 40,
        max_chunk_bytes: 1 << 20,
        spooled: false,
        sha256: true,
        in_s3: false,
    };

    fn check(request: &pb::InitiateUploadRequest) -> Result<UploadSpec, Refusal> {
        spec(request, None, NodeId::parse("fresh").unwrap(), OFFER)
    }

    #[test]
    fn each_bad_field_is_named() {
        let ok = pb::InitiateUploadRequest { filename: "a".into(), ..Default::default() };
        assert_eq!(check(&ok).unwrap().node_id.as_str(), "fresh");
        let bad = |change: &dyn Fn(&mut pb::InitiateUploadRequest)| {
            let mut request = ok.clone();
            change(&mut request);
            check(&request).unwrap_err().field.unwrap()
        };
        assert_eq!(bad(&|r| r.filename = "a\nb".into()), "filename");
        assert_eq!(bad(&|r| r.node_id = "a/b".into()), "node_id");
        assert_eq!(bad(&|r| r.drive_id = "?".into()), "drive_id");
        assert_eq!(bad(&|r| r.sha256 = vec![0; 31].into()), "sha256");
        assert_eq!(bad(&|r| r.expected_size_bytes = Some(-1)), "expected_size_bytes");
        assert_eq!(bad(&|r| r.chunk_size_bytes = i64::MIN), "chunk_size_bytes");
        assert_eq!(bad(&|r| r.max_size_bytes = -1), "max_size_bytes");
        assert_eq!(bad(&|r| r.ack_level = 2), "ack_level");
        assert_eq!(bad(&|r| r.ack_level = 77), "ack_level");
        assert_eq!(bad(&|r| r.mime_type = "a\u{7f}".into()), "mime_type");
        assert_eq!(bad(&|r| r.metadata = [("".into(), "".into())].into()), "metadata");
    }

    #[test]
    fn a_fingerprint_tells_every_parameter_but_the_requests_name() {
        let one = pb::InitiateUploadRequest { filename: "a".into(), ..Default::default() };
        let print = |request: &pb::InitiateUploadRequest| fingerprint(request, None);
        let named = pb::InitiateUploadRequest { request_id: "r".into(), ..one.clone() };
        assert_eq!(print(&named), print(&one));
        let defaulted = pb::InitiateUploadRequest { drive_id: "default".into(), ..one.clone() };
        assert_eq!(print(&defaulted), print(&one));
        let moved = pb::InitiateUploadRequest {
            filename: String::new(),
            mime_type: "a".into(),
            ..one.clone()
        };
        assert_ne!(print(&moved), print(&one));
        assert_ne!(fingerprint(&one, Some(0)), print(&one));
    }
}
