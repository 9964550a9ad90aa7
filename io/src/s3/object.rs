//! Objects: put, looked at, read, taken away. And what is known of their bucket.

use std::{fmt, ops::Range};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    body::Body,
    checksums::{Checksums, content_length},
    client::Bucket,
    error::S3Error,
    headers::{ObjectOptions, if_none_match, read_metadata},
    request::{Call, Opened},
    xml::{self, bare_etag},
};

const VERSION: &str = "x-amz-version-id";
const BUCKET_REGION: &str = "x-amz-bucket-region";
/// What the oldest region is called where it is called nothing.
const FIRST_REGION: &str = "us-east-1";

/// An object as it was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its ETag, without quotes; empty where the store doesn't tell (Ceph, of a multipart).
    pub etag: String,
    /// Its version, where the bucket keeps them.
    pub version_id: Option<String>,
    /// What the store says that its checksums are; sums of sums left out.
    pub sums: Checksums,
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its size.
    pub bytes: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its version, where the bucket keeps them.
    pub version_id: Option<String>,
    /// User metadata, names in lower case and in order.
    pub metadata: Vec<(String, String)>,
    /// Checksums of the whole, where the store has them.
    pub sums: Checksums,
}

/// An object's bytes, as they come. Dropped before its end, it closes its connection.
pub struct ObjectBody {
    bytes: u64,
    opened: Option<Opened>,
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectBody({} bytes)", self.bytes)
    }
}

impl Bucket {
    /// Stores an object. A second time, it takes the place of the first.
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::Conflict`] where there is one and
    /// [`ObjectOptions::if_none_match`] is set.
    pub async fn put_object(
        &self,
        key: &str,
        body: Body,
        sums: &Checksums,
        options: &ObjectOptions,
    ) -> Result<Stored, S3Error> {
        let mut call = Call { body, ..Call::new(Method::PUT, key) };
        options.add_to(&mut call.headers)?;
        sums.add_to(&mut call.headers);
        if options.if_none_match {
            if_none_match(&mut call.headers);
        }
        let answer = self.ask(call).await?;
        let (etag, version_id) = (etag(&answer.headers), version_id(&answer.headers));
        Ok(Stored { etag, version_id, sums: Checksums::from(&answer.headers) })
    }

    /// Looks at an object.
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::NoSuchKey`] where there is none.
    pub async fn head_object(&self, key: &str) -> Result<ObjectHead, S3Error> {
        let mut call = Call::new(Method::HEAD, key);
        let mode = HeaderName::from_static("x-amz-checksum-mode");
        call.headers.insert(mode, HeaderValue::from_static("ENABLED"));
        let headers = self.ask(call).await?.headers;
        Ok(ObjectHead {
            bytes: content_length(&headers).ok_or_else(|| S3Error::answer("it has no length"))?,
            etag: etag(&headers),
            version_id: version_id(&headers),
            metadata: read_metadata(&headers),
            sums: Checksums::from(&headers),
        })
    }

    /// Begins to read an object, or a range of it that isn't empty.
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::NoSuchKey`] where there is none.
    pub async fn get_object(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, S3Error> {
        let mut call = Call::new(Method::GET, key);
        if let Some(range) = range {
            let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
            let range = HeaderValue::try_from(range).expect("digits");
            call.headers.insert(header::RANGE, range);
        }
        let opened = self.open(call).await?;
        let bytes = content_length(&opened.headers);
        let bytes = bytes.ok_or_else(|| S3Error::answer("it has no length"))?;
        Ok(ObjectBody { bytes, opened: Some(opened) })
    }

    /// Takes an object away; that there is none is no error.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn delete_object(&self, key: &str) -> Result<(), S3Error> {
        self.ask(Call::new(Method::DELETE, key)).await.map(drop)
    }

    /// Whether there is such a bucket and these credentials may look at it; the region that it is in,
    /// where the store says so.
    ///
    /// # Errors
    /// [`S3Error`]; [`super::ErrorKind::NoSuchBucket`] where there is none.
    pub async fn head_bucket(&self) -> Result<Option<String>, S3Error> {
        let asked = self.ask(Call::new(Method::HEAD, "")).await;
        // Without words it is taken for a key.
        let headers = asked.map_err(no_bucket)?.headers;
        let region = headers.get(BUCKET_REGION).and_then(|region| region.to_str().ok());
        Ok(region.map(str::to_owned))
    }

    /// The region that the bucket is in.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn location(&self) -> Result<String, S3Error> {
        let call = Call { query: vec![("location", "")], ..Call::new(Method::GET, "") };
        let text = self.ask(call).await?.text;
        let read: xml::Location = text.read().map_err(S3Error::answer)?;
        Ok(xml::full(read.region).unwrap_or_else(|| FIRST_REGION.to_owned()))
    }
}

impl ObjectBody {
    /// How many bytes come in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next of them; `None`: all came.
    ///
    /// # Errors
    /// [`S3Error`]: then this is over.
    pub async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        let Some(opened) = &mut self.opened else { return Ok(None) };
        let next = opened.next().await;
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.opened.take().expect("it was there").end(),
            Err(_) => self.opened = None,
        }
        next
    }
}

pub(super) fn etag(headers: &HeaderMap) -> String {
    let etag = headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
    bare_etag(etag.unwrap_or_default())
}

pub(super) fn version_id(headers: &HeaderMap) -> Option<String> {
    headers.get(VERSION)?.to_str().ok().map(str::to_owned)
}

fn no_bucket(error: S3Error) -> S3Error {
    use super::ErrorKind::{NoSuchBucket, NoSuchKey};
    match error.kind {
        NoSuchKey => error.of_kind(NoSuchBucket),
        _ => error,
    }
}
