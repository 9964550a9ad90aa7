//! Checksums as requests and answers carry them.

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_LENGTH};

const CRC64NVME: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
const CRC32C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const KIND: &str = "x-amz-checksum-type";

/// Checksums of a body, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// CRC-64/NVME.
    pub crc64nvme: Option<u64>,
    /// CRC-32C.
    pub crc32c: Option<u32>,
    /// MD5.
    pub md5: Option<[u8; 16]>,
}

impl Checksums {
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if let Some(sum) = self.crc64nvme {
            headers.insert(CRC64NVME, value(&sum.to_be_bytes()));
        }
        if let Some(sum) = self.crc32c {
            headers.insert(CRC32C, value(&sum.to_be_bytes()));
        }
        if let Some(sum) = self.md5 {
            headers.insert(CONTENT_MD5, value(&sum));
        }
    }

    /// Those of a whole object: what is a sum of sums (`COMPOSITE`) is left out.
    pub(super) fn from(headers: &HeaderMap) -> Self {
        let is_composite = headers.get(KIND).is_some_and(|kind| kind == "COMPOSITE");
        let sum = |name| headers.get(name).filter(|_| !is_composite)?.to_str().ok();
        Self {
            crc64nvme: sum(CRC64NVME).and_then(read_crc64nvme),
            crc32c: sum(CRC32C).and_then(read_crc32c),
            md5: None,
        }
    }
}

/// As XML has it.
pub(super) fn base64(sum: &[u8]) -> String {
    BASE64.encode(sum)
}

pub(super) fn read_crc64nvme(text: &str) -> Option<u64> {
    read(text).map(u64::from_be_bytes)
}

pub(super) fn read_crc32c(text: &str) -> Option<u32> {
    read(text).map(u32::from_be_bytes)
}

/// A header whose value is a number.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn value(sum: &[u8]) -> HeaderValue {
    HeaderValue::try_from(base64(sum)).expect("base64 is ASCII")
}

fn read<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_go_out_and_come_back_as_they_are() {
        let sums = Checksums { crc64nvme: Some(1 << 60), crc32c: Some(7), md5: Some([9; 16]) };
        let mut headers = HeaderMap::new();
        sums.add_to(&mut headers);
        assert_eq!(headers[CRC32C], "AAAABw==");
        assert_eq!(Checksums::from(&headers), Checksums { md5: None, ..sums });
        headers.insert(KIND, HeaderValue::from_static("COMPOSITE"));
        assert_eq!(Checksums::from(&headers), Checksums::default());
        headers.insert(KIND, HeaderValue::from_static("FULL_OBJECT"));
        headers.insert(CRC32C, HeaderValue::from_static("AAAABw==-3"));
        assert_eq!(Checksums::from(&headers).crc32c, None, "a sum of three sums");
    }
}
