//! One pinned executor per CPU.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use futures_channel::oneshot;
use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement};

use super::kernel::{self, KernelError};
use super::pacer::{Pacer, PacerHandle};

/// How often a running executor looks whether it should let others run.
const PREEMPT: Duration = Duration::from_micros(250);
/// An executor that hasn't run anything by then never will: see [`start`].
const FIRST_RUN: Duration = Duration::from_secs(1);
const STARTS_MAX: usize = 10;
/// Registered memory of a ring, bytes; small, as it counts against the memlock limit.
const IO_MEMORY: usize = 64 << 10;

/// Why the executors don't run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The kernel doesn't let them; the message says what to do.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The pacer's thread could not be made.
    #[error("cannot start the pacer thread: {0}")]
    Pacer(#[source] io::Error),
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

/// An executor that is up and waits for the others.
struct Started {
    handle: ExecutorJoinHandle<()>,
    go: oneshot::Sender<()>,
}

impl Executors {
    /// Starts one executor pinned to each of `cpus`; `shard` gets its index in that list and a
    /// handle on the pacer, and the executor ends with the future it returns. No future begins
    /// before all executors are up.
    ///
    /// # Errors
    /// When one can't be had; then none runs.
    pub fn spawn<F, Fut>(cpus: &[usize], shard: F) -> Result<Self, ExecutorError>
    where
        F: Fn(usize, PacerHandle) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        kernel::check(cpus.len())?;
        let pacer = Pacer::start().map_err(ExecutorError::Pacer)?;
        let mut started = Vec::with_capacity(cpus.len());
        for (index, &cpu) in cpus.iter().enumerate() {
            match start(index, cpu, pacer.handle(), shard.clone()) {
                Ok(executor) => started.push(executor),
                Err(error) => {
                    call_off(started);
                    return Err(told(index, cpus.len(), error));
                }
            }
        }
        let begin = |executor: Started| {
            // It waits for this; if it panicked, `join` tells.
            let _ = executor.go.send(());
            executor.handle
        };
        Ok(Self { handles: started.into_iter().map(begin).collect(), _pacer: pacer })
    }

    /// Waits until all have ended; the first that panicked is told.
    ///
    /// # Errors
    /// [`ExecutorError::Executor`].
    pub fn join(self) -> Result<(), ExecutorError> {
        let executors = self.handles.len();
        let mut first = Ok(());
        for (index, handle) in self.handles.into_iter().enumerate() {
            let ended = handle.join().map_err(|error| told(index, executors, error));
            first = first.and(ended);
        }
        first
    }
}

/// Makes an executor and waits until the pacer can wake it.
///
/// glommio may park a new executor before it has run anything. Nothing can wake that one, as no
/// waker of it exists yet. It is left to sleep, and another one made.
fn start<F, Fut>(
    index: usize,
    cpu: usize,
    pacer: PacerHandle,
    shard: F,
) -> Result<Started, GlommioError<()>>
where
    F: Fn(usize, PacerHandle) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    for _ in 0..STARTS_MAX {
        if let Some(started) = try_start(index, cpu, pacer.clone(), shard.clone())? {
            return Ok(started);
        }
    }
    Err(io::Error::from(io::ErrorKind::TimedOut).into())
}

/// `None` if it was parked before it ran.
fn try_start<F, Fut>(
    index: usize,
    cpu: usize,
    pacer: PacerHandle,
    shard: F,
) -> Result<Option<Started>, GlommioError<()>>
where
    F: Fn(usize, PacerHandle) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (tell, told) = mpsc::channel();
    let (go, may_go) = oneshot::channel();
    let handle = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(&format!("shard-{index}"))
        .preempt_timer(PREEMPT)
        .io_memory(IO_MEMORY)
        .spawn(move || async move {
            let (listens, listening) = oneshot::channel();
            glommio::spawn_local(pacer.clone().listen_and_tell(Some(listens))).detach();
            // An error is that of a listener that never begins: then nobody must wait for it.
            if listening.await.is_err() || tell.send(()).is_err() {
                return;
            }
            if may_go.await.is_ok() {
                shard(index, pacer).await;
            }
        })?;
    match told.recv_timeout(FIRST_RUN) {
        Ok(()) => Ok(Some(Started { handle, go })),
        // Should it wake after all, it finds nobody to tell, and ends.
        Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
        // It ended without a word: `join` has the reason.
        Err(mpsc::RecvTimeoutError::Disconnected) => match handle.join() {
            Err(error) => Err(error),
            Ok(()) => unreachable!("it tells before it can end well"),
        },
    }
}

/// Ends executors whose futures have not begun.
fn call_off(started: Vec<Started>) {
    for executor in started {
        drop(executor.go);
        // The first failure is the one to tell.
        let _ = executor.handle.join();
    }
}

fn told(shard: usize, executors: usize, error: GlommioError<()>) -> ExecutorError {
    let reason = error.to_string();
    let is_short = io::Error::from(error).raw_os_error() == Some(libc::ENOMEM);
    match kernel::blame_locked(executors) {
        Some(error) if is_short => error.into(),
        _ => ExecutorError::Executor { shard, reason },
    }
}
