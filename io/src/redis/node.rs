//! One server, and the connection to it while there is one.

use std::{
    cell::{Cell, RefCell},
    net::{SocketAddr, ToSocketAddrs as _},
    rc::Rc,
    time::Duration,
};

use async_lock::Mutex;
use redis::{Cmd, Value, pipe};

use super::{
    client::Login,
    connection::Connection,
    error::{Failed, RedisError},
};
use crate::reactor::{task, timer};

/// After a failed try to connect the next one waits so long; who comes meanwhile fails at once.
const PAUSE_MS: u64 = 100;

pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
    login: Rc<Login>,
    connection: RefCell<Option<Rc<Connection>>>,
    /// One connects at a time.
    connecting: Mutex<()>,
    failed: RefCell<Option<RedisError>>,
    failed_at_ms: Cell<u64>,
}

impl Node {
    pub(super) fn new(host: String, port: u16, login: Rc<Login>) -> Self {
        Self {
            host,
            port,
            login,
            connection: RefCell::default(),
            connecting: Mutex::new(()),
            failed: RefCell::default(),
            failed_at_ms: Cell::default(),
        }
    }

    /// Runs a command, connecting first if need be, all within `within`.
    ///
    /// `asking`: the slot is on its way to this server, which serves it already.
    pub(super) async fn run(
        &self,
        command: &Cmd,
        asking: bool,
        within: Duration,
    ) -> Result<Value, Failed> {
        let within_ms = within.as_millis() as u64;
        let mut used = None;
        let running = async {
            let connection = used.insert(self.connected(within).await?);
            if !asking {
                return connection.send(command).await;
            }
            let mut both = pipe();
            both.cmd("ASKING").add_command(command.clone());
            connection.send_all(&both).await
        };
        let ended = timer::deadline(running, within).await;
        let ended = ended.unwrap_or(Err(Failed::Error(RedisError::Deadline { within_ms })));
        if let (Err(Failed::Error(error)), Some(used)) = (&ended, used)
            && error.breaks()
        {
            self.abandon(&used);
        }
        ended
    }

    /// Drops a connection, unless another has taken its place.
    fn abandon(&self, used: &Rc<Connection>) {
        let mut current = self.connection.borrow_mut();
        if current.as_ref().is_some_and(|current| Rc::ptr_eq(current, used)) {
            *current = None;
        }
    }

    async fn connected(&self, within: Duration) -> Result<Rc<Connection>, RedisError> {
        if let Some(connection) = &*self.connection.borrow() {
            return Ok(Rc::clone(connection));
        }
        let _alone = self.connecting.lock().await;
        if let Some(connection) = &*self.connection.borrow() {
            return Ok(Rc::clone(connection));
        }
        let failed = self.failed.borrow().clone();
        if let Some(failed) = failed
            && timer::now_ms() < self.failed_at_ms.get() + PAUSE_MS
        {
            return Err(failed);
        }
        let opened = self.open(within).await;
        *self.failed.borrow_mut() = opened.as_ref().err().cloned();
        self.failed_at_ms.set(timer::now_ms());
        let connection = Rc::new(opened?);
        self.login.connects.set(self.login.connects.get() + 1);
        *self.connection.borrow_mut() = Some(Rc::clone(&connection));
        Ok(connection)
    }

    /// Tries the addresses of its name, in their order.
    async fn open(&self, within: Duration) -> Result<Connection, RedisError> {
        let mut last = None;
        for address in self.addresses().await? {
            match Connection::open(address, &self.login, within).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.unknown("it has no address")))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, RedisError> {
        if let Ok(ip) = self.host.parse() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        // The system's resolver blocks.
        let (host, port) = (self.host.clone(), self.port);
        let looked_up = task::blocking(move || (host.as_str(), port).to_socket_addrs()).await;
        looked_up.map(Iterator::collect).map_err(|error| self.unknown(&error.to_string()))
    }

    fn unknown(&self, problem: &str) -> RedisError {
        RedisError::Host { host: self.host.clone(), problem: problem.to_owned() }
    }
}
