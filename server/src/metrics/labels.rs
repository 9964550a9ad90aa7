//! What samples are told apart by: fixed sets, never an id or a name that a client chose.

/// Declares a set of label values.
macro_rules! labels {
    ($(#[$doc:meta])* $set:ident { $($(#[$value_doc:meta])* $value:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $set { $($(#[$value_doc])* $value,)* }

        impl $set {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];
            pub(super) const COUNT: usize = Self::ALL.len();

            /// As it is written in a sample.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }
    };
}

labels! {
    /// The methods that are served.
    Method {
        /// `UploadService.InitiateUpload`
        InitiateUpload "InitiateUpload",
        /// `UploadService.UploadChunk`
        UploadChunk "UploadChunk",
        /// `UploadService.UploadChunks`
        UploadChunks "UploadChunks",
        /// `UploadService.CompleteUpload`
        CompleteUpload "CompleteUpload",
        /// `UploadService.AbortUpload`
        AbortUpload "AbortUpload",
        /// `UploadService.GetUploadStatus`
        GetUploadStatus "GetUploadStatus",
        /// `UploadService.ListUploads`
        ListUploads "ListUploads",
        /// `UploadService.StreamUploadProgress`
        StreamUploadProgress "StreamUploadProgress",
        /// `NodeService.ListNodes`
        ListNodes "ListNodes",
        /// `NodeService.GetNode`
        GetNode "GetNode",
        /// `DriveService.CreateDrive`
        CreateDrive "CreateDrive",
        /// `DriveService.GetDrive`
        GetDrive "GetDrive",
        /// `DriveService.ListDrives`
        ListDrives "ListDrives",
        /// Health, reflection, and what isn't served.
        Other "other",
    }
}

labels! {
    /// What a chunk came to.
    ChunkResult {
        /// Taken.
        Accepted "accepted",
        /// Here already with the same bytes.
        Duplicate "duplicate",
        /// Refused, for whatever reason.
        Refused "refused",
        /// The client went away in the middle, or was too slow.
        Cut "cut",
    }
}

labels! {
    /// What an ack survives.
    Level {
        /// Nothing: it is in memory.
        Received "received",
        /// The end of the process.
        Spooled "spooled",
    }
}

labels! {
    /// Where bytes were found to differ from what was declared.
    Stage {
        /// In one chunk.
        Chunk "chunk",
        /// In the whole.
        Object "object",
    }
}

/// Where chunks wait for their place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpoolKind {
    /// On disk.
    #[default]
    Disk,
    /// In memory.
    Memory,
    /// In Redis.
    Redis,
}

impl SpoolKind {
    /// As it is written in a sample.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Redis => "redis",
        }
    }
}

labels! {
    /// What shards have done on disk, in databases and in object stores.
    Work {
        /// A chunk's body, from its last byte on.
        Write "write",
        /// A chunk's body in Redis, from its last byte on.
        Put "put",
        /// A body in Redis freed.
        Free "free",
        /// All bodies of an upload in Redis freed.
        Sweep "sweep",
        /// A chunk copied to its place.
        Place "place",
        /// A range of an object hashed.
        Hash "hash",
        /// An object moved to where it is found.
        Seal "seal",
        /// A file removed.
        Remove "remove",
        /// Steps of an upload written down.
        Record "record",
        /// An upload that ended read again.
        Load "load",
        /// A name claimed.
        Claim "claim",
        /// A node written.
        Finish "finish",
        /// A claim given back.
        Release "release",
        /// A multipart upload begun.
        Begin "create_multipart",
        /// A part sent.
        Send "upload_part",
        /// A small object sent.
        PutObject "put_object",
        /// A multipart upload made an object.
        Complete "complete_multipart",
        /// A multipart upload given up.
        Abort "abort_multipart",
        /// An object removed.
        Delete "delete_object",
        /// An object looked at.
        Head "head_object",
        /// Parts of a multipart upload listed.
        ListParts "list_parts",
        /// Multipart uploads listed.
        ListMultiparts "list_multiparts",
        /// A bucket looked at, after it didn't answer.
        HeadBucket "head_bucket",
        /// Uploads of a store listed for a client.
        List "list",
        /// Drives or nodes told to a client, or a drive made for one.
        Query "query",
    }
}

labels! {
    /// How a piece of work ended.
    WorkOutcome {
        /// Done.
        Ok "ok",
        /// The backend refused it.
        Error "error",
    }
}

labels! {
    /// How an upload ended.
    End {
        /// As an object.
        Completed "completed",
        /// It can't become one.
        Failed "failed",
        /// By its client.
        Aborted "aborted",
        /// By its lifetime.
        Expired "expired",
    }
}

labels! {
    /// Where an upload stands that has not ended.
    Active {
        /// No chunk is in.
        Pending "pending",
        /// Some are.
        Uploading "uploading",
        /// All are.
        Completing "completing",
    }
}

labels! {
    /// The status codes of gRPC; each is its own number.
    RpcCode {
        /// 0
        Ok "OK",
        /// 1
        Cancelled "CANCELLED",
        /// 2
        Unknown "UNKNOWN",
        /// 3
        InvalidArgument "INVALID_ARGUMENT",
        /// 4
        DeadlineExceeded "DEADLINE_EXCEEDED",
        /// 5
        NotFound "NOT_FOUND",
        /// 6
        AlreadyExists "ALREADY_EXISTS",
        /// 7
        PermissionDenied "PERMISSION_DENIED",
        /// 8
        ResourceExhausted "RESOURCE_EXHAUSTED",
        /// 9
        FailedPrecondition "FAILED_PRECONDITION",
        /// 10
        Aborted "ABORTED",
        /// 11
        OutOfRange "OUT_OF_RANGE",
        /// 12
        Unimplemented "UNIMPLEMENTED",
        /// 13
        Internal "INTERNAL",
        /// 14
        Unavailable "UNAVAILABLE",
        /// 15
        DataLoss "DATA_LOSS",
        /// 16
        Unauthenticated "UNAUTHENTICATED",
    }
}

impl Work {
    /// Which backend does it.
    pub(super) fn backend(self) -> &'static str {
        match self {
            Self::Write | Self::Place | Self::Hash | Self::Seal | Self::Remove => "disk",
            Self::Put | Self::Free | Self::Sweep => "redis",
            Self::Begin
            | Self::Send
            | Self::PutObject
            | Self::Complete
            | Self::Abort
            | Self::Delete
            | Self::Head
            | Self::ListParts
            | Self::ListMultiparts
            | Self::HeadBucket => "s3",
            Self::Record | Self::Load | Self::List => "state",
            Self::Claim | Self::Finish | Self::Release | Self::Query => "metadata",
        }
    }
}

impl Method {
    /// The method of a request's path, such as `/sluice.upload.v1.UploadService/UploadChunk`.
    pub fn of_path(path: &str) -> Self {
        let name = path.strip_prefix("/sluice.upload.v1.").and_then(|path| path.split_once('/'));
        let served = name.and_then(|(service, name)| {
            Self::ALL.iter().find(|m| m.as_str() == name && m.service() == Some(service))
        });
        served.copied().unwrap_or(Self::Other)
    }

    fn service(self) -> Option<&'static str> {
        Some(match self {
            Self::InitiateUpload
            | Self::UploadChunk
            | Self::UploadChunks
            | Self::CompleteUpload
            | Self::AbortUpload
            | Self::GetUploadStatus
            | Self::ListUploads
            | Self::StreamUploadProgress => "UploadService",
            Self::ListNodes | Self::GetNode => "NodeService",
            Self::CreateDrive | Self::GetDrive | Self::ListDrives => "DriveService",
            Self::Other => return None,
        })
    }
}

impl RpcCode {
    /// The code of a number on the wire; one that gRPC doesn't know is `Unknown`.
    pub fn of_number(number: i32) -> Self {
        let index = usize::try_from(number).ok();
        index.and_then(|index| Self::ALL.get(index)).copied().unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_proto::error::Reason;

    #[test]
    fn paths_and_numbers_find_their_labels() {
        let path = "/sluice.upload.v1.UploadService/UploadChunks";
        assert_eq!(Method::of_path(path), Method::UploadChunks);
        assert_eq!(Method::of_path("/sluice.upload.v1.NodeService/GetNode"), Method::GetNode);
        for other in [
            "/grpc.health.v1.Health/Check",
            "/sluice.upload.v1.UploadService/x",
            "/sluice.upload.v1.UploadService/GetNode",
            "/sluice.upload.v1.UploadService/other",
            "",
            "/",
        ] {
            assert_eq!(Method::of_path(other), Method::Other, "{other}");
        }
        for (number, code) in RpcCode::ALL.iter().enumerate() {
            assert_eq!(RpcCode::of_number(number as i32), *code);
        }
        assert_eq!(RpcCode::of_number(99), RpcCode::Unknown);
        assert_eq!(RpcCode::of_number(Reason::Budget.code().number()), RpcCode::ResourceExhausted);
    }
}
