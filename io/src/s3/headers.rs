//! What an object is stored with, as headers.
//!
//! Headers are ASCII. A file name goes as RFC 5987 has it, beside a form for old clients; values of
//! metadata are percent-encoded (RFC 3986) where they hold anything but visible ASCII, and percent
//! signs always are, so that what is read back can be decoded whoever wrote it by these rules. RFC 2047
//! isn't used: stores differ in whether they decode it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};

use super::error::{ErrorKind, S3Error};

/// What names and values of an object's metadata may have together, as S3 counts.
pub const METADATA_BYTES_MAX: usize = 2048;

const METADATA_PREFIX: &str = "x-amz-meta-";
/// Signing trims spaces and joins them, so none go as they are.
const METADATA_VALUE: &AsciiSet = &CONTROLS.add(b'%').add(b' ');
/// All but RFC 5987's attr-char.
const EXTENDED_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What an object is stored with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Content-Type, visible ASCII.
    pub content_type: Option<String>,
    /// What the object is called when it is saved, any text: `Content-Disposition: attachment`.
    pub filename: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Such as `STANDARD_IA`.
    pub storage_class: Option<String>,
    /// How the store encrypts it.
    pub encryption: Option<Encryption>,
    /// At most ten, for most stores.
    pub tags: Vec<(String, String)>,
    /// User metadata: see [`check_metadata`]. Values are any text.
    pub metadata: Vec<(String, String)>,
    /// Only if there is no such object yet (`If-None-Match: *`). For a multipart see
    /// [`super::Whole::if_none_match`].
    pub if_none_match: bool,
}

/// How a store encrypts an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With its own keys (SSE-S3).
    Aes256,
    /// With a key of its key service (SSE-KMS).
    Kms {
        /// Which; `None`: the bucket's.
        key_id: Option<String>,
    },
}

/// What is wrong with metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// A name that no header can have.
    #[error("metadata name {0:?}: only letters, digits and -._ may be in it")]
    Name(String),
    /// A name that another has, but for its case.
    #[error("metadata name {0:?} comes twice: case doesn't count")]
    Twice(String),
    /// Names and encoded values are too long together.
    #[error("metadata has {bytes} bytes as it is stored, and {METADATA_BYTES_MAX} are the most")]
    Long {
        /// [`metadata_bytes`].
        bytes: usize,
    },
}

/// What metadata counts against [`METADATA_BYTES_MAX`]: names and values, as they are sent.
pub fn metadata_bytes(metadata: &[(String, String)]) -> usize {
    metadata.iter().map(|(name, value)| name.len() + encode_value(value).len()).sum()
}

/// Whether metadata can be stored. Names are stored in lower case.
///
/// # Errors
/// The first reason why it can't.
pub fn check_metadata(metadata: &[(String, String)]) -> Result<(), MetadataError> {
    let mut seen = std::collections::BTreeSet::new();
    for (name, _) in metadata {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_fit) {
            return Err(MetadataError::Name(name.clone()));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(MetadataError::Twice(name.clone()));
        }
    }
    match metadata_bytes(metadata) {
        0..=METADATA_BYTES_MAX => Ok(()),
        bytes => Err(MetadataError::Long { bytes }),
    }
}

impl ObjectOptions {
    pub(super) fn add_to(&self, headers: &mut HeaderMap) -> Result<(), S3Error> {
        check_metadata(&self.metadata).map_err(|error| refused(&error.to_string()))?;
        let disposition = self.filename.as_deref().map(disposition);
        for (name, text) in [
            ("content-type", &self.content_type),
            ("content-disposition", &disposition),
            ("cache-control", &self.cache_control),
            ("x-amz-storage-class", &self.storage_class),
        ] {
            if let Some(text) = text {
                insert(headers, HeaderName::from_static(name), text)?;
            }
        }
        for (name, value) in &self.metadata {
            let name = format!("{METADATA_PREFIX}{}", name.to_ascii_lowercase());
            let name = HeaderName::try_from(name).expect("checked");
            insert(headers, name, &encode_value(value))?;
        }
        if !self.tags.is_empty() {
            let encode = |text: &String| utf8_percent_encode(text, UNRESERVED).to_string();
            let pair = |(key, value)| format!("{}={}", encode(key), encode(value));
            let tags: Vec<_> = self.tags.iter().map(|(key, value)| pair((key, value))).collect();
            insert(headers, HeaderName::from_static("x-amz-tagging"), &tags.join("&"))?;
        }
        self.encryption.as_ref().map_or(Ok(()), |encryption| encryption.add_to(headers))
    }
}

impl Encryption {
    fn add_to(&self, headers: &mut HeaderMap) -> Result<(), S3Error> {
        let name = HeaderName::from_static("x-amz-server-side-encryption");
        match self {
            Self::Aes256 => insert(headers, name, "AES256"),
            Self::Kms { key_id } => {
                insert(headers, name, "aws:kms")?;
                let name = "x-amz-server-side-encryption-aws-kms-key-id";
                let key_id = key_id.as_deref();
                key_id.map_or(Ok(()), |id| insert(headers, HeaderName::from_static(name), id))
            }
        }
    }
}

pub(super) fn if_none_match(headers: &mut HeaderMap) {
    headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
}

/// The user metadata of an answer, in the order of names.
pub(super) fn read_metadata(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(METADATA_PREFIX)?;
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
        Some((name.to_owned(), value))
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

fn encode_value(value: &str) -> String {
    utf8_percent_encode(value, METADATA_VALUE).to_string()
}

/// Both forms: those who know RFC 5987 take the second.
fn disposition(filename: &str) -> String {
    let plain = |c: char| match c {
        '"' | '\\' | '%' | '/' | ';' => '_',
        ' '..='~' => c,
        _ => '_',
    };
    let plain: String = filename.chars().map(plain).collect();
    let extended = utf8_percent_encode(filename, EXTENDED_VALUE);
    // Signing joins spaces.
    let plain = plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}")
}

/// What the header can't have, or what signing would see otherwise than the store, is refused here.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), S3Error> {
    let is_fit = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_fit || text.trim() != text || text.contains("  ") {
        return Err(refused(&format!("the value of {name} must be ASCII, without spare spaces")));
    }
    let value = HeaderValue::try_from(text).map_err(|error| refused(&error.to_string()))?;
    headers.insert(name, value);
    Ok(())
}

fn refused(problem: &str) -> S3Error {
    S3Error::new(ErrorKind::Permanent, "InvalidHeader", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn any_text_comes_back_as_metadata() {
        let values = ["plain", "two  spaces ", "100 %", "Grüße ☃", "a%20b", "line\nbreak", ""];
        let numbered = values.iter().enumerate();
        let metadata: Vec<_> = numbered.map(|(n, value)| pair(&format!("m{n}"), value)).collect();
        let options = ObjectOptions { metadata: metadata.clone(), ..ObjectOptions::default() };
        let mut headers = HeaderMap::new();
        options.add_to(&mut headers).unwrap();
        assert_eq!(headers["x-amz-meta-m0"], "plain");
        assert!(headers.values().all(|value| value.to_str().is_ok()));
        assert_eq!(read_metadata(&headers), metadata);
    }

    #[test]
    fn metadata_is_counted_as_it_is_sent() {
        assert_eq!(metadata_bytes(&[pair("ab", "ü"), pair("c", "d")]), 2 + 6 + 1 + 1);
        let of = |bytes: usize| vec![pair("name", &"v".repeat(bytes - 4))];
        assert_eq!(check_metadata(&of(METADATA_BYTES_MAX)), Ok(()));
        let bytes = METADATA_BYTES_MAX + 1;
        assert_eq!(check_metadata(&of(bytes)), Err(MetadataError::Long { bytes }));
        for name in ["", "a b", "a:b", "ü"] {
            let error = check_metadata(&[pair(name, "v")]).unwrap_err();
            assert_eq!(error, MetadataError::Name(name.to_owned()));
        }
        let twice = check_metadata(&[pair("a", "1"), pair("A", "2")]);
        assert_eq!(twice, Err(MetadataError::Twice("A".to_owned())));
    }

    #[test]
    fn a_file_name_goes_in_both_forms() {
        assert_eq!(
            disposition("Grüße  \"1\".pdf"),
            "attachment; filename=\"Gr__e _1_.pdf\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%20%221%22.pdf"
        );
    }

    #[test]
    fn all_options_are_headers() {
        let options = ObjectOptions {
            content_type: Some("text/plain".to_owned()),
            filename: Some("a.txt".to_owned()),
            cache_control: Some("no-store".to_owned()),
            storage_class: Some("STANDARD_IA".to_owned()),
            encryption: Some(Encryption::Kms { key_id: Some("key".to_owned()) }),
            tags: vec![pair("a b", "c&d"), pair("e", "")],
            metadata: vec![pair("Owner", "me")],
            if_none_match: false,
        };
        let mut headers = HeaderMap::new();
        options.add_to(&mut headers).unwrap();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("cache-control", "no-store"),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "key"),
            ("x-amz-tagging", "a%20b=c%26d&e="),
            ("x-amz-meta-owner", "me"),
        ] {
            assert_eq!(headers[name], value);
        }
        let bad = ObjectOptions { content_type: Some("a\r\nb: c".to_owned()), ..options };
        assert_eq!(bad.add_to(&mut headers).unwrap_err().code, "InvalidHeader");
    }
}
