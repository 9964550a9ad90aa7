//! A thread that wakes every executor from outside.
//!
//! glommio 0.9.0 can park although tasks are runnable. A wake-up from another thread always gets
//! through to a parked executor, so a steady pulse bounds how long such a sleep can last.
//!
//! An executor that reads or receives is awake, so it isn't woken: each wake-up costs it some ten
//! system calls. One that was seen at work in a pulse and then sleeps on its tasks is woken by the
//! next. One that stays quiet is woken less often, as it can only be stuck on what came since.
//!
//! The task that is woken may itself be among those the executor forgot. So its waker stays here
//! from its first run on, and pulses go on whether or not the last one was seen.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use futures_channel::oneshot;

const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(50);
/// Pulses to an executor that is quiet: at first every one, then every so many.
const QUIET_STEADY: u32 = 8;
/// Pulses that nobody saw are sent on at growing distances, up to every so many. Each waits in
/// the executor's queue and counts against what glommio can count, 32,767: enough for half an
/// hour in which an executor never looks.
const UNSEEN_STEP_MAX: u32 = 64;

#[derive(Default)]
struct Shared {
    listeners: Mutex<Vec<Arc<Listener>>>,
    in_flight: AtomicUsize,
    stop: AtomicBool,
}

/// One executor.
#[derive(Default)]
struct Listener {
    waker: OnceLock<Waker>,
    unseen: AtomicU32,
    /// Counts what its executor does.
    steps: Arc<AtomicU32>,
    /// `steps` at the last pulse, and pulses since they changed: the pacer's own.
    seen_steps: AtomicU32,
    quiet: AtomicU32,
}

thread_local! {
    /// Of this thread's executor, if it has one that listens.
    static STEPS: OnceCell<Arc<AtomicU32>> = const { OnceCell::new() };
}

/// Counts a step of this thread's executor.
pub(super) fn step() {
    STEPS.with(|steps| {
        if let Some(steps) = steps.get() {
            // One thread writes, so this is no read-modify-write.
            steps.store(steps.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    });
}

impl Listener {
    /// `busy`: pulses come fast, and are left out where they aren't needed.
    fn pulse(&self, busy: bool) {
        let steps = self.steps.load(Ordering::Relaxed);
        let is_at_work = self.seen_steps.swap(steps, Ordering::Relaxed) != steps;
        let quiet = if is_at_work { 0 } else { self.quiet.load(Ordering::Relaxed).wrapping_add(1) };
        self.quiet.store(quiet, Ordering::Relaxed);
        let is_left_out = quiet == 0 || quiet > QUIET_STEADY && !quiet.is_multiple_of(QUIET_STEADY);
        if busy && is_left_out {
            return;
        }
        let unseen = self.unseen.fetch_add(1, Ordering::AcqRel);
        let is_due = unseen.is_power_of_two() || unseen.is_multiple_of(UNSEEN_STEP_MAX);
        if is_due && let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
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

    /// Never ends: run it as a task of its own on the executor that is to be woken.
    pub async fn listen(self) {
        self.listen_and_tell(None).await;
    }

    /// As [`listen`](Self::listen); `listens` is told once the executor can be woken.
    pub(super) async fn listen_and_tell(self, mut listens: Option<oneshot::Sender<()>>) {
        let steps = STEPS.with(|steps| Arc::clone(steps.get_or_init(Arc::default)));
        let listener = Arc::new(Listener { steps, ..Listener::default() });
        let list = &self.shared.listeners;
        list.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&listener));
        std::future::poll_fn(|cx| {
            // A task has one waker for all its life.
            let _ = listener.waker.set(cx.waker().clone());
            listener.unseen.store(0, Ordering::Release);
            if let Some(listens) = listens.take() {
                // Whoever wanted to know may have gone.
                let _ = listens.send(());
            }
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
        let mut listeners = shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        // Only this list still holds the listener of a task that is gone.
        listeners.retain(|listener| Arc::strong_count(listener) > 1);
        listeners.iter().for_each(|listener| listener.pulse(busy));
    }
}
