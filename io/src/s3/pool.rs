//! The connections of one client: a limited number, kept for a while when they are idle.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use async_lock::{Semaphore, SemaphoreGuardArc};

use super::{error::S3Error, transport::Connection};
use crate::reactor::{task, timer};

/// Connections, busy and idle, `connections_max` in all.
pub(super) struct Pool {
    connections_max: usize,
    keep: Duration,
    turns: Arc<Semaphore>,
    busy: Cell<usize>,
    /// The last came last.
    idle: RefCell<Vec<Idle>>,
    is_swept: Cell<bool>,
}

struct Idle {
    host: Rc<str>,
    since_ms: u64,
    connection: Connection,
}

/// A turn to have a connection.
pub(super) struct Turn {
    pool: Rc<Pool>,
    _guard: SemaphoreGuardArc,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pool.busy.set(self.pool.busy.get() - 1);
    }
}

impl Pool {
    pub(super) fn new(connections_max: usize, keep: Duration) -> Rc<Self> {
        assert!(connections_max > 0, "nothing could ever be sent");
        Rc::new(Self {
            connections_max,
            keep,
            turns: Arc::new(Semaphore::new(connections_max)),
            busy: Cell::default(),
            idle: RefCell::default(),
            is_swept: Cell::default(),
        })
    }

    /// Waits for a turn: first come, first served.
    pub(super) async fn turn(self: &Rc<Self>, within: Duration) -> Result<Turn, S3Error> {
        let guard = timer::deadline(self.turns.acquire_arc(), within).await.map_err(|_| {
            let waited_ms = within.as_millis();
            let problem = format!("{} are busy for {waited_ms} ms", self.connections_max);
            S3Error::retryable("NoConnection", problem)
        })?;
        self.busy.set(self.busy.get() + 1);
        Ok(Turn { pool: Rc::clone(self), _guard: guard })
    }

    pub(super) fn busy(&self) -> usize {
        self.busy.get()
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    fn close_old(&self) {
        let oldest_ms = timer::now_ms().saturating_sub(self.keep.as_millis() as u64);
        let is_fit = |idle: &Idle| idle.since_ms >= oldest_ms && !idle.connection.is_closed();
        self.idle.borrow_mut().retain(is_fit);
    }

    /// Closes what is idle for too long, as long as something is idle.
    fn sweep_later(self: &Rc<Self>) {
        if !self.is_swept.replace(true) {
            let (pool, keep) = (Rc::downgrade(self), self.keep);
            task::spawn_local(sweep(pool, keep)).detach();
        }
    }
}

async fn sweep(pool: Weak<Pool>, keep: Duration) {
    loop {
        timer::sleep(keep.max(Duration::from_millis(1))).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.close_old();
        if pool.idle() == 0 {
            pool.is_swept.set(false);
            return;
        }
    }
}

impl Turn {
    /// A connection to `host` that was used before.
    pub(super) fn idle(&self, host: &str) -> Option<Connection> {
        self.pool.close_old();
        let mut idle = self.pool.idle.borrow_mut();
        let last = idle.iter().rposition(|idle| &*idle.host == host)?;
        Some(idle.remove(last).connection)
    }

    /// Closes one of another host where a new one would be too many.
    pub(super) fn make_room(&self) {
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() + self.pool.busy.get() > self.pool.connections_max && !idle.is_empty() {
            idle.remove(0);
        }
    }

    /// Keeps a connection that has nothing on its way.
    pub(super) fn give_back(self, host: &Rc<str>, connection: Connection) {
        if !connection.is_closed() {
            let (host, since_ms) = (Rc::clone(host), timer::now_ms());
            self.pool.idle.borrow_mut().push(Idle { host, since_ms, connection });
            self.pool.sweep_later();
        }
    }
}
