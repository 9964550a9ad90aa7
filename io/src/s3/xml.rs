//! What stores answer, read as tolerantly as it is safe: names by what follows a prefix, unknown
//! elements passed over, missing and empty ones as if not there.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use quick_xml::{Reader, events::Event};
use serde::{Deserialize, de::DeserializeOwned};

/// Shown of an answer that isn't what it should be.
const BEGINNING_BYTES: usize = 160;

/// An answer's slices, as they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Text(pub(super) Vec<Bytes>);

impl Text {
    /// The name of the root element; `None`: there is none.
    pub(super) fn root(&self) -> Option<String> {
        let mut reader = Reader::from_reader(self.reader());
        let mut buffer = Vec::new();
        loop {
            match reader.read_event_into(&mut buffer).ok()? {
                Event::Start(root) | Event::Empty(root) => {
                    let name = root.local_name();
                    return Some(String::from_utf8_lossy(name.as_ref()).into_owned());
                }
                Event::Eof => return None,
                _ => buffer.clear(),
            }
        }
    }

    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        quick_xml::de::from_reader(self.reader()).map_err(|error| error.to_string())
    }

    /// Some of its beginning, to be shown.
    pub(super) fn beginning(&self) -> String {
        let bytes = self.0.iter().flatten().take(BEGINNING_BYTES).copied();
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).trim().to_owned()
    }

    /// Some stores keep a connection awake with spaces, before anything else.
    fn reader(&self) -> TextReader {
        let mut slices = self.0.clone();
        let is_blank = |slice: &Bytes| slice.iter().all(u8::is_ascii_whitespace);
        let blank = slices.iter().take_while(|slice| is_blank(slice)).count();
        slices.drain(..blank);
        if let Some(first) = slices.first_mut() {
            let spaces = first.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            first.advance(spaces);
        }
        slices.reverse();
        TextReader(slices)
    }
}

/// The last slice comes first.
struct TextReader(Vec<Bytes>);

impl Read for TextReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for TextReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.0.last().is_some_and(Bytes::is_empty) {
            self.0.pop();
        }
        Ok(self.0.last().map_or(&[][..], |slice| slice))
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(slice) = self.0.last_mut() {
            slice.advance(bytes);
        }
    }
}

/// What `<Error>` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorAnswer {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl ErrorAnswer {
    /// Also of what is no `<Error>`: then the text's beginning is the message.
    pub(super) fn read(text: &Text) -> Self {
        let read: Self = text.read().unwrap_or_default();
        let told = Self {
            code: full(read.code),
            message: full(read.message),
            region: full(read.region),
            endpoint: full(read.endpoint),
        };
        match told {
            Self { code: None, message: None, .. } => {
                Self { message: full(Some(text.beginning())), ..told }
            }
            told => told,
        }
    }
}

/// Of CreateMultipartUpload.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Created {
    pub(super) upload_id: Option<String>,
}

/// Of CompleteMultipartUpload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Completed {
    #[serde(rename = "ETag")]
    pub(super) etag: Option<String>,
    #[serde(rename = "ChecksumType")]
    pub(super) checksum_type: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub(super) crc64nvme: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    pub(super) crc32c: Option<String>,
}

/// Of ListParts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedParts {
    #[serde(rename = "Part")]
    pub(super) parts: Vec<ListedPart>,
    pub(super) is_truncated: Option<String>,
}

/// One of its parts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListedPart {
    #[serde(rename = "PartNumber")]
    pub(super) number: Option<String>,
    #[serde(rename = "ETag")]
    pub(super) etag: Option<String>,
    #[serde(rename = "Size")]
    pub(super) bytes: Option<String>,
    #[serde(rename = "LastModified")]
    pub(super) last_modified: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub(super) crc64nvme: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    pub(super) crc32c: Option<String>,
}

/// Of ListMultipartUploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedMultiparts {
    #[serde(rename = "Upload")]
    pub(super) uploads: Vec<ListedMultipart>,
    pub(super) is_truncated: Option<String>,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_upload_id_marker: Option<String>,
}

/// One of its uploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedMultipart {
    pub(super) key: Option<String>,
    pub(super) upload_id: Option<String>,
    pub(super) initiated: Option<String>,
}

/// Of GetBucketLocation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Location {
    #[serde(rename = "$text")]
    pub(super) region: Option<String>,
}

/// `None` for what is empty.
pub(super) fn full(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn number<N: std::str::FromStr>(text: Option<&String>) -> Option<N> {
    text?.trim().parse().ok()
}

pub(super) fn is_true(text: Option<&String>) -> bool {
    text.is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// Without quotes, however they are written.
pub(super) fn bare_etag(etag: &str) -> String {
    etag.replace("&#34;", "\"").replace("&quot;", "\"").trim().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        // In slices that fit nothing.
        Text(text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect())
    }

    #[test]
    fn an_error_is_read_however_little_it_says() {
        for (xml, code, message) in [
            ("<Error><Code>SlowDown</Code></Error>", Some("SlowDown"), None),
            (
                "<?xml version=\"1.0\"?><Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <Code>A</Code><Message>b &amp; c</Message><RequestId/><Extra><X>1</X></Extra></Error>",
                Some("A"),
                Some("b & c"),
            ),
            ("<s3:Error><s3:Code>A</s3:Code></s3:Error>", Some("A"), None),
            ("<Error><Code/><Message></Message></Error>", None, None),
            ("<html>Bad Gateway</html>", None, Some("<html>Bad Gateway</html>")),
            ("not xml", None, Some("not xml")),
            ("", None, None),
        ] {
            let told = ErrorAnswer::read(&text(xml));
            assert_eq!(told.code.as_deref(), code, "{xml}");
            if xml.starts_with("<Error><Code/>") {
                continue; // its text is shown
            }
            assert_eq!(told.message.as_deref(), message, "{xml}");
        }
    }

    #[test]
    fn the_root_is_found_behind_spaces() {
        assert_eq!(text("   \n  <?xml version=\"1.0\"?> <Error/>").root().unwrap(), "Error");
        assert_eq!(text("<a:Error xmlns:a=\"b\"></a:Error>").root().unwrap(), "Error");
        assert_eq!(text("").root(), None);
        assert_eq!(text("   ").root(), None);
    }

    #[test]
    fn parts_are_read_with_what_else_lies_between_them() {
        let list: ListedParts = text(
            "<ListPartsResult xmlns=\"x\"><Owner><ID>1</ID></Owner><Part><PartNumber>1</PartNumber>\
             <ETag>&#34;e1&#34;</ETag><Size>5</Size><New>1</New></Part><MaxParts>2</MaxParts>\
             <Part><PartNumber>7</PartNumber><ETag>\"e7\"</ETag><Size/>\
             <ChecksumCRC32C>AAAABw==</ChecksumCRC32C></Part>\
             <IsTruncated>true</IsTruncated></ListPartsResult>",
        )
        .read()
        .unwrap();
        assert!(is_true(list.is_truncated.as_ref()));
        let numbers: Vec<_> =
            list.parts.iter().map(|part| number::<u32>(part.number.as_ref())).collect();
        assert_eq!(numbers, [Some(1), Some(7)]);
        assert_eq!(bare_etag(list.parts[0].etag.as_ref().unwrap()), "e1");
        assert_eq!(number::<u64>(list.parts[1].bytes.as_ref()), None);
        let none: ListedParts = text("<ListPartsResult/>").read().unwrap();
        assert!(none.parts.is_empty() && !is_true(none.is_truncated.as_ref()));
    }

    #[test]
    fn a_location_may_be_empty() {
        let read = |xml: &str| full(text(xml).read::<Location>().unwrap().region);
        assert_eq!(
            read("<LocationConstraint>eu-west-1</LocationConstraint>").unwrap(),
            "eu-west-1"
        );
        assert_eq!(read("<LocationConstraint xmlns=\"x\"/>"), None);
        assert_eq!(read("<LocationConstraint></LocationConstraint>"), None);
    }

    #[test]
    fn an_etag_is_bare() {
        for etag in ["\"e\"", "e", "&#34;e&#34;", "&quot;e&quot;", " \"e\" "] {
            assert_eq!(bare_etag(etag), "e");
        }
    }
}
