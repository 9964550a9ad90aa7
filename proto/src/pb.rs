//! Generated messages and, under the `services` feature, service stubs.
//!
//! The `.proto` files hold the documentation. `bytes` fields are
//! [`bytes::Bytes`], so decoding from one shares its memory.

#![allow(missing_docs, rustdoc::invalid_html_tags, rustdoc::bare_urls, clippy::all)]

/// `google.rpc`: the status and its details.
pub mod google {
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

/// `sluice.upload.v1`: the contract.
pub mod sluice {
    pub mod upload {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sluice.upload.v1.rs"));
        }
    }
}

pub use google::rpc;
pub use sluice::upload::v1::*;

/// Every file of the contract and what it imports, as an encoded
/// `google.protobuf.FileDescriptorSet`: what server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
