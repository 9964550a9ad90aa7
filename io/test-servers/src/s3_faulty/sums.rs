//! Checksums of bodies and objects.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::{
    Refusal,
    options::{Abilities, Digest, Sums},
    record::Asked,
};

/// A checksum that S3 knows by a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// `x-amz-checksum-crc32`.
    Crc32,
    /// `x-amz-checksum-crc32c`.
    Crc32c,
    /// `x-amz-checksum-crc64nvme`.
    Crc64Nvme,
    /// `x-amz-checksum-sha256`.
    Sha256,
}

/// A sum and its value in base64.
pub(super) type Sum = (Algorithm, String);

const ALL: [Algorithm; 4] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha256];

impl Algorithm {
    /// As headers and XML name it: `CRC32C`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_lowercase())
    }

    pub(super) fn element(self) -> String {
        format!("Checksum{}", self.name())
    }

    /// The sum of some bytes.
    pub(super) fn sum<'a>(self, pieces: impl IntoIterator<Item = &'a Bytes>) -> Vec<u8> {
        let crc = match self {
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Sha256 => return sha256(pieces).to_vec(),
        };
        let mut digest = crc_fast::Digest::new(crc);
        pieces.into_iter().for_each(|piece| digest.update(piece));
        let sum = digest.finalize().to_be_bytes();
        if self == Self::Crc64Nvme { sum.to_vec() } else { sum[4..].to_vec() }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    fn becomes(self, abilities: &Abilities) -> Sums {
        if self == Self::Crc64Nvme { abilities.crc64nvme } else { abilities.other_sums }
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub(super) fn sha256<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> [u8; 32] {
    let mut state = Sha256::new();
    pieces.into_iter().for_each(|piece| state.update(piece));
    state.finalize().into()
}

pub(super) fn md5<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> [u8; 16] {
    let mut state = Md5::new();
    pieces.into_iter().for_each(|piece| state.update(piece));
    state.finalize().into()
}

/// The sums that a request names of the object, as far as the store looks at them.
pub(super) fn named(asked: &Asked, abilities: &Abilities) -> Result<Vec<Sum>, Refusal> {
    let mut sums = Vec::new();
    for algorithm in ALL {
        let Some(value) = asked.header(&algorithm.header()) else { continue };
        match algorithm.becomes(abilities) {
            Sums::Verified => sums.push((algorithm, value.to_owned())),
            Sums::Ignored => {}
            Sums::Refused => return Err(Refusal::not_implemented(&algorithm.header())),
        }
    }
    if sums.len() > 1 {
        let message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are \
                       not allowed.";
        return Err(Refusal::invalid_request(message));
    }
    Ok(sums)
}

/// Which sum an upload of parts is to have, as its beginning names it.
pub(super) fn wanted(asked: &Asked, abilities: &Abilities) -> Result<Option<Algorithm>, Refusal> {
    let Some(name) = asked.header("x-amz-checksum-algorithm") else { return Ok(None) };
    let unknown = || Refusal::invalid_request("Checksum algorithm provided is unsupported.");
    let algorithm = Algorithm::named(name).ok_or_else(unknown)?;
    match algorithm.becomes(abilities) {
        Sums::Verified => Ok(Some(algorithm)),
        Sums::Ignored => Ok(None),
        Sums::Refused => Err(unknown()),
    }
}

/// Holds what a request says of its body against the body.
pub(super) fn verified(
    asked: &Asked,
    body: &[Bytes],
    abilities: &Abilities,
) -> Result<Vec<Sum>, Refusal> {
    payload_verified(asked, body, abilities)?;
    let md5_sent = asked.header("content-md5");
    if let Some(sent) = md5_sent {
        let invalid = || Refusal::new(400, "InvalidDigest", "The Content-MD5 is not valid.");
        let sent = STANDARD.decode(sent).map_err(|_| invalid())?;
        if sent.len() != 16 {
            return Err(invalid());
        }
        if sent != md5(body) {
            return Err(Refusal::bad_digest());
        }
    }
    let sums = named(asked, abilities)?;
    for (algorithm, sent) in &sums {
        if base64(&algorithm.sum(body)) != *sent {
            let message = format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            );
            return Err(Refusal::new(400, "BadDigest", &message));
        }
    }
    let is_enough = match abilities.digest_wanted {
        Digest::None => true,
        Digest::Any => md5_sent.is_some() || !sums.is_empty(),
        Digest::Md5 => md5_sent.is_some(),
    };
    if is_enough {
        return Ok(sums);
    }
    Err(Refusal::invalid_request(
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with \
         Object Lock parameters",
    ))
}

fn payload_verified(asked: &Asked, body: &[Bytes], abilities: &Abilities) -> Result<(), Refusal> {
    let sent = asked.header("x-amz-content-sha256").unwrap_or_default();
    if sent == "UNSIGNED-PAYLOAD" || !abilities.verifies_payload {
        return Ok(());
    }
    if sent.starts_with("STREAMING-") {
        return Err(Refusal::not_implemented("x-amz-content-sha256"));
    }
    if sent == hex(&sha256(body)) {
        return Ok(());
    }
    let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    Err(Refusal::new(400, "XAmzContentSHA256Mismatch", message))
}

#[test]
fn sums_are_those_of_the_catalogues() {
    let check = [Bytes::from_static(b"1234"), Bytes::from_static(b"56789")];
    // The check values of the catalogue of parametrised CRC algorithms.
    assert_eq!(hex(&Algorithm::Crc32.sum(&check)), "cbf43926");
    assert_eq!(hex(&Algorithm::Crc32c.sum(&check)), "e3069283");
    assert_eq!(hex(&Algorithm::Crc64Nvme.sum(&check)), "ae8b14860a799888");
    // `printf 123456789 | md5sum`.
    assert_eq!(hex(&md5(&check)), "25f9e794323b453885f5181f1b624d0b");
}
