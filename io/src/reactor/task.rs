//! Tasks of this executor: spawning, ending and yielding them.
//!
//! Two queues share the core: the default one, and a background one for work that may be late.
//! A task never leaves its executor.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::{Latency, Shares, TaskQueueHandle};

/// What the background queue gets of the core while the default queue (1,000) wants all of it:
/// one part in six.
const BACKGROUND_SHARES: usize = 200;

thread_local! {
    // One executor may follow another on a thread, and each has its own queue.
    static BACKGROUND: Cell<Option<(usize, TaskQueueHandle)>> = const { Cell::new(None) };
}

/// Runs `future` as a task of its own, in the queue of the task that spawns it.
///
/// # Panics
/// Outside an executor.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    JoinHandle { task: glommio::spawn_local(future).detach() }
}

/// Runs `future` in this executor's background queue, for what costs CPU and may be late.
///
/// It should call [`yield_if_needed`] after each piece of work of some 30 µs (64 KiB of SHA-256):
/// a task that doesn't yield holds the core, whatever its shares.
///
/// # Panics
/// Outside an executor.
pub fn spawn_background<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let task = glommio::spawn_local_into(future, background_queue());
    JoinHandle { task: task.expect("the queue is never removed").detach() }
}

fn background_queue() -> TaskQueueHandle {
    let executor = glommio::executor();
    let id = executor.id();
    if let Some((owner, queue)) = BACKGROUND.get()
        && owner == id
    {
        return queue;
    }
    let shares = Shares::Static(BACKGROUND_SHARES);
    let queue = executor.create_task_queue(shares, Latency::NotImportant, "background");
    BACKGROUND.set(Some((id, queue)));
    queue
}

/// Runs what blocks on a thread beside the executor, and waits for it.
///
/// # Panics
/// Outside an executor.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    glommio::executor().spawn_blocking(work).await
}

/// CPU time that this thread has taken, which is its executor's.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0, "every thread has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Lets the other tasks of the caller's queue run once.
pub async fn yield_now() {
    glommio::executor().yield_now().await;
}

/// Lets the other queues run when the caller's has used up its time, else returns at once.
pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

/// A task that was spawned. Await it for its output; dropping it leaves the task running.
#[must_use = "say `.detach()` for a task that nobody waits for"]
pub struct JoinHandle<T> {
    task: glommio::task::JoinHandle<T>,
}

impl<T> JoinHandle<T> {
    /// Lets the task run on by itself.
    pub fn detach(self) {}

    /// Ties the task to the returned guard: when that is dropped, the task is dropped too, at
    /// the await where it stands.
    pub fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop { task: self.task }
    }
}

impl<T> Future for JoinHandle<T> {
    /// `None`: the task panicked.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.task).poll(cx)
    }
}

/// A task that ends with this guard. Await it for the task's output.
#[must_use = "the task ends when this is dropped"]
pub struct CancelOnDrop<T> {
    task: glommio::task::JoinHandle<T>,
}

impl<T> Future for CancelOnDrop<T> {
    /// `None`: the task panicked.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.task).poll(cx)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        self.task.cancel();
    }
}
