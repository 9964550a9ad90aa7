//! How Redis is reached.

use std::time::Duration;

use sluice_io::redis::{RedisUrl, Settings};

/// How Redis is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it is, and who asks.
    pub url: RedisUrl,
    /// A command is given up after this.
    pub within: Duration,
}

impl Redis {
    /// For the client of a node.
    pub fn client(&self, node: u64) -> Settings {
        let client_name = format!("sluice-{node:016x}");
        Settings { url: self.url.clone(), client_name, within: self.within }
    }
}
