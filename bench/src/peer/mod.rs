//! What Sluice is held against: servers that are ours to set, and products as they come.

pub mod catalog;
pub mod settings;
