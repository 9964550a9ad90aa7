//! The contract's table of errors: each reason is provoked, and told in full by its code, its
//! field, its figures, and the time to come back where there is one.
//!
//! Each scene is a server on which some reasons can be provoked; [`scene`] says which, and why the
//! others can't be.

mod mend;
mod short;

use std::collections::BTreeSet;

use prost::Message;
use sluice_proto::error::{Code, Reason};

use crate::harness::{RawAnswer, RawCall, message};

/// Where a reason is provoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// A server without anything special: [`mend`].
    Plain,
    /// One that keeps chunks in little memory: [`short`].
    LittleMemory,
    /// One with a spool of nothing and room for one upload.
    LittleRoom,
    /// One whose disk refuses.
    BrokenDisk,
    /// One that ends.
    Ending,
    /// One under a client that stalls.
    Stalled,
    /// Nowhere: what can't happen in the default mode, or by what a client does.
    Nowhere(&'static str),
}

/// A reason that is new to the contract doesn't compile until it is said here where it is tested.
fn scene(reason: Reason) -> Scene {
    match reason {
        Reason::FieldInvalid
        | Reason::ChunkTooLarge
        | Reason::ChunkSizeBroken
        | Reason::LastConflict
        | Reason::RequestIdReused
        | Reason::SizeMismatch
        | Reason::ChecksumMismatch
        | Reason::UploadEnded
        | Reason::ChunkConflict
        | Reason::ChunkSealed
        | Reason::MissingChunks
        | Reason::ObjectMismatch
        | Reason::NodeExists
        | Reason::NameExists
        | Reason::DriveExists
        | Reason::UploadUnknown
        | Reason::DriveUnknown
        | Reason::NodeUnknown
        | Reason::Quota
        | Reason::CompressionUnsupported
        | Reason::MethodUnknown => Scene::Plain,
        Reason::AckUnavailable | Reason::Budget => Scene::LittleMemory,
        Reason::SpoolFull | Reason::TooManyUploads => Scene::LittleRoom,
        Reason::UploadCompleting | Reason::BackendDown => Scene::BrokenDisk,
        Reason::Draining => Scene::Ending,
        Reason::Rate => Scene::Stalled,
        Reason::Loading => Scene::Nowhere("all stores are read before anybody listens"),
        Reason::NotOwner => Scene::Nowhere("a node alone owns all uploads"),
        Reason::Unauthenticated | Reason::PermissionDenied => {
            Scene::Nowhere("there is no authentication")
        }
        Reason::StoreRefused => Scene::Nowhere("objects lie on disk; `s3::faults` has it"),
        Reason::Internal => Scene::Nowhere("it would be a bug"),
    }
}

/// One call that is refused, and what it is told.
struct Row {
    method: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    request: Vec<u8>,
    reason: Reason,
    field: &'static str,
    figures: Vec<(&'static str, String)>,
}

fn row(
    method: &'static str,
    request: &impl Message,
    (reason, field): (Reason, &'static str),
    figures: &[(&'static str, &str)],
) -> Row {
    let figures = figures.iter().map(|&(name, figure)| (name, figure.to_owned())).collect();
    Row { method, headers: Vec::new(), request: request.encode_to_vec(), reason, field, figures }
}

impl Row {
    async fn provoke(&self, address: &str) {
        let call = RawCall::open(address, self.method, &self.headers).await;
        call.send(message(0, &self.request));
        self.assert_told(&call.end().await);
    }

    fn assert_told(&self, answer: &RawAnswer) {
        let RawAnswer { refusal, headers } = answer;
        assert_eq!(refusal.reason, Some(self.reason), "{refusal:?}");
        assert_eq!(refusal.code, self.reason.code().number(), "{refusal:?}");
        assert_eq!(refusal.field.as_deref().unwrap_or_default(), self.field, "{refusal:?}");
        assert!(!refusal.message.is_empty(), "{refusal:?}");
        let figures = self.figures.iter().map(|(name, figure)| (name.to_string(), figure.clone()));
        assert_eq!(refusal.metadata, figures.collect(), "{refusal:?}");
        // Both ways to be told: gRPC libraries read the header by themselves.
        let comes_back = matches!(self.reason.code(), Code::ResourceExhausted | Code::Unavailable);
        assert_eq!(refusal.retry_after.is_some(), comes_back, "{refusal:?}");
        let pushback = headers.get("grpc-retry-pushback-ms").map(|ms| ms.to_str().unwrap());
        let told_ms = refusal.retry_after.map(|after| after.as_millis().to_string());
        assert_eq!(pushback, told_ms.as_deref(), "{refusal:?}");
        assert_ne!(pushback, Some("0"), "{refusal:?}");
    }
}

/// The rows of a scene are all that [`scene`] says of it.
fn assert_all(of: Scene, rows: &[Row]) {
    let names = |reasons: Vec<Reason>| -> BTreeSet<&str> {
        reasons.into_iter().map(Reason::as_str).collect()
    };
    let here = Reason::ALL.iter().copied().filter(|&reason| scene(reason) == of);
    assert_eq!(names(rows.iter().map(|row| row.reason).collect()), names(here.collect()));
}

#[test]
fn what_is_provoked_nowhere_is_told_why() {
    let mut nowhere = Vec::new();
    for &reason in Reason::ALL {
        if let Scene::Nowhere(why) = scene(reason) {
            assert!(!why.is_empty());
            nowhere.push(reason.as_str());
        }
    }
    // Whoever adds one has to mean it.
    let expected = [
        "STORE_REFUSED",
        "LOADING",
        "NOT_OWNER",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "INTERNAL",
    ];
    assert_eq!(nowhere, expected);
}
