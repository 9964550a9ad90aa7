//! A load as a run's file describes it, and as the client that puts it on is told it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sluice_proto::units;

/// Bytes; written `16 MiB`, `100 MB` or as a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A time; written `250 ms`, `3 s` or `10 min`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// In which order an upload's chunks are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// From the first to the last.
    #[default]
    InOrder,
    /// In an order of chance, the same in every run.
    Shuffled,
    /// The last one first, then from the first on: the object's end is known early.
    LastFirst,
}

/// What the bytes are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// Noise, the same in every run; half a MiB of it again and again, so that a client has it in
    /// its CPU's cache.
    #[default]
    Random,
    /// Zeros.
    Zero,
    /// A file's, read once before the clock runs, repeated where it is too short.
    File(PathBuf),
}

/// Where the chunks of an upload are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// To the address that the server names as the owner's.
    #[default]
    Owner,
    /// To the address that all share.
    Shared,
    /// To an address that is another upload's owner's: each chunk crosses the mesh.
    Wrong,
}

/// How sure a chunk must be before its ack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// As the server has it.
    #[default]
    Default,
    /// In memory.
    Received,
    /// Survives the process.
    Spooled,
}

/// One size of upload in a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Bytes of an upload.
    pub upload_size: Size,
    /// Bytes of its chunks.
    pub chunk_size: Size,
    /// How often, against the other shares.
    pub weight: u32,
}

/// How fast an open loop offers chunks. Without one the loop is closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offered {
    /// Payload bytes a second.
    Bytes(Size),
    /// A share of what another run of the suite came to in the same round (its median without one).
    Of {
        /// The run, by name.
        run: String,
        /// What part of its bytes a second.
        share: f64,
    },
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Connections, to the address or to each owner.
    pub connections: usize,
    /// Uploads at a time.
    pub uploads: usize,
    /// Bytes of an upload.
    pub upload_size: Size,
    /// Bytes of a chunk; an upload's last may be smaller.
    pub chunk_size: Size,
    /// Uploads of several sizes, instead of one.
    pub mix: Vec<Share>,
    /// Chunks of one upload in flight.
    pub parallel: usize,
    /// Order of an upload's chunks.
    pub order: Order,
    /// What is sent.
    pub fill: Fill,
    /// Whether chunks carry a checksum (CRC-64/NVME) for the server to verify.
    pub checksums: bool,
    /// Whether the size and the chunk size are promised at the start.
    pub promise: bool,
    /// Where chunks are sent.
    pub route: Route,
    /// The level that acks are asked for.
    pub ack: Ack,
    /// The largest HTTP/2 frame that is sent, if smaller than what the server takes.
    pub frame_size: Option<Size>,
    /// Uploads opened before the clock runs, with nothing in them, and left open.
    pub idle_uploads: usize,
    /// Load that isn't measured, before.
    pub warm_up: Time,
    /// How long is measured.
    pub duration: Time,
    /// Ends the measured time when so much is acked, if that is earlier.
    pub total_size: Option<Size>,
    /// Makes the loop an open one.
    pub offered: Option<Offered>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            connections: 2,
            uploads: 2,
            upload_size: Size(64 << 20),
            chunk_size: Size(16 << 20),
            mix: Vec::new(),
            parallel: 1,
            order: Order::default(),
            fill: Fill::default(),
            checksums: true,
            promise: true,
            route: Route::default(),
            ack: Ack::default(),
            frame_size: None,
            idle_uploads: 0,
            warm_up: Time(Duration::from_millis(500)),
            duration: Time(Duration::from_secs(3)),
            total_size: None,
            offered: None,
        }
    }
}

/// What a client program reads from its standard input: one JSON object.
///
/// It writes a line `begin` when the measured time begins, a line `end` when that is over, and at
/// last one line of JSON: its [`Outcome`](crate::outcome::Outcome).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Where the server listens: `127.0.0.1:7070`, or a URL for what isn't gRPC.
    pub address: String,
    /// What is sent; `offered` is `Bytes` if it is anything.
    pub load: Load,
    /// What one kind of client needs beside (credentials, a bucket). `shards` is for those that
    /// spread uploads over several.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
}

/// A size is written as a number or as people write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => units::parse_size(&text)
                .map(Self)
                .ok_or_else(|| de::Error::custom(format!("{text:?} is no size such as 16 MiB"))),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::format_size_exact(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::parse_duration(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no time such as 250 ms or 3 s")))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} ms", self.0.as_millis()))
    }
}
