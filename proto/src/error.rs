//! Every refusal of the contract, and the one table that maps it to a code.
//!
//! The code says what the caller does next; the reason says why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prost::Message;

use crate::pb::rpc;

/// The domain of every `ErrorInfo` that Sluice sends.
pub const DOMAIN: &str = "sluice";

const ERROR_INFO_URL: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const BAD_REQUEST_URL: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO_URL: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The gRPC codes that Sluice answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Code {
    /// Mend the call.
    InvalidArgument = 3,
    /// There is no such thing.
    NotFound = 5,
    /// There is one already.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// Wait as told, then send it again.
    ResourceExhausted = 8,
    /// Look at the upload first.
    FailedPrecondition = 9,
    /// Send it again.
    Aborted = 10,
    /// The server can't do this.
    Unimplemented = 12,
    /// A bug of the server.
    Internal = 13,
    /// Wait as told, then send it again, perhaps elsewhere.
    Unavailable = 14,
    /// The caller must say who it is.
    Unauthenticated = 16,
}

impl Code {
    /// Its number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $wire:literal => $code:ident,)*) => {
        /// Why a call was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// What the caller does next.
            pub const fn code(self) -> Code {
                match self { $(Reason::$name => Code::$code,)* }
            }

            /// Its name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $wire,)* }
            }

            /// Reads the name on the wire.
            pub fn parse(wire: &str) -> Option<Reason> {
                match wire { $($wire => Some(Reason::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// A field breaks its rule; `BadRequest` names it.
    FieldInvalid "FIELD_INVALID" => InvalidArgument,
    /// More bytes than `max_chunk_bytes`.
    ChunkTooLarge "CHUNK_TOO_LARGE" => InvalidArgument,
    /// Another length than `chunk_size_bytes` promised.
    ChunkSizeBroken "CHUNK_SIZE_BROKEN" => InvalidArgument,
    /// Another number of chunks than was fixed, or a chunk beyond it.
    LastConflict "LAST_CONFLICT" => InvalidArgument,
    /// The `request_id` was used with other parameters.
    RequestIdReused "REQUEST_ID_REUSED" => InvalidArgument,
    /// Another size than was declared.
    SizeMismatch "SIZE_MISMATCH" => InvalidArgument,
    /// The chunk's bytes don't have the checksum sent with them.
    ChecksumMismatch "CHECKSUM_MISMATCH" => Aborted,
    /// The upload ended already.
    UploadEnded "UPLOAD_ENDED" => FailedPrecondition,
    /// The upload is ending and can't be aborted any more.
    UploadCompleting "UPLOAD_COMPLETING" => FailedPrecondition,
    /// This number is held by other bytes.
    ChunkConflict "CHUNK_CONFLICT" => FailedPrecondition,
    /// This number was stored already; `force` comes too late.
    ChunkSealed "CHUNK_SEALED" => FailedPrecondition,
    /// Chunks are missing; the metadata has their count and first ranges.
    MissingChunks "MISSING_CHUNKS" => FailedPrecondition,
    /// The object isn't what was declared.
    ObjectMismatch "OBJECT_MISMATCH" => FailedPrecondition,
    /// The object store doesn't take it, now or later.
    StoreRefused "STORE_REFUSED" => FailedPrecondition,
    /// The server's layers can't give this `ack_level`.
    AckUnavailable "ACK_UNAVAILABLE" => FailedPrecondition,
    /// The `node_id` is taken.
    NodeExists "NODE_EXISTS" => AlreadyExists,
    /// The filename is taken and `if_not_exists` was set.
    NameExists "NAME_EXISTS" => AlreadyExists,
    /// The drive is there, with other parameters.
    DriveExists "DRIVE_EXISTS" => AlreadyExists,
    /// No such upload, or another tenant's.
    UploadUnknown "UPLOAD_UNKNOWN" => NotFound,
    /// No such drive, or another tenant's.
    DriveUnknown "DRIVE_UNKNOWN" => NotFound,
    /// No such node, or another tenant's.
    NodeUnknown "NODE_UNKNOWN" => NotFound,
    /// No memory for this chunk just now.
    Budget "BUDGET" => ResourceExhausted,
    /// The drive's or tenant's quota is used up.
    Quota "QUOTA" => ResourceExhausted,
    /// Too many calls or bytes a second.
    Rate "RATE" => ResourceExhausted,
    /// The spool has no room just now.
    SpoolFull "SPOOL_FULL" => ResourceExhausted,
    /// Too many uploads are open.
    TooManyUploads "TOO_MANY_UPLOADS" => ResourceExhausted,
    /// The server is shutting down.
    Draining "DRAINING" => Unavailable,
    /// The server is still reading what it knows of this upload.
    Loading "LOADING" => Unavailable,
    /// Another server owns it; the metadata has its `endpoint`.
    NotOwner "NOT_OWNER" => Unavailable,
    /// Something behind the server is down.
    BackendDown "BACKEND_DOWN" => Unavailable,
    /// No or no valid credentials.
    Unauthenticated "UNAUTHENTICATED" => Unauthenticated,
    /// Valid credentials without this right.
    PermissionDenied "PERMISSION_DENIED" => PermissionDenied,
    /// The message is compressed.
    CompressionUnsupported "COMPRESSION_UNSUPPORTED" => Unimplemented,
    /// No such method.
    MethodUnknown "METHOD_UNKNOWN" => Unimplemented,
    /// A bug of the server.
    Internal "INTERNAL" => Internal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A call that is refused, as the server makes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For a developer, in English; never a secret.
    pub message: String,
    /// The request field at fault.
    pub field: Option<&'static str>,
    /// The figures.
    pub metadata: Vec<(&'static str, String)>,
    /// When to try again, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal without a field, figures, or a time to retry.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, message, field: None, metadata: Vec::new(), retry_after_ms: None }
    }

    /// FIELD_INVALID about `field`.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::new(Reason::FieldInvalid, message).field(field)
    }

    /// Names the request field at fault.
    #[must_use]
    pub fn field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Says when to try again, in milliseconds from now.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// What the caller does next.
    pub const fn code(&self) -> Code {
        self.reason.code()
    }

    /// The whole of it for the wire: `ErrorInfo`, `BadRequest` if a field is at
    /// fault, `RetryInfo` if there is a time to retry.
    pub fn to_status(&self) -> rpc::Status {
        let info = rpc::ErrorInfo {
            reason: self.reason.as_str().into(),
            domain: DOMAIN.into(),
            metadata: self.metadata.iter().map(|(k, v)| ((*k).into(), v.clone())).collect(),
        };
        let mut details = vec![any(ERROR_INFO_URL, &info)];
        if let Some(field) = self.field {
            let violation = rpc::bad_request::FieldViolation {
                field: field.into(),
                description: self.message.clone(),
                reason: self.reason.as_str().into(),
            };
            let bad = rpc::BadRequest { field_violations: vec![violation] };
            details.push(any(BAD_REQUEST_URL, &bad));
        }
        if let Some(ms) = self.retry_after_ms {
            let delay = prost_types::Duration {
                seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
                nanos: (ms % 1000) as i32 * 1_000_000,
            };
            details.push(any(RETRY_INFO_URL, &rpc::RetryInfo { retry_delay: Some(delay) }));
        }
        rpc::Status { code: self.code().number(), message: self.message.clone(), details }
    }
}

fn any(type_url: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any { type_url: type_url.into(), value: message.encode_to_vec() }
}

/// A refusal as the client reads it: from this server, another version of it,
/// or a proxy between.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} (code {code}): {message}", reason.map_or("UNKNOWN", Reason::as_str))]
pub struct ReceivedRefusal {
    /// The gRPC code's number.
    pub code: i32,
    /// Why, if it is a reason that this version knows.
    pub reason: Option<Reason>,
    /// For a developer.
    pub message: String,
    /// The request field at fault.
    pub field: Option<String>,
    /// The figures.
    pub metadata: BTreeMap<String, String>,
    /// How long to wait before the next attempt.
    pub retry_after: Option<Duration>,
}

impl ReceivedRefusal {
    /// Reads a status. Details that can't be read are left out: the code alone
    /// still says what to do.
    pub fn from_status(status: &rpc::Status) -> Self {
        let mut read = Self {
            code: status.code,
            reason: None,
            message: status.message.clone(),
            field: None,
            metadata: BTreeMap::new(),
            retry_after: None,
        };
        for detail in &status.details {
            read.take_detail(&detail.type_url, &detail.value);
        }
        read
    }

    fn take_detail(&mut self, type_url: &str, value: &[u8]) {
        match type_url {
            ERROR_INFO_URL => {
                if let Ok(info) = rpc::ErrorInfo::decode(value)
                    && info.domain == DOMAIN
                {
                    self.reason = Reason::parse(&info.reason);
                    self.metadata = info.metadata.into_iter().collect();
                }
            }
            BAD_REQUEST_URL => {
                let bad = rpc::BadRequest::decode(value).unwrap_or_default();
                self.field = bad.field_violations.into_iter().next().map(|v| v.field);
            }
            RETRY_INFO_URL => {
                let info = rpc::RetryInfo::decode(value).unwrap_or_default();
                self.retry_after = info.retry_delay.and_then(|delay| delay.try_into().ok());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for &reason in Reason::ALL {
            let sent = Refusal::new(reason, "why").field("f").with("k", 7).retry_after_ms(1250);
            let wire = sent.to_status().encode_to_vec();
            let read = ReceivedRefusal::from_status(&rpc::Status::decode(&wire[..]).unwrap());
            assert_eq!(read.reason, Some(reason));
            assert_eq!(read.code, reason.code().number());
            assert_eq!(read.field.as_deref(), Some("f"));
            assert_eq!(read.metadata["k"], "7");
            assert_eq!(read.retry_after, Some(Duration::from_millis(1250)));
        }
    }

    /// `- REASON: …` below a line that begins with its code, or `- REASON (code CODE): …`.
    #[test]
    fn the_contract_tells_every_reason_and_its_code() {
        let contract = include_str!("../proto/google/rpc/error_details.proto");
        let (mut told, mut heading) = (Vec::new(), "");
        for line in contract.lines().filter_map(|line| line.strip_prefix("// ")) {
            if let Some((item, _)) = line.strip_prefix("- ").and_then(|item| item.split_once(':')) {
                let own = item.strip_suffix(')').and_then(|item| item.split_once(" (code "));
                told.push(own.unwrap_or((item, heading)));
            } else if !line.starts_with(' ') {
                heading = line.split([',', ':']).next().unwrap_or_default();
            }
        }
        for &reason in Reason::ALL {
            let code = told.iter().find(|(name, _)| *name == reason.as_str()).map(|(_, code)| code);
            let code = code.unwrap_or_else(|| panic!("{reason} isn't told"));
            let same = format!("{:?}", reason.code()).to_uppercase();
            assert_eq!(code.replace('_', ""), same, "{reason}");
        }
        assert_eq!(told.len(), Reason::ALL.len(), "{told:?}");
    }

    #[test]
    fn a_foreign_status_keeps_its_code() {
        let junk = prost_types::Any { type_url: ERROR_INFO_URL.into(), value: vec![0xff; 9] };
        let status = rpc::Status { code: 14, message: "proxy".into(), details: vec![junk] };
        let read = ReceivedRefusal::from_status(&status);
        assert_eq!((read.code, read.reason), (14, None));
    }
}
