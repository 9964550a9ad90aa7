//! How commands reach a server.

use std::io;

use clap::Args;
use sluice_proto::client::{Client, ClientError};
use tokio::runtime::{Builder, Runtime};

use crate::command::{Exit, output};

/// Hashing and sending doesn't keep more cores busy.
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

    /// Connects, does the work, and says on stderr what went wrong.
    pub fn call(&self, work: impl AsyncFnOnce(Client) -> Result<Exit, ClientError>) -> Exit {
        run(async {
            let done = match self.open().await {
                Ok(client) => work(client).await,
                Err(error) => Err(error),
            };
            done.unwrap_or_else(|error| {
                output::problem(&error);
                Exit::of(&error, false)
            })
        })
    }
}

/// Runs what the client library is part of.
pub fn run(work: impl Future<Output = Exit>) -> Exit {
    match runtime() {
        Ok(runtime) => {
            let exit = runtime.block_on(work);
            // A read of the standard input that nobody waits for would hold up the end.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            output::problem(error);
            Exit::Failed
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()
}
