//! One server, and the connection to it while there is one.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use async_lock::{Mutex, Semaphore};
use redis::{Cmd, Value, pipe};

use super::{
    body::Lent,
    client::Login,
    connection::{Connection, unredirected},
    error::{Failed, RedisError},
    raw::RawConnection,
};
use crate::reactor::timer;

/// After a failed try to connect the next one waits so long; who comes meanwhile fails at once.
const PAUSE_MS: u64 = 100;

/// Bodies on their way to one server at a time.
const WRITES_MAX: usize = 64;
/// Slices on their way from it. They never wait for bodies, which take as long as clients like.
const READS_MAX: usize = 16;
/// Connections for bodies that are kept while no body is on its way.
const IDLE_MAX: usize = 16;
/// And for how long: something on the way to the server may forget one that is silent for longer.
const IDLE_MS: u64 = 30_000;

pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
    login: Rc<Login>,
    connection: RefCell<Option<Rc<Connection>>>,
    /// One connects at a time.
    connecting: Mutex<()>,
    failed: RefCell<Option<RedisError>>,
    failed_at_ms: Cell<u64>,
    /// For bodies, with nothing on their way, and since when; the last came last.
    idle: RefCell<Vec<(u64, RawConnection)>>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
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
            idle: RefCell::default(),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
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

    /// Turns of bodies that are written.
    pub(super) fn writes(&self) -> &Arc<Semaphore> {
        &self.writes
    }

    /// Turns of slices that are read.
    pub(super) fn reads(&self) -> &Arc<Semaphore> {
        &self.reads
    }

    /// A connection for one body; waits for a while where too many have their turn.
    pub(super) async fn lend(
        self: &Rc<Self>,
        turns: &Arc<Semaphore>,
        within: Duration,
    ) -> Result<Lent, RedisError> {
        let within_ms = within.as_millis() as u64;
        let turn = timer::deadline(turns.acquire_arc(), within).await;
        let turn = turn.map_err(|_| RedisError::Deadline { within_ms })?;
        let connection = match self.idle() {
            Some(connection) => connection,
            None => self.open_raw(within).await?,
        };
        Ok(Lent { node: Rc::clone(self), connection, _turn: turn })
    }

    pub(super) fn take_back(&self, connection: RawConnection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push((timer::now_ms(), connection));
        }
    }

    fn idle(&self) -> Option<RawConnection> {
        let mut idle = self.idle.borrow_mut();
        let oldest_ms = timer::now_ms().saturating_sub(IDLE_MS);
        idle.retain(|(since_ms, _)| *since_ms >= oldest_ms);
        idle.pop().map(|(_, connection)| connection)
    }

    async fn open_raw(&self, within: Duration) -> Result<RawConnection, RedisError> {
        let opening = async {
            let mut last = None;
            for address in self.addresses(within).await? {
                match RawConnection::open(&self.host, address, &self.login, within).await {
                    Ok(connection) => return Ok(connection),
                    Err(failed) => last = Some(unredirected(failed)),
                }
            }
            Err(last.expect("a host has one address at least"))
        };
        let within_ms = within.as_millis() as u64;
        let opened = timer::deadline(opening, within).await;
        opened.unwrap_or(Err(RedisError::Deadline { within_ms }))
    }

    /// Drops a connection, unless another has taken its place.
    fn abandon(&self, used: &Rc<Connection>) {
        let mut current = self.connection.borrow_mut();
        if current.as_ref().is_some_and(|current| Rc::ptr_eq(current, used)) {
            *current = None;
            // They are as old.
            self.idle.borrow_mut().clear();
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
        for address in self.addresses(within).await? {
            match Connection::open(&self.host, address, &self.login, within).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a host has one address at least"))
    }

    async fn addresses(&self, within: Duration) -> Result<Vec<SocketAddr>, RedisError> {
        // The other half is for the connection.
        self.login.names.look_up(&self.host, self.port, within / 2).await
    }
}
