//! Multiparts: begun, given parts, and completed or aborted.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use quick_xml::escape::escape;

use super::{
    body::Body,
    checksums::{Checksums, base64, read_crc32c, read_crc64nvme},
    client::Bucket,
    error::{ErrorKind, S3Error},
    headers::{ObjectOptions, if_none_match},
    object::{Stored, etag, version_id},
    request::{Answer, Call},
    xml::{self, Text, bare_etag},
};

const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
const KIND: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const OBJECT_SIZE: HeaderName = HeaderName::from_static("x-amz-mp-object-size");
/// What names the parts is sent in slices of this.
const XML_BYTES: usize = 32 << 10;
/// More than one part takes there.
const XML_PART_BYTES: usize = 1 << 10;

/// Which checksums a multipart is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipartSum {
    /// CRC-64/NVME of the whole; parts may have theirs.
    Crc64NvmeWhole,
    /// CRC-32C of each part, which then all must have.
    Crc32cParts,
}

/// A part that a store has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// From 1 to 10,000.
    pub number: u32,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
    /// Its CRC-32C, where it was given or the store computed it.
    pub crc32c: Option<u32>,
    /// Its CRC-64/NVME, likewise.
    pub crc64nvme: Option<u64>,
}

/// What the object must be for a multipart to be completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Its CRC-64/NVME, with [`MultipartSum::Crc64NvmeWhole`].
    pub crc64nvme: Option<u64>,
    /// Its size; stores that don't know this header pass over it.
    pub bytes: Option<u64>,
    /// Only if there is no such object yet.
    pub if_none_match: bool,
}

impl Bucket {
    /// Begins a multipart; its id. When that is in doubt, one may be left that nobody knows:
    /// [`Bucket::list_multiparts`] finds it.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn create_multipart(
        &self,
        key: &str,
        sum: Option<MultipartSum>,
        options: &ObjectOptions,
    ) -> Result<String, S3Error> {
        let mut call = Call { query: vec![("uploads", "")], ..Call::new(Method::POST, key) };
        options.add_to(&mut call.headers)?;
        if let Some(sum) = sum {
            let (algorithm, kind) = match sum {
                MultipartSum::Crc64NvmeWhole => ("CRC64NVME", "FULL_OBJECT"),
                MultipartSum::Crc32cParts => ("CRC32C", "COMPOSITE"),
            };
            call.headers.insert(ALGORITHM, HeaderValue::from_static(algorithm));
            call.headers.insert(KIND, HeaderValue::from_static(kind));
        }
        let created: xml::Created = read(&self.ask(call).await?.text)?;
        xml::full(created.upload_id).ok_or_else(|| S3Error::answer("it has no upload id"))
    }

    /// Sends a part. A second time, it takes the place of the first.
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::NoSuchUpload`] where the multipart is over.
    ///
    /// # Panics
    /// When the number isn't one from 1 to 10,000.
    pub async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u32,
        body: Body,
        sums: &Checksums,
    ) -> Result<Part, S3Error> {
        assert!((1..=10_000).contains(&number), "no number of a part: {number}");
        let (bytes, text) = (body.bytes(), number.to_string());
        let query = vec![("partNumber", text.as_str()), ("uploadId", upload_id)];
        let mut call = Call { query, body, ..Call::new(Method::PUT, key) };
        sums.add_to(&mut call.headers);
        let headers = self.ask_of_multipart(call).await?.headers;
        let (etag, told) = (etag(&headers), Checksums::from(&headers));
        if etag.is_empty() {
            return Err(S3Error::answer("it has no ETag"));
        }
        let crc32c = sums.crc32c.or(told.crc32c);
        let crc64nvme = sums.crc64nvme.or(told.crc64nvme);
        Ok(Part { number, etag, bytes, crc32c, crc64nvme })
    }

    /// Makes the object of these parts, in the order of their numbers. Those that aren't named go.
    ///
    /// # Errors
    /// [`S3Error`]. It is in doubt whenever the store didn't say no: then [`Bucket::head_object`]
    /// tells, as [`super::ErrorKind::NoSuchUpload`] alone does not.
    pub async fn complete_multipart(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[Part],
        whole: &Whole,
    ) -> Result<Stored, S3Error> {
        let query = vec![("uploadId", upload_id)];
        let body = Body::text(parts_xml(parts));
        let mut call = Call { query, body, is_slow: true, ..Call::new(Method::POST, key) };
        if let Some(sum) = whole.crc64nvme {
            let sums = Checksums { crc64nvme: Some(sum), ..Checksums::default() };
            sums.add_to(&mut call.headers);
            call.headers.insert(KIND, HeaderValue::from_static("FULL_OBJECT"));
        }
        if let Some(bytes) = whole.bytes {
            call.headers.insert(OBJECT_SIZE, HeaderValue::from(bytes));
        }
        if whole.if_none_match {
            if_none_match(&mut call.headers);
        }
        let Answer { headers, text } = self.ask_of_multipart(call).await?;
        match text.root().as_deref() {
            Some("CompleteMultipartUploadResult") => completed(&headers, &text),
            // The status was sent before the work was done.
            Some("Error") => Err(self.refused(StatusCode::OK, &headers, &text)),
            _ => Err(S3Error::answer(format!("no result: {:?}", text.beginning()))),
        }
    }

    /// Ends a multipart and takes its parts away. Parts that are on their way meanwhile may stay:
    /// once more is needed until [`Bucket::list_parts`] says [`super::ErrorKind::NoSuchUpload`].
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::NoSuchUpload`] where there is none, any more or at all, if the
    /// store says so: some don't.
    pub async fn abort_multipart(&self, key: &str, upload_id: &str) -> Result<(), S3Error> {
        let query = vec![("uploadId", upload_id)];
        self.ask_of_multipart(Call { query, ..Call::new(Method::DELETE, key) }).await.map(drop)
    }

    /// Ceph says of a multipart that is over that there is no such key.
    pub(super) async fn ask_of_multipart(&self, call: Call<'_>) -> Result<Answer, S3Error> {
        let asked = self.ask(call).await;
        asked.map_err(|error| match error.kind {
            ErrorKind::NoSuchKey => error.of_kind(ErrorKind::NoSuchUpload),
            _ => error,
        })
    }
}

pub(super) fn read<T: serde::de::DeserializeOwned>(text: &Text) -> Result<T, S3Error> {
    text.read().map_err(|error| S3Error::answer(format!("{error}: {:?}", text.beginning())))
}

fn completed(headers: &HeaderMap, text: &Text) -> Result<Stored, S3Error> {
    let told: xml::Completed = read(text)?;
    let is_composite = told.checksum_type.as_deref() == Some("COMPOSITE");
    let whole = |sum: Option<String>| sum.filter(|_| !is_composite);
    let sums = Checksums {
        crc64nvme: whole(told.crc64nvme).as_deref().and_then(read_crc64nvme),
        crc32c: whole(told.crc32c).as_deref().and_then(read_crc32c),
        md5: None,
    };
    let etag = bare_etag(&told.etag.unwrap_or_default());
    Ok(Stored { etag, version_id: version_id(headers), sums })
}

/// In slices, for no buffer is to be large.
fn parts_xml(parts: &[Part]) -> Vec<Bytes> {
    let mut slices = Vec::new();
    let mut slice = BytesMut::with_capacity(XML_BYTES);
    slice.put_slice(b"<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for part in parts {
        if slice.len() + XML_PART_BYTES > XML_BYTES {
            slices.push(slice.split().freeze());
            slice.reserve(XML_BYTES);
        }
        let Part { number, etag, .. } = part;
        let etag = escape(etag.as_str());
        let xml = format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag>");
        slice.put_slice(xml.as_bytes());
        let crc32c = part.crc32c.map(|sum| ("CRC32C", base64(&sum.to_be_bytes())));
        let crc64nvme = part.crc64nvme.map(|sum| ("CRC64NVME", base64(&sum.to_be_bytes())));
        for (name, sum) in [crc32c, crc64nvme].into_iter().flatten() {
            slice.put_slice(format!("<Checksum{name}>{sum}</Checksum{name}>").as_bytes());
        }
        slice.put_slice(b"</Part>");
    }
    slice.put_slice(b"</CompleteMultipartUpload>");
    slices.push(slice.freeze());
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_with_what_is_known_of_them() {
        let parts = [
            Part { number: 1, etag: "a<b".to_owned(), crc32c: Some(7), ..Part::default() },
            Part { number: 2, etag: "c".to_owned(), crc64nvme: Some(7), ..Part::default() },
        ];
        let text = String::from_utf8(parts_xml(&parts).concat()).unwrap();
        assert_eq!(
            text,
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Part><PartNumber>1</PartNumber><ETag>\"a&lt;b\"</ETag>\
             <ChecksumCRC32C>AAAABw==</ChecksumCRC32C></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"c\"</ETag>\
             <ChecksumCRC64NVME>AAAAAAAAAAc=</ChecksumCRC64NVME></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn no_slice_that_names_parts_is_large() {
        let part = |number| Part { number, etag: "e".repeat(64), ..Part::default() };
        let parts: Vec<_> = (1..=10_000).map(part).collect();
        let slices = parts_xml(&parts);
        assert!(slices.iter().all(|slice| slice.len() <= XML_BYTES));
        let text = String::from_utf8(slices.concat()).unwrap();
        assert_eq!(text.matches("<Part>").count(), 10_000);
    }
}
