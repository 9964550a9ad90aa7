//! What there is of multiparts, a page at a time.

use std::collections::BTreeMap;

use http::Method;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    checksums::{read_crc32c, read_crc64nvme},
    client::Bucket,
    error::S3Error,
    multipart::{Part, read},
    request::Call,
    xml::{self, bare_etag, full, is_true, number},
};

/// What a page has at most; S3's own limit.
const PAGE: &str = "1000";

/// Some parts of a multipart, by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartsPage {
    /// At most a thousand.
    pub parts: Vec<Part>,
    /// Whether there are no more behind them.
    pub is_last: bool,
}

/// A multipart that is neither completed nor aborted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multipart {
    /// Of the object that it is to be.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was begun, Unix ms by the store's clock, where it says so.
    pub initiated_ms: Option<u64>,
}

/// Some multiparts, by their key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultipartsPage {
    /// At most a thousand.
    pub multiparts: Vec<Multipart>,
    /// What the next page comes behind; `None`: this is the last one.
    pub next: Option<Multipart>,
}

impl Bucket {
    /// Up to a thousand parts whose number is greater than `after`.
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::NoSuchUpload`] where the multipart is over.
    pub async fn list_parts(
        &self,
        key: &str,
        upload_id: &str,
        after: u32,
    ) -> Result<PartsPage, S3Error> {
        let after_text = after.to_string();
        let mut query = vec![("uploadId", upload_id), ("max-parts", PAGE)];
        if after > 0 {
            query.push(("part-number-marker", &after_text));
        }
        let answer = self.ask_of_multipart(Call { query, ..Call::new(Method::GET, key) }).await?;
        let list: xml::ListedParts = read(&answer.text)?;
        let is_last = !is_true(list.is_truncated.as_ref());
        let parts = newest(list.parts)?;
        let has_gone_on = parts.iter().all(|part| part.number > after);
        if !has_gone_on || (parts.is_empty() && !is_last) {
            return Err(S3Error::answer("the list doesn't go on"));
        }
        Ok(PartsPage { parts, is_last })
    }

    /// Up to a thousand multiparts of keys that begin with `prefix`, behind `after`: see
    /// [`MultipartsPage::next`].
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn list_multiparts(
        &self,
        prefix: &str,
        after: Option<&Multipart>,
    ) -> Result<MultipartsPage, S3Error> {
        let mut query = vec![("uploads", ""), ("prefix", prefix), ("max-uploads", PAGE)];
        if let Some(after) = after {
            query.push(("key-marker", &after.key));
            query.push(("upload-id-marker", &after.upload_id));
        }
        let answer = self.ask(Call { query, ..Call::new(Method::GET, "") }).await?;
        let list: xml::ListedMultiparts = read(&answer.text)?;
        let multiparts = list.uploads.into_iter().map(multipart).collect::<Result<Vec<_>, _>>()?;
        let mut next = None;
        if is_true(list.is_truncated.as_ref()) {
            let told = full(list.next_key_marker).map(|key| {
                let upload_id = list.next_upload_id_marker.unwrap_or_default();
                Multipart { key, upload_id, initiated_ms: None }
            });
            next = told.or_else(|| multiparts.last().cloned());
            let place =
                |multipart: &Multipart| (multipart.key.clone(), multipart.upload_id.clone());
            if next.is_none() || next.as_ref().map(place) == after.map(place) {
                return Err(S3Error::answer("the list doesn't go on"));
            }
        }
        Ok(MultipartsPage { multiparts, next })
    }
}

/// SeaweedFS names a part that was sent twice twice; the one that counts has the later time.
fn newest(listed: Vec<xml::ListedPart>) -> Result<Vec<Part>, S3Error> {
    let mut parts: BTreeMap<u32, (Option<OffsetDateTime>, Part)> = BTreeMap::new();
    for one in listed {
        let stored_at = one.last_modified.as_deref().and_then(time_of);
        let part = part(one)?;
        let is_older = parts.get(&part.number).is_some_and(|(other, _)| *other > stored_at);
        if !is_older {
            parts.insert(part.number, (stored_at, part));
        }
    }
    Ok(parts.into_values().map(|(_, part)| part).collect())
}

fn time_of(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

fn part(listed: xml::ListedPart) -> Result<Part, S3Error> {
    let number = number(listed.number.as_ref());
    Ok(Part {
        number: number.ok_or_else(|| S3Error::answer("a part has no number"))?,
        etag: bare_etag(&listed.etag.unwrap_or_default()),
        bytes: xml::number(listed.bytes.as_ref())
            .ok_or_else(|| S3Error::answer("a part has no size"))?,
        crc32c: listed.crc32c.as_deref().and_then(read_crc32c),
        crc64nvme: listed.crc64nvme.as_deref().and_then(read_crc64nvme),
    })
}

fn multipart(listed: xml::ListedMultipart) -> Result<Multipart, S3Error> {
    let (Some(key), Some(upload_id)) = (full(listed.key), full(listed.upload_id)) else {
        return Err(S3Error::answer("an upload has no key or id"));
    };
    let initiated = listed.initiated.as_deref().and_then(time_of);
    let initiated_ms = initiated.and_then(|at| u64::try_from(at.unix_timestamp()).ok());
    Ok(Multipart { key, upload_id, initiated_ms: initiated_ms.map(|seconds| seconds * 1000) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: &str, etag: &str, at: Option<&str>) -> xml::ListedPart {
        xml::ListedPart {
            number: Some(number.to_owned()),
            etag: Some(etag.to_owned()),
            bytes: Some("1".to_owned()),
            last_modified: at.map(str::to_owned),
            ..xml::ListedPart::default()
        }
    }

    #[test]
    fn of_a_part_that_is_named_twice_the_newest_counts() {
        let (old, new) = (Some("2026-01-01T00:00:00.000Z"), Some("2026-01-01T00:00:01.000Z"));
        let list = vec![
            listed("1", "old", old),
            listed("1", "new", new),
            listed("2", "new", new),
            listed("2", "old", old),
            listed("3", "first", None),
            listed("3", "last", None),
        ];
        let etags: Vec<_> = newest(list).unwrap().into_iter().map(|part| part.etag).collect();
        assert_eq!(etags, ["new", "new", "last"]);
    }

    #[test]
    fn a_part_without_a_number_or_a_size_is_no_answer() {
        let nameless =
            xml::ListedPart { bytes: Some("1".to_owned()), ..xml::ListedPart::default() };
        assert_eq!(newest(vec![nameless]).unwrap_err().code, "Answer");
        let sizeless = xml::ListedPart { bytes: None, ..listed("1", "e", None) };
        assert_eq!(newest(vec![sizeless]).unwrap_err().code, "Answer");
    }
}
