//! A thread that wakes every executor from outside.
//!
//! glommio 0.9.0 can park although tasks are runnable. A wake-up from another thread always gets
//! through to a parked executor, so a steady pulse bounds how long such a sleep can last.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use atomic_waker::AtomicWaker;

const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Shared {
    wakers: Mutex<Vec<Arc<AtomicWaker>>>,
    in_flight: AtomicUsize,
    stop: AtomicBool,
}

/// The pacer thread; dropping it stops the thread.
pub struct Pacer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Starts the thread. Errors with what the system says when no thread can be made.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new().name("pacer".into()).spawn(move || pulse(&seen))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A handle for executors and for whatever has work in flight.
    #[must_use]
    pub fn handle(&self) -> PacerHandle {
        let thread = self.thread.as_ref().map(|t| t.thread().clone());
        PacerHandle { shared: Arc::clone(&self.shared), thread }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct PacerHandle {
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

impl PacerHandle {
    /// Counts one piece of work as in flight until the guard drops: pulses come every 1 ms
    /// while any is, every 50 ms otherwise.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        if self.shared.in_flight.fetch_add(1, Ordering::AcqRel) == 0
            && let Some(thread) = &self.thread
        {
            thread.unpark();
        }
        InFlight { shared: Arc::clone(&self.shared) }
    }

    /// Never ends: run it as a task of the executor that is to be woken.
    pub async fn listen(self) {
        let waker = Arc::new(AtomicWaker::new());
        self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&waker));
        std::future::poll_fn(|cx| {
            waker.register(cx.waker());
            Poll::<()>::Pending
        })
        .await;
    }
}

/// One piece of work in flight.
pub struct InFlight {
    shared: Arc<Shared>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn pulse(shared: &Shared) {
    while !shared.stop.load(Ordering::Acquire) {
        let busy = shared.in_flight.load(Ordering::Acquire) > 0;
        thread::park_timeout(if busy { BUSY } else { IDLE });
        let mut wakers = shared.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        // Only this list still holds the waker of a task that is gone.
        wakers.retain(|waker| Arc::strong_count(waker) > 1);
        wakers.iter().for_each(|waker| waker.wake());
    }
}
