//! The bounded hand-off from any executor to the database's thread.
//!
//! A lock is right here: both sides hold it for a few instructions, and the thread must be able
//! to sleep on the other end of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;

use super::error::DatabaseError;

/// Tells a job's caller how the commit went.
pub(super) type Settle = Box<dyn FnOnce(Result<(), DatabaseError>)>;

/// Runs, or learns why it can't; says whether its writes are to be kept; gives what settles it.
pub(super) type Job = Box<dyn FnOnce(Result<&Connection, DatabaseError>) -> (bool, Settle) + Send>;

pub(super) struct Queue {
    jobs_max: usize,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    waiting: Vec<Waker>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(jobs_max: usize) -> Queue {
        Queue { jobs_max, state: Mutex::default(), arrived: Condvar::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Queues `job`, waiting while the queue is full.
    pub(super) async fn push(&self, job: Job) -> Result<(), DatabaseError> {
        let mut job = Some(job);
        poll_fn(|context| self.poll_push(&mut job, context)).await
    }

    fn poll_push(
        &self,
        job: &mut Option<Job>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), DatabaseError>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(DatabaseError::closed()));
        }
        if state.jobs.len() >= self.jobs_max {
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            return Poll::Pending;
        }
        state.jobs.extend(job.take());
        drop(state);
        self.arrived.notify_one();
        Poll::Ready(Ok(()))
    }

    /// Takes up to `jobs_max` jobs, sleeping until there is one. Nothing once closed and empty.
    pub(super) fn take(&self, jobs_max: usize) -> Option<VecDeque<Job>> {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.jobs.len().min(jobs_max);
        let group = state.jobs.drain(..count).collect();
        // All are woken: one that was dropped meanwhile must not swallow another's turn.
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        Some(group)
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
