//! How commands reach a server.

use std::io;

use clap::Args;
use sluice_proto::client::{Client, ClientError};
use tokio::runtime::{Builder, Runtime};

/// Hashing and sending one file doesn't keep more cores busy.
const WORKERS: usize = 4;

/// The server to talk to.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The server's gRPC address.
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "SLUICE_SERVER",
        default_value = "127.0.0.1:7070"
    )]
    pub server: String,
}

impl Connection {
    /// Connects once.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn open(&self) -> Result<Client, ClientError> {
        Client::connect(&self.server).await
    }
}

/// What the client library runs on.
///
/// # Errors
/// When no thread can be made.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()
}
