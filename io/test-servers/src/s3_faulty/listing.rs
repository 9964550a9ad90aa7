//! Lists, in pages.

use super::{
    Refusal,
    answer::{Answer, element, etag_element},
    bucket::{Store, length},
    calendar, encoding,
    record::Asked,
};

/// How many entries a page has, and how names are written on it.
struct Page<'a> {
    asked: &'a Asked,
    entries_max: usize,
}

impl<'a> Page<'a> {
    fn new(asked: &'a Asked, limit: &str, store: &Store) -> Result<Self, Refusal> {
        let entries_max = match asked.query(limit) {
            None => usize::MAX,
            Some(text) => text.parse().map_err(|_| {
                Refusal::invalid_argument(&format!("Provided {limit} not an integer"))
            })?,
        };
        if asked.query("delimiter").is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(Refusal::not_implemented("delimiter"));
        }
        Ok(Self { asked, entries_max: entries_max.min(store.abilities.page_entries_max) })
    }

    fn key(&self, name: &str, key: &str) -> String {
        if self.asked.query("encoding-type") == Some("url") {
            return element(name, &encoding::encode_path(key));
        }
        element(name, key)
    }

    fn asked(&self, name: &str) -> &str {
        self.asked.query(name).unwrap_or_default()
    }

    fn begin(&self) -> String {
        let kind = self.asked.query("encoding-type");
        kind.map(|kind| element("EncodingType", kind)).unwrap_or_default()
    }
}

impl Store {
    pub(super) fn list_parts(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        let page = Page::new(asked, "max-parts", self)?;
        let marker: u16 = page.asked("part-number-marker").parse().unwrap_or(0);
        let multipart = self.multipart(asked)?;
        let mut inner = element("Bucket", &asked.bucket)
            + &page.key("Key", &asked.key)
            + &element("UploadId", asked.upload_id.as_deref().unwrap_or_default())
            + &element("StorageClass", "STANDARD")
            + &element("PartNumberMarker", &marker.to_string());
        let mut rest = multipart.parts.range(marker.saturating_add(1)..);
        let mut last = marker;
        for (number, part) in rest.by_ref().take(page.entries_max) {
            last = *number;
            let mut entry = element("PartNumber", &number.to_string())
                + &element("LastModified", &calendar::extended(part.modified_s))
                + &etag_element(&part.etag)
                + &element("Size", &length(&part.pieces).to_string());
            for (algorithm, sum) in &part.sums {
                entry += &element(&algorithm.element(), sum);
            }
            inner += &format!("<Part>{entry}</Part>");
        }
        let is_truncated = rest.next().is_some();
        if is_truncated {
            inner += &element("NextPartNumberMarker", &last.to_string());
        }
        inner += &element("MaxParts", &page.entries_max.to_string());
        inner += &element("IsTruncated", &is_truncated.to_string());
        Ok(Answer::xml("ListPartsResult", &inner))
    }

    pub(super) fn list_multiparts(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        let page = Page::new(asked, "max-uploads", self)?;
        let (key, id) = (page.asked("key-marker"), page.asked("upload-id-marker"));
        // Without an id the key's own uploads are before the marker, too.
        let is_beyond = |at: &(String, String)| {
            at.0.as_str() > key || (at.0 == key && !id.is_empty() && at.1.as_str() > id)
        };
        let mut inner = page.begin()
            + &element("Bucket", &asked.bucket)
            + &page.key("Prefix", page.asked("prefix"))
            + &page.key("KeyMarker", key)
            + &element("UploadIdMarker", id);
        let bucket = self.bucket(&asked.bucket)?;
        let mut rest = bucket
            .multiparts
            .iter()
            .filter(|(at, _)| at.0.starts_with(page.asked("prefix")) && is_beyond(at));
        let mut last = None;
        for (at, multipart) in rest.by_ref().take(page.entries_max) {
            last = Some(at);
            let entry = page.key("Key", &at.0)
                + &element("UploadId", &at.1)
                + &element("StorageClass", "STANDARD")
                + &element("Initiated", &calendar::extended(multipart.begun_s));
            inner += &format!("<Upload>{entry}</Upload>");
        }
        let is_truncated = rest.next().is_some();
        if let (true, Some((key, id))) = (is_truncated, last) {
            inner += &page.key("NextKeyMarker", key);
            inner += &element("NextUploadIdMarker", id);
        }
        inner += &element("MaxUploads", &page.entries_max.to_string());
        inner += &element("IsTruncated", &is_truncated.to_string());
        Ok(Answer::xml("ListMultipartUploadsResult", &inner))
    }

    pub(super) fn list_objects(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        let page = Page::new(asked, "max-keys", self)?;
        let token = page.asked("continuation-token");
        let after =
            if token.is_empty() { page.asked("start-after").into() } else { unmark(token)? };
        let mut inner = page.begin()
            + &element("Name", &asked.bucket)
            + &page.key("Prefix", page.asked("prefix"));
        let bucket = self.bucket(&asked.bucket)?;
        let mut rest = bucket
            .all()
            .filter(|object| object.key.starts_with(page.asked("prefix")) && object.key > after);
        let (mut count, mut last) = (0, "");
        for object in rest.by_ref().take(page.entries_max) {
            (count, last) = (count + 1, object.key.as_str());
            let class =
                object.headers.get("x-amz-storage-class").map_or("STANDARD", String::as_str);
            let entry = page.key("Key", &object.key)
                + &element("LastModified", &calendar::extended(object.modified_s))
                + &etag_element(&object.etag)
                + &element("Size", &object.length().to_string())
                + &element("StorageClass", class);
            inner += &format!("<Contents>{entry}</Contents>");
        }
        let is_truncated = rest.next().is_some();
        if is_truncated {
            inner += &element("NextContinuationToken", &mark(last));
        }
        inner += &element("KeyCount", &count.to_string());
        inner += &element("MaxKeys", &page.entries_max.to_string());
        inner += &element("IsTruncated", &is_truncated.to_string());
        Ok(Answer::xml("ListBucketResult", &inner))
    }
}

/// A token that nobody takes for a key.
fn mark(key: &str) -> String {
    data_encoding::BASE64.encode(key.as_bytes())
}

fn unmark(token: &str) -> Result<String, Refusal> {
    let refused = || Refusal::invalid_argument("The continuation token provided is incorrect");
    let key = data_encoding::BASE64.decode(token.as_bytes()).map_err(|_| refused())?;
    String::from_utf8(key).map_err(|_| refused())
}
