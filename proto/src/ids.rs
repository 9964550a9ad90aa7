//! The names of things, parsed once: whoever holds one of these types holds a
//! value that the contract allows.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::error::{Reason, Refusal};
use crate::limits;

/// A text or number that isn't a valid value of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct InvalidId {
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl InvalidId {
    /// FIELD_INVALID about the request field `field`.
    pub fn refusal(self, field: &'static str) -> Refusal {
        Refusal::new(Reason::FieldInvalid, format!("{field}: {}", self.rule)).field(field)
    }
}

/// A slice of a node's uploads: the unit that is dealt to shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub u16);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names an upload: the server that made it, its store there, and randomness.
///
/// Shown as 40 letters and digits; opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId([u8; UploadId::BYTES]);

impl UploadId {
    /// Bytes of the binary form.
    pub const BYTES: usize = 25;
    /// Characters of the text form: 25 bytes are exactly 40 digits of 5 bits.
    pub const TEXT_BYTES: usize = 40;

    /// Puts an id together. `random` must be hard to guess.
    pub fn new(node: u64, store: StoreId, random: [u8; 15]) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&node.to_be_bytes());
        bytes[8..10].copy_from_slice(&store.0.to_be_bytes());
        bytes[10..].copy_from_slice(&random);
        Self(bytes)
    }

    /// Reads the text form. Only the form that [`fmt::Display`] writes is
    /// taken, so two different texts never name one upload.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId { rule: "not an upload id of this service" };
        if text.len() != Self::TEXT_BYTES {
            return Err(RULE);
        }
        let mut bytes = [0; Self::BYTES];
        match BASE32.decode_mut(text.as_bytes(), &mut bytes) {
            Ok(Self::BYTES) => Ok(Self(bytes)),
            _ => Err(RULE),
        }
    }

    /// Reads an `upload_id` as a request carries it: FIELD_INVALID if it is
    /// empty, UPLOAD_UNKNOWN if it can't be one of ours.
    pub fn from_request(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(InvalidId { rule: "must not be empty" }.refusal("upload_id"));
        }
        Self::parse(text).map_err(|_| Refusal::new(Reason::UploadUnknown, "no such upload"))
    }

    /// Reads the binary form; every 25 bytes are one.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The binary form.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The server that made it.
    pub fn node(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("8 of 25 bytes"))
    }

    /// Its store on that server.
    pub fn store(&self) -> StoreId {
        StoreId(u16::from_be_bytes([self.0[8], self.0[9]]))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_BYTES];
        BASE32.encode_mut(&self.0, &mut text);
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UploadId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

/// Crockford's digits in lower case, without his aliases: one text an id.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    spec.encoding().expect("32 different ASCII characters")
});

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and takes a text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The text, byte for byte.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// Names a node within its drive: `[A-Za-z0-9._-]{1,128}`.
    NodeId,
    check_name
);
text_id!(
    /// Names a drive: `[A-Za-z0-9._-]{1,128}`.
    DriveId,
    check_name
);
text_id!(
    /// Makes InitiateUpload repeatable: 1 to 128 bytes of visible ASCII.
    RequestId,
    check_request_id
);
text_id!(
    /// A client's name for a file: UTF-8, at most 1,024 bytes, no control
    /// character. May be empty. Never a path, never a key.
    Filename,
    check_filename
);

impl DriveId {
    /// The drive that an empty `drive_id` means.
    pub const DEFAULT: &'static str = "default";

    /// Reads a `drive_id` as a request carries it: empty is `default`.
    pub fn from_request(text: &str) -> Result<Self, Refusal> {
        let text = if text.is_empty() { Self::DEFAULT } else { text };
        Self::parse(text).map_err(|invalid| invalid.refusal("drive_id"))
    }
}

fn check_name(text: &str) -> Result<(), InvalidId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=limits::NODE_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(InvalidId { rule: "must match [A-Za-z0-9._-]{1,128}" })
}

fn check_request_id(text: &str) -> Result<(), InvalidId> {
    let sized = (1..=limits::REQUEST_ID_BYTES_MAX).contains(&text.len());
    if sized && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(InvalidId { rule: "must be 1 to 128 bytes of visible ASCII" })
}

fn check_filename(text: &str) -> Result<(), InvalidId> {
    if text.len() > limits::FILENAME_BYTES_MAX {
        return Err(InvalidId { rule: "must be at most 1,024 bytes" });
    }
    // `is_control` is exactly the category Cc.
    if text.chars().any(char::is_control) {
        return Err(InvalidId { rule: "must not contain control characters" });
    }
    Ok(())
}

/// The number of a chunk: 0 to 999,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkNumber(u32);

impl ChunkNumber {
    /// Checks a number as a message carries it.
    pub fn new(number: i32) -> Result<Self, InvalidId> {
        match u32::try_from(number) {
            Ok(number) if number <= limits::CHUNK_NUMBER_MAX => Ok(Self(number)),
            _ => Err(InvalidId { rule: "must be 0 to 999,999" }),
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ChunkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many chunks an upload has: 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkCount(u32);

impl ChunkCount {
    /// Checks a count as a message carries it.
    pub fn new(count: i32) -> Result<Self, InvalidId> {
        match u32::try_from(count) {
            Ok(count) if count <= limits::CHUNKS_PER_UPLOAD_MAX => Ok(Self(count)),
            _ => Err(InvalidId { rule: "must be 0 to 1,000,000" }),
        }
    }

    /// The count that the last chunk's number makes: one more.
    pub const fn through(last: ChunkNumber) -> Self {
        Self(last.0 + 1)
    }

    /// The count.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ChunkCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_upload_id_survives_its_text(node: u64, store: u16, random: [u8; 15]) {
            let id = UploadId::new(node, StoreId(store), random);
            let text = id.to_string();
            prop_assert_eq!(text.len(), UploadId::TEXT_BYTES);
            let back: UploadId = text.parse().unwrap();
            prop_assert_eq!(back, id);
            prop_assert_eq!((back.node(), back.store()), (node, StoreId(store)));
            prop_assert!(UploadId::parse(&text.to_uppercase()).is_err() || text == text.to_uppercase());
        }

        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in ".{0,60}") {
            if let Ok(id) = UploadId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn names_keep_to_their_alphabet() {
        assert!(NodeId::parse("a.B_9-").is_ok());
        assert!(NodeId::parse(&"x".repeat(128)).is_ok());
        for bad in ["", "a/b", "ä", "a b", &"x".repeat(129)] {
            assert!(NodeId::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(DriveId::from_request("").unwrap().as_str(), "default");
    }

    #[test]
    fn filenames_are_text_without_controls() {
        assert!(Filename::parse("../päth/🙂\u{200b}").is_ok());
        for bad in ["a\nb", "\u{85}", "\u{7f}", &"x".repeat(1025)] {
            assert!(Filename::parse(bad).is_err());
        }
    }

    #[test]
    fn numbers_and_counts_differ_by_one() {
        assert!(ChunkNumber::new(-1).is_err() && ChunkNumber::new(1_000_000).is_err());
        assert!(ChunkCount::new(-1).is_err() && ChunkCount::new(1_000_001).is_err());
        let last = ChunkNumber::new(999_999).unwrap();
        assert_eq!(ChunkCount::through(last), ChunkCount::new(1_000_000).unwrap());
    }

    #[test]
    fn an_empty_upload_id_is_a_mistake_and_a_foreign_one_unknown() {
        assert_eq!(UploadId::from_request("").unwrap_err().reason, Reason::FieldInvalid);
        assert_eq!(UploadId::from_request("x").unwrap_err().reason, Reason::UploadUnknown);
    }
}
