//! One connection, logged in.

use std::{net::SocketAddr, time::Duration};

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, Value,
    aio::MultiplexedConnection, cmd,
};

use super::{
    client::Login,
    error::{Failed, RedisError},
};
use crate::{
    reactor::task::{self, CancelOnDrop},
    tls::Socket,
};

/// Commands that wait for their turn to be written; more wait with who sends them.
const WAITING_MAX: usize = 1024;

/// A connection on which commands are pipelined. Dropping it closes it.
pub(super) struct Connection {
    handle: MultiplexedConnection,
    _driver: CancelOnDrop<()>,
}

impl Connection {
    /// Connects to `host` at `address`; `within` as for [`Socket::connect`].
    pub(super) async fn open(
        host: &str,
        address: SocketAddr,
        login: &Login,
        within: Duration,
    ) -> Result<Self, RedisError> {
        let connecting = Socket::connect(address, host, login.tls.as_ref(), within);
        let refused = |error| RedisError::connect(host, address, &error);
        let socket = connecting.await.map_err(refused)?;
        // Without a time of its own: that would start a thread beside the executors.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING_MAX);
        let info = login.info();
        let opened = MultiplexedConnection::new_with_config(&info, socket, config);
        let (handle, driver) = opened.await.map_err(unredirected)?;
        let driver = task::spawn_local(driver).cancel_on_drop();
        let connection = Self { handle, _driver: driver };
        let mut name = cmd("CLIENT");
        name.arg("SETNAME").arg(&login.client_name);
        connection.send(&name).await.map_err(unredirected)?;
        Ok(connection)
    }

    /// Sends a command; its answer. Dropped before, the answer goes to nobody.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, Failed> {
        let mut handle = self.handle.clone();
        Ok(handle.send_packed_command(command).await?.extract_error()?)
    }

    /// Sends commands together; the answer of the last.
    pub(super) async fn send_all(&self, commands: &Pipeline) -> Result<Value, Failed> {
        let mut handle = self.handle.clone();
        let count = commands.len();
        let answers = handle.send_packed_commands(commands, 0, count).await?;
        let mut last = Value::Nil;
        for answer in answers {
            last = answer.extract_error()?;
        }
        Ok(last)
    }
}

/// Where no key is named, nobody is sent elsewhere.
pub(super) fn unredirected(failed: impl Into<Failed>) -> RedisError {
    match failed.into() {
        Failed::Error(error) => error,
        other => RedisError::Answer(format!("{other:?}")),
    }
}

impl Login {
    fn info(&self) -> RedisConnectionInfo {
        let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
        let info = if self.user.is_empty() { info } else { info.set_username(&self.user) };
        if self.password.is_empty() { info } else { info.set_password(&self.password) }
    }
}
