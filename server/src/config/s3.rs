//! How an object store is reached, and how objects are stored there.

use std::time::Duration;

use sluice_io::{
    s3::{CredentialsSource, Encryption, Endpoint, Settings, Times},
    tls::Tls,
};

/// A connection that is idle for longer is closed: before the store closes it.
const IDLE: Duration = Duration::from_secs(15);

/// How an object store is reached, and how objects are stored there.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How it is made sure who answers, with `https://`.
    pub tls: Option<Tls>,
    /// The bucket of drive `default`.
    pub bucket: String,
    /// As requests are signed for.
    pub region: String,
    /// Where keys come from.
    pub credentials: CredentialsSource,
    /// Whether a bucket is named in the path, not in the host.
    pub is_path_style: bool,
    /// A request may take so long, beside what its bytes take.
    pub timeout: Duration,
    /// No byte moves for so long: the request is given up.
    pub stall: Duration,
    /// Connections of one shard.
    pub connections_max: u32,
    /// Parts of one upload that are sent at one time.
    pub parts_in_flight: u32,
    /// Objects up to here go in one PUT, bytes.
    pub single_put_bytes: u64,
    /// An upload fails after the store has denied it for so long.
    pub denied: Duration,
    /// Such as `STANDARD_IA`; `None`: the bucket's.
    pub storage_class: Option<String>,
    /// How the store encrypts objects; `None`: as the bucket is set.
    pub encryption: Option<Encryption>,
    /// Of every object.
    pub tags: Vec<(String, String)>,
    /// Cache-Control of every object.
    pub cache_control: Option<String>,
    /// Whether multipart uploads that nobody goes on with are given up; or told alone.
    pub aborts_orphans: bool,
}

impl S3 {
    /// For the client of one shard, with so many connections.
    pub fn client(&self, connections_max: u32) -> Settings {
        Settings {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            is_path_style: self.is_path_style,
            tls: self.tls.clone(),
            connections_max: connections_max as usize,
            idle: IDLE,
            times: Times { request: self.timeout, stall: self.stall, ..Times::default() },
        }
    }

    /// `s3.credentials` as it is written.
    pub fn credentials_name(&self) -> &'static str {
        match self.credentials {
            CredentialsSource::Keys { .. } => "static",
            CredentialsSource::Environment => "environment",
            CredentialsSource::Profile { .. } => "profile",
            CredentialsSource::WebIdentity => "web_identity",
            CredentialsSource::Container => "container",
            CredentialsSource::InstanceMetadata => "instance",
            CredentialsSource::Chain => "chain",
        }
    }
}
