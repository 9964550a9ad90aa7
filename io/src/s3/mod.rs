//! S3: any store that speaks its protocol, over this executor's sockets.
//!
//! A [`Client`] has one pool of HTTP/1.1 connections; what is sent goes out from where it lies, and
//! each request has deadlines, one of which catches a peer that has gone silent. rust-s3 fetches
//! credentials and knows how requests are signed; its transport isn't used. Nothing is tried again
//! here, but a request that provably was never sent, and one whose clock was off: [`again`] is for
//! the caller. What an object means is none of this module's business.

mod again;
mod body;
mod checksums;
mod client;
mod credentials;
mod endpoint;
mod error;
mod headers;
mod multipart;
mod multipart_lists;
mod object;
mod pool;
mod probe;
mod request;
mod sign;
mod transport;
mod watch;
mod xml;

pub use again::{Again, again};
pub use body::Body;
pub use checksums::Checksums;
pub use client::{Bucket, Client, Counts, Settings, Times};
pub use credentials::{Credentials, CredentialsError, CredentialsSource};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{ErrorKind, S3Error};
pub use headers::{
    Encryption, METADATA_BYTES_MAX, MetadataError, ObjectOptions, check_metadata, metadata_bytes,
};
pub use multipart::{MultipartSum, Part, Whole};
pub use multipart_lists::{Multipart, MultipartsPage, PartsPage};
pub use object::{ObjectBody, ObjectHead, Stored};
pub use probe::{Abilities, probe};
