//! Bytes on the local disk: bodies into files, objects into place, the data directory.
//!
//! Owns how bytes reach a file and what folders there are. Does not own which file or offset a
//! body gets, nor what a file means.

mod body;
mod directory;
mod layout;

pub use body::{BodyWriter, RangeReader};
pub use directory::{DataDirectory, Identity, OpenError};
pub use layout::{escape, is_missing, object_path, partial_path, remove, seal, segment_path};
