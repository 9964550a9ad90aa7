//! What is done to whole objects.

use bytes::Bytes;

use super::{
    Refusal,
    answer::{Answer, quoted},
    bucket::{Object, Said, Store, length},
    calendar,
    record::Asked,
    sums,
};

const KEY_BYTES_MAX: usize = 1_024;

impl Store {
    pub(super) fn put_object(
        &mut self,
        asked: &Asked,
        body: Vec<Bytes>,
        now_s: i64,
    ) -> Result<Answer, Refusal> {
        self.bucket(&asked.bucket)?;
        key_verified(asked)?;
        self.none_match_verified(asked)?;
        let sums = sums::verified(asked, &body, &self.abilities)?;
        let (etag, said) = (self.etag(&sums::md5(&body)), Said::of(asked));
        let version_id = self.version_id();
        let mut answer = Answer::new(200).header("etag", &quoted(&etag));
        answer.headers.extend(said.encryption());
        answer.headers.extend(sums.iter().map(|(name, sum)| (name.header(), sum.clone())));
        if let Some(id) = &version_id {
            answer = answer.header("x-amz-version-id", id);
        }
        let Said { metadata, headers } = said;
        let key = asked.key.clone();
        self.bucket(&asked.bucket)?.insert(Object {
            key,
            etag,
            metadata,
            headers,
            parts: None,
            sums,
            version_id,
            modified_s: now_s,
            pieces: body,
        });
        Ok(answer)
    }

    pub(super) fn get_object(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        let object = self.bucket(&asked.bucket)?.object(&asked.key);
        let object = object.ok_or_else(Refusal::no_such_key)?;
        let whole = object.length();
        let range = match asked.header("range") {
            Some(text) => range(text, whole)?,
            None => None,
        };
        let mut answer = Answer::new(if range.is_some() { 206 } else { 200 });
        answer.headers = told(object, asked);
        let (first, length) = range.unwrap_or((0, whole));
        if range.is_some() {
            let range = format!("bytes {first}-{}/{whole}", first + length - 1);
            answer = answer.header("content-range", &range);
        }
        answer.length = Some(length);
        if asked.method == "GET" {
            answer.body = cut(&object.pieces, first, length);
        }
        Ok(answer)
    }

    pub(super) fn delete_object(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        let marker = self.version_id();
        let bucket = self.bucket(&asked.bucket)?;
        let answer = Answer::new(204);
        let Some(marker) = marker else {
            bucket.objects.remove(&asked.key);
            return Ok(answer);
        };
        if let Some(wanted) = asked.query("versionId") {
            let versions = bucket.objects.entry(asked.key.clone()).or_default();
            let is_it = |version: &Option<Object>| {
                version.as_ref().is_some_and(|object| object.version_id.as_deref() == Some(wanted))
            };
            versions.retain(|version| !is_it(version));
            return Ok(answer.header("x-amz-version-id", wanted));
        }
        bucket.objects.entry(asked.key.clone()).or_default().push(None);
        Ok(answer.header("x-amz-delete-marker", "true").header("x-amz-version-id", &marker))
    }

    /// `If-None-Match: *`: nothing must be there.
    pub(super) fn none_match_verified(&mut self, asked: &Asked) -> Result<(), Refusal> {
        if asked.header("if-none-match") != Some("*") || !self.abilities.if_none_match {
            return Ok(());
        }
        match self.bucket(&asked.bucket)?.object(&asked.key) {
            Some(_) => Err(Refusal::precondition_failed()),
            None => Ok(()),
        }
    }
}

pub(super) fn key_verified(asked: &Asked) -> Result<(), Refusal> {
    if asked.key.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::new(400, "KeyTooLongError", "Your key is too long"))
}

/// The headers that tell of an object.
fn told(object: &Object, asked: &Asked) -> Vec<(String, String)> {
    let untold = |name: &str| {
        name.starts_with("x-amz-acl") || (name == "x-amz-storage-class" && object.is_standard())
    };
    let mut headers = vec![
        ("etag".into(), quoted(&object.etag)),
        ("last-modified".into(), calendar::http(object.modified_s)),
        ("accept-ranges".into(), "bytes".into()),
    ];
    for (name, value) in &object.headers {
        if name == "x-amz-tagging" {
            let tags = value.split('&').filter(|tag| !tag.is_empty()).count();
            headers.push(("x-amz-tagging-count".into(), tags.to_string()));
        } else if !untold(name) {
            headers.push((name.clone(), value.clone()));
        }
    }
    let meta = object.metadata.iter();
    headers.extend(meta.map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone())));
    if asked.header("x-amz-checksum-mode") == Some("ENABLED") && asked.header("range").is_none() {
        headers.extend(object.sums.iter().map(|(name, sum)| (name.header(), sum.clone())));
        let is_composite = object.sums.iter().any(|(_, sum)| sum.contains('-'));
        let kind = if is_composite { "COMPOSITE" } else { "FULL_OBJECT" };
        headers.push(("x-amz-checksum-type".into(), kind.into()));
    }
    headers.extend(object.version_id.iter().map(|id| ("x-amz-version-id".into(), id.clone())));
    headers
}

impl Object {
    fn is_standard(&self) -> bool {
        self.headers.get("x-amz-storage-class").is_none_or(|class| class == "STANDARD")
    }
}

/// First byte and length of `bytes=a-b`, `a-` or `-n`; another text is no range, as HTTP has it.
fn range(text: &str, whole: u64) -> Result<Option<(u64, u64)>, Refusal> {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last),
        (Ok(first), Err(_)) if last.is_empty() => (first, u64::MAX),
        (Err(_), Ok(last)) if first.is_empty() => (whole.saturating_sub(last), u64::MAX),
        _ => return Ok(None),
    };
    if first >= whole {
        let message = "The requested range is not satisfiable";
        return Err(Refusal::new(416, "InvalidRange", message));
    }
    Ok(Some((first, last.min(whole - 1) - first + 1)))
}

/// Those bytes, without a copy.
fn cut(pieces: &[Bytes], first: u64, length_bytes: u64) -> Vec<Bytes> {
    let mut cut = Vec::new();
    let (mut skip, mut left) = (first, length_bytes);
    for piece in pieces {
        let from = skip.min(piece.len() as u64);
        let to = (from + left).min(piece.len() as u64);
        (skip, left) = (skip - from, left - (to - from));
        if from < to {
            // Both are within the piece.
            cut.push(piece.slice(from as usize..to as usize));
        }
    }
    assert_eq!(length(&cut), length_bytes, "a range within the object");
    cut
}

#[test]
fn ranges_are_read_as_http_has_them() {
    assert_eq!(range("bytes=0-3", 10), Ok(Some((0, 4))));
    assert_eq!(range("bytes=8-99", 10), Ok(Some((8, 2))));
    assert_eq!(range("bytes=4-", 10), Ok(Some((4, 6))));
    assert_eq!(range("bytes=-3", 10), Ok(Some((7, 3))));
    assert_eq!(range("pages=1-2", 10), Ok(None));
    assert_eq!(range("bytes=10-", 10).unwrap_err().status, 416);
    let pieces = [Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"defg")];
    assert_eq!(cut(&pieces, 2, 3).concat(), b"cde");
}
