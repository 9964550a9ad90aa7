//! One pinned executor per CPU.

use std::future::Future;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::pacer::{Pacer, PacerHandle};

/// How often a running executor looks whether it should let others run.
const PREEMPT: Duration = Duration::from_micros(250);
/// Registered memory of a ring, bytes; small, as it counts against the memlock limit.
const IO_MEMORY: usize = 64 << 10;

/// Why the executors don't run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The pacer's thread could not be made.
    #[error("cannot start the pacer thread: {0}")]
    Pacer(#[source] std::io::Error),
    /// An executor could not be made, or ended by a panic.
    #[error("executor of shard {shard}: {reason}")]
    Executor {
        /// Index of the shard in the CPU list.
        shard: usize,
        /// What glommio says.
        reason: String,
    },
}

/// The running executors and their pacer.
pub struct Executors {
    handles: Vec<ExecutorJoinHandle<()>>,
    // Outlives the executors: `join` takes it along with `self`.
    _pacer: Pacer,
}

impl Executors {
    /// Starts one executor pinned to each of `cpus`; `shard` gets its index in that list and a
    /// handle on the pacer, and the executor ends with the future it returns.
    pub fn spawn<F, Fut>(cpus: &[usize], shard: F) -> Result<Self, ExecutorError>
    where
        F: Fn(usize, PacerHandle) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let pacer = Pacer::start().map_err(ExecutorError::Pacer)?;
        let mut handles = Vec::with_capacity(cpus.len());
        for (index, &cpu) in cpus.iter().enumerate() {
            let (shard, handle) = (shard.clone(), pacer.handle());
            let spawned = LocalExecutorBuilder::new(Placement::Fixed(cpu))
                .name(&format!("shard-{index}"))
                .preempt_timer(PREEMPT)
                .io_memory(IO_MEMORY)
                .spawn(move || async move {
                    glommio::spawn_local(handle.clone().listen()).detach();
                    shard(index, handle).await;
                });
            handles.push(spawned.map_err(|e| told(index, &e))?);
        }
        Ok(Self { handles, _pacer: pacer })
    }

    /// Waits until all have ended; the first that panicked is told.
    pub fn join(self) -> Result<(), ExecutorError> {
        let mut first = Ok(());
        for (index, handle) in self.handles.into_iter().enumerate() {
            let ended = handle.join().map_err(|e| told(index, &e));
            first = first.and(ended);
        }
        first
    }
}

fn told(shard: usize, error: &impl std::fmt::Display) -> ExecutorError {
    ExecutorError::Executor { shard, reason: error.to_string() }
}
