//! What an object is stored with beside its bytes.

use data_encoding::HEXLOWER;
use sluice_io::s3::{self, ObjectOptions};
use sluice_proto::{error::Refusal, ids::UploadId, limits::SHA256_BYTES};
use sluice_shard::record::UploadRecord;

use crate::config;

/// Whose object it is: what a lost answer is settled by.
pub(super) const UPLOAD_ID: &str = "sluice-upload-id";
/// Of the whole, in hex, where it was known before.
const SHA256: &str = "sluice-sha256";
/// A client's own names don't begin so.
const OURS: &str = "sluice-";

/// What an upload's object is stored with.
pub(super) fn of(
    record: &UploadRecord,
    sha256: Option<[u8; 32]>,
    settings: &config::S3,
) -> ObjectOptions {
    let spec = &record.spec;
    let mut metadata = vec![(UPLOAD_ID.to_owned(), record.upload_id.to_string())];
    metadata.extend(sha256.map(|sum| (SHA256.to_owned(), HEXLOWER.encode(&sum))));
    metadata.extend(spec.metadata.iter().map(|(name, value)| (name.clone(), value.clone())));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ObjectOptions {
        content_type: some(&spec.mime_type),
        filename: some(spec.filename.as_str()),
        cache_control: settings.cache_control.clone(),
        storage_class: settings.storage_class.clone(),
        encryption: settings.encryption.clone(),
        tags: settings.tags.clone(),
        metadata,
        if_none_match: false,
    }
}

/// Whether an object can be stored with this metadata of a client.
pub(in crate::serve) fn check_metadata<'a>(
    asked: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), Refusal> {
    let mut all: Vec<_> = asked.into_iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    let is_ours = |name: &str| name.get(..OURS.len()).is_some_and(|n| n.eq_ignore_ascii_case(OURS));
    if let Some((name, _)) = all.iter().find(|(name, _)| is_ours(name)) {
        let message = format!("{name:?} begins with {OURS}, which is for the server's own");
        return Err(Refusal::invalid("metadata", message));
    }
    // What the server adds, at its longest.
    all.push((UPLOAD_ID.to_owned(), "0".repeat(UploadId::TEXT_BYTES)));
    all.push((SHA256.to_owned(), "0".repeat(2 * SHA256_BYTES)));
    s3::check_metadata(&all).map_err(|error| {
        Refusal::invalid("metadata", error.to_string())
            .with("found", s3::metadata_bytes(&all))
            .with("limit", s3::METADATA_BYTES_MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_no_object_can_carry_is_refused_with_the_figure() {
        let check = |name: &str, value: &str| {
            check_metadata(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        check("project", "gr\u{fc}n").unwrap();
        let long = check("a", &"x".repeat(2000)).unwrap_err();
        assert_eq!(long.field, Some("metadata"));
        assert!(long.metadata.contains(&("limit", "2048".to_owned())), "{long:?}");
        check("no spaces", "a").unwrap_err();
        check("Sluice-upload-id", "forged").unwrap_err();
        // No boundary of a character there.
        check("sluic\u{fc}", "a").unwrap_err();
    }
}
