//! Kinds of servers and clients, and which of them speak with each other.

use std::fmt;

use serde::Deserialize;

use crate::suite::Backend;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// Sluice itself.
    Sluice,
    /// A tonic server as its guide has it, with the C library's allocator.
    TonicStock,
    /// The same with larger windows and frames, one thread, and mimalloc.
    TonicTuned,
    /// Blocking threads that read TCP and drop it: the limit.
    Sink,
    /// The same into buffers of a chunk's size by turns: the limit where chunks are held.
    SinkRotating,
    /// A sink on glommio.
    SinkGlommio,
    /// Blocking threads that read TCP and send it on: the limit of what lies between.
    Forward,
    /// The same through buffers of a chunk's size by turns: the limit where chunks are held.
    ForwardRotating,
    /// A tus server, to local disk.
    Tusd,
    /// An object store that speaks S3, to local disk.
    Seaweedfs,
    /// Redis that keeps nothing on disk.
    Redis,
    /// No server: the client measures itself.
    None,
}

/// What puts the load on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// The bench's own gRPC client, which costs the least.
    Own,
    /// A client made with tonic.
    Tonic,
    /// What feeds the sinks.
    Tcp,
    /// SETs of a chunk's size.
    RedisSet,
    /// Records of chunks, one a script.
    Transitions,
    /// Resumable uploads over HTTP, by a stock client.
    Tus,
    /// S3 by a stock client.
    S3,
    /// gRPC's Go library.
    GrpcGo,
    /// gRPC's Java library.
    GrpcJava,
    /// gRPC's Python library.
    GrpcPython,
    /// The load generator ghz.
    Ghz,
    /// One pass of SHA-256 over the payload.
    Sha256,
    /// No client: the server at rest.
    None,
}

impl ServerKind {
    /// As a run's file names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::TonicStock => "tonic-stock",
            Self::TonicTuned => "tonic-tuned",
            Self::Sink => "sink",
            Self::SinkRotating => "sink-rotating",
            Self::SinkGlommio => "sink-glommio",
            Self::Forward => "forward",
            Self::ForwardRotating => "forward-rotating",
            Self::Tusd => "tusd",
            Self::Seaweedfs => "seaweedfs",
            Self::Redis => "redis",
            Self::None => "none",
        }
    }

    /// Whether the client has something to say to it.
    pub fn answers(self, client: ClientKind) -> bool {
        use ClientKind as C;
        match self {
            Self::Sluice | Self::TonicStock | Self::TonicTuned => matches!(
                client,
                C::Own | C::Tonic | C::GrpcGo | C::GrpcJava | C::GrpcPython | C::Ghz | C::None
            ),
            Self::Sink
            | Self::SinkRotating
            | Self::SinkGlommio
            | Self::Forward
            | Self::ForwardRotating => matches!(client, C::Tcp | C::None),
            Self::Tusd => matches!(client, C::Tus | C::None),
            Self::Seaweedfs => matches!(client, C::S3 | C::None),
            Self::Redis => matches!(client, C::RedisSet | C::Transitions | C::None),
            Self::None => client == C::Sha256,
        }
    }

    /// Whether it can have that behind it, or do without.
    pub fn stands_before(self, backend: Option<Backend>) -> bool {
        match self {
            Self::Sluice => backend != Some(Backend::Sink),
            Self::Forward | Self::ForwardRotating => backend == Some(Backend::Sink),
            _ => backend.is_none(),
        }
    }
}

impl ClientKind {
    /// As a run's file names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Tonic => "tonic",
            Self::Tcp => "tcp",
            Self::RedisSet => "redis-set",
            Self::Transitions => "transitions",
            Self::Tus => "tus",
            Self::S3 => "s3",
            Self::GrpcGo => "grpc-go",
            Self::GrpcJava => "grpc-java",
            Self::GrpcPython => "grpc-python",
            Self::Ghz => "ghz",
            Self::Sha256 => "sha256",
            Self::None => "none",
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_another_protocol_gets_no_answer() {
        assert!(ServerKind::TonicStock.answers(ClientKind::Own));
        assert!(!ServerKind::Sink.answers(ClientKind::Own));
        assert!(!ServerKind::None.answers(ClientKind::Tcp));
        assert!(ServerKind::Sluice.answers(ClientKind::None));
    }

    #[test]
    fn who_sends_on_needs_somebody_who_takes_it() {
        assert!(ServerKind::Forward.stands_before(Some(Backend::Sink)));
        assert!(!ServerKind::Forward.stands_before(None));
        assert!(ServerKind::Sluice.stands_before(Some(Backend::SinkS3)));
        assert!(ServerKind::Sluice.stands_before(None));
        assert!(!ServerKind::Sink.stands_before(Some(Backend::Redis)));
    }

    #[test]
    fn names_are_those_of_the_files() {
        #[derive(Deserialize)]
        struct File {
            server: ServerKind,
            client: ClientKind,
        }
        let read: File = toml::from_str("server = 'sink-rotating'\nclient = 'grpc-java'").unwrap();
        assert_eq!(read.server.name(), "sink-rotating");
        assert_eq!(read.client.name(), "grpc-java");
    }
}
