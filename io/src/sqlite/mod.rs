//! SQLite behind a thread of its own: closures in, results out after their COMMIT.
//!
//! Owns one connection, its thread and the group commit. Does not own any schema beyond running
//! the migrations it is given.
//!
//! Invariants:
//! - a result is handed out only after the transaction that holds it has committed;
//! - a job that fails is rolled back alone, its neighbours in the group stay;
//! - the queue is bounded, callers wait (without blocking their thread) while it is full.

mod error;
mod queue;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_channel::oneshot;
use rusqlite::Connection;

pub use error::{DatabaseError, DatabaseErrorKind};
use queue::{Job, Queue};

/// How many jobs may wait for the thread before callers are made to wait.
pub const QUEUE_JOBS_MAX: usize = 1024;

/// How many jobs share one transaction at most.
pub const GROUP_JOBS_MAX: usize = 256;

/// What a committed transaction survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process, by any signal. The log is not synced at each commit.
    Process,
    /// A power cut too: the log is synced before a commit is reported.
    Power,
}

/// A handle to one open database. Clones share its thread.
///
/// When the last clone goes, what is queued is still committed and the thread is joined, which
/// blocks for as long as that takes.
#[derive(Clone)]
pub struct Database {
    thread: Arc<Thread>,
}

struct Thread {
    queue: Arc<Queue>,
    join: Option<JoinHandle<()>>,
}

impl Database {
    /// Opens or creates the file at `path`, brings its schema up to date and starts its thread.
    ///
    /// `migrations` are run in order, each once and each in its own transaction; how many have
    /// run is kept in the file. Blocks the caller: meant for the start of the process, from a
    /// thread whose CPU affinity the database thread may inherit.
    ///
    /// # Errors
    /// When the file can't be opened or written, or was written by a version with more migrations.
    pub fn open(
        path: &Path,
        migrations: &[&str],
        durability: Durability,
    ) -> Result<Database, DatabaseError> {
        let connection = worker::connect(path, migrations, durability)?;
        let queue = Arc::new(Queue::new(QUEUE_JOBS_MAX));
        let served = queue.clone();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("db");
        // Linux shows 15 bytes of a thread's name.
        let name: String = format!("sql-{stem}").chars().take(15).collect();
        let join = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker::serve(connection, &served))
            .map_err(|error| {
                DatabaseError::new(DatabaseErrorKind::Unavailable, error.to_string())
            })?;
        Ok(Database { thread: Arc::new(Thread { queue, join: Some(join) }) })
    }

    /// Runs `job` on the database's thread and resolves once its writes are committed.
    ///
    /// The job must not begin or end transactions. Once queued it runs even when the returned
    /// future is dropped. Can be awaited on any executor.
    ///
    /// # Errors
    /// The job's own error, or that of the commit: in both cases nothing of the job was kept.
    /// A full disk or an I/O error does not stop the database; later jobs may succeed.
    pub async fn run<T, F>(&self, job: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.thread.queue.push(job_of(job, sender)).await?;
        receiver.await.unwrap_or_else(|_| Err(DatabaseError::closed()))
    }

    /// How many jobs wait for the thread at this moment.
    pub fn queued_jobs(&self) -> usize {
        self.thread.queue.len()
    }
}

fn job_of<T, F>(job: F, sender: oneshot::Sender<Result<T, DatabaseError>>) -> Job
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    Box::new(move |connection| {
        let result = connection.and_then(|connection| Ok(job(connection)?));
        let kept = result.is_ok();
        let settle = Box::new(move |commit: Result<(), DatabaseError>| {
            // Nobody listening is fine: the work was done for its effect.
            // The job's own error says more than that of its group.
            let _ = sender.send(match result {
                Ok(value) => commit.map(|()| value),
                Err(error) => Err(error),
            });
        });
        (kept, settle as queue::Settle)
    })
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(join) = self.join.take()
            && join.thread().id() != std::thread::current().id()
        {
            // The thread ends by itself once the queue is empty; a panic in it has been reported.
            let _ = join.join();
        }
    }
}
