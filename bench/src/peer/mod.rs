//! What Sluice is held against: servers that are ours to set, and products as they come.

pub mod catalog;
pub mod forward;
pub mod product;
pub mod reactor_sink;
pub mod s3_sink;
pub mod service;
pub mod settings;
pub mod sink;
pub mod tonic_server;

mod count;
