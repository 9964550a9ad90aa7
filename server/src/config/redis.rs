//! How Redis is reached.

use std::time::Duration;

use sluice_io::{
    redis::{RedisUrl, Settings},
    tls::Tls,
};

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Where it is, and who asks.
    pub url: RedisUrl,
    /// How it is made sure who answers, with `rediss://`.
    pub tls: Option<Tls>,
    /// A command is given up after this.
    pub within: Duration,
}

impl Redis {
    /// For the client of a node.
    pub fn client(&self, node: u64) -> Settings {
        let client_name = format!("sluice-{node:016x}");
        let (url, tls) = (self.url.clone(), self.tls.clone());
        Settings { url, tls, client_name, within: self.within }
    }
}
