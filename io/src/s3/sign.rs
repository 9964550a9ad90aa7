//! Signature Version 4: rust-s3 has the rules; the canonical request is put together here, as its own
//! orders headers by name and value, which is another order where one name begins another.

use std::cell::RefCell;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use s3::{Region, signing};
use sha2::Sha256;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{
    credentials::Keys,
    error::{ErrorKind, S3Error},
};

const LONG_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs requests for one region. The key of the day is kept.
pub(super) struct Signer {
    region: Region,
    key: RefCell<Option<DayKey>>,
}

struct DayKey {
    day: time::Date,
    secret_key: String,
    key: Vec<u8>,
}

/// What is signed, beside headers.
pub(super) struct Signed<'a> {
    pub(super) method: &'a Method,
    /// Encoded, from the slash on.
    pub(super) path: &'a str,
    /// Encoded, in order.
    pub(super) query: &'a str,
    /// As `x-amz-content-sha256` has it.
    pub(super) sha256: &'a str,
}

impl Signer {
    pub(super) fn new(region: String) -> Self {
        // The endpoint isn't signed.
        let region = Region::Custom { region, endpoint: String::new() };
        Self { region, key: RefCell::default() }
    }

    /// Adds what signs the request, at `unix_ms`.
    pub(super) fn sign(
        &self,
        what: &Signed<'_>,
        headers: &mut HeaderMap,
        keys: &Keys,
        unix_ms: u64,
    ) -> Result<(), S3Error> {
        let now = OffsetDateTime::from_unix_timestamp((unix_ms / 1000) as i64).map_err(unsigned)?;
        let date = now.format(LONG_DATE).map_err(unsigned)?;
        headers.insert(DATE, value(&date)?);
        headers.insert(CONTENT_SHA256, value(what.sha256)?);
        if let Some(token) = &keys.session_token {
            headers.insert(TOKEN, secret(token)?);
        }
        let (lines, names) = canonical_headers(headers)?;
        let Signed { method, path, query, sha256 } = what;
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{sha256}");
        let text = signing::string_to_sign(&now, &self.region, &canonical).map_err(unsigned)?;
        let key = self.key(&now, &keys.secret_key)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(unsigned)?;
        mac.update(text.as_bytes());
        let signature = HEXLOWER.encode(&mac.finalize().into_bytes());
        let signed =
            signing::authorization_header(&keys.access_key, &now, &self.region, &names, &signature);
        headers.insert(header::AUTHORIZATION, secret(&signed.map_err(unsigned)?)?);
        Ok(())
    }

    fn key(&self, now: &OffsetDateTime, secret_key: &str) -> Result<Vec<u8>, S3Error> {
        let mut kept = self.key.borrow_mut();
        match &*kept {
            Some(kept) if kept.day == now.date() && kept.secret_key == secret_key => {
                Ok(kept.key.clone())
            }
            _ => {
                let key = signing::signing_key(now, secret_key, &self.region, "s3");
                let key = key.map_err(unsigned)?;
                let secret_key = secret_key.to_owned();
                *kept = Some(DayKey { day: now.date(), secret_key, key: key.clone() });
                Ok(key)
            }
        }
    }
}

/// A key as a path. Dots would be taken for folders on the way.
pub(super) fn path(bucket: Option<&str>, key: &str) -> String {
    let bucket = bucket.map_or(String::new(), |bucket| format!("/{bucket}"));
    format!("{bucket}/{}", signing::uri_encode(key, false))
}

/// Pairs as a query, in the order that is signed.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| signing::uri_encode(text, true);
    let mut pairs: Vec<_> =
        pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn canonical_headers(headers: &HeaderMap) -> Result<(String, String), S3Error> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let mut lines = String::new();
    for name in &names {
        let value = headers[*name].to_str().map_err(unsigned)?;
        lines.push_str(&format!("{name}:{}\n", value.trim()));
    }
    Ok((lines, names.join(";")))
}

fn value(text: &str) -> Result<HeaderValue, S3Error> {
    HeaderValue::from_str(text).map_err(unsigned)
}

/// Not shown where headers are.
fn secret(text: &str) -> Result<HeaderValue, S3Error> {
    let mut value = value(text)?;
    value.set_sensitive(true);
    Ok(value)
}

fn unsigned(error: impl std::fmt::Display) -> S3Error {
    S3Error::new(ErrorKind::Permanent, "Unsigned", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Amazon's documentation of Signature Version 4 ("Example: GET Object").
    #[test]
    fn an_example_of_the_documentation_is_signed_as_there() {
        let keys = Keys {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
            ends_unix_ms: None,
        };
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("examplebucket.s3.amazonaws.com"));
        headers.insert("range", HeaderValue::from_static("bytes=0-9"));
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let what = Signed { method: &Method::GET, path: "/test.txt", query: "", sha256 };
        let signer = Signer::new("us-east-1".to_owned());
        signer.sign(&what, &mut headers, &keys, 1_369_353_600_000).unwrap();
        let signed = headers["authorization"].to_str().unwrap();
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(signed.ends_with(&format!("Signature={signature}")), "{signed}");
        assert_eq!(headers["x-amz-date"], "20130524T000000Z");
    }

    #[test]
    fn headers_are_in_the_order_of_their_names() {
        let mut headers = HeaderMap::new();
        for name in ["x-amz-a-b", "x-amz-a", "host", "x-amz-a.b", "x-amz-a0"] {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        let (lines, names) = canonical_headers(&headers).unwrap();
        assert_eq!(names, "host;x-amz-a;x-amz-a-b;x-amz-a.b;x-amz-a0");
        assert_eq!(lines, "host:v\nx-amz-a:v\nx-amz-a-b:v\nx-amz-a.b:v\nx-amz-a0:v\n");
    }

    #[test]
    fn paths_and_queries_are_encoded_as_they_are_signed() {
        assert_eq!(path(Some("b"), "a b/ü+~&?"), "/b/a%20b/%C3%BC%2B~%26%3F");
        assert_eq!(path(None, ""), "/");
        let pairs = [("uploads", ""), ("prefix", "a/b c"), ("key-marker", "x=y")];
        assert_eq!(query(&pairs), "key-marker=x%3Dy&prefix=a%2Fb%20c&uploads=");
    }
}
