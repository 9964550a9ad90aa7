//! Tasks of one thread that wait for the same thing, first come first served.
//!
//! The line wakes only its first. Whoever leaves from the front, done or dropped, wakes the
//! next, so no wake-up dies with a task that was dropped in between.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// The waiting tasks, in the order they came.
#[derive(Default)]
pub(super) struct Line {
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    next_ticket: Cell<u64>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// A place at the end, taken at the first [`Place::is_first`].
    pub(super) fn place(&self) -> Place<'_> {
        Place { line: self, ticket: None }
    }

    /// Wakes the first.
    pub(super) fn wake_first(&self) {
        // The waker runs foreign code: no borrow may be held.
        let first = self.waiting.borrow().front().map(|(_, waker)| waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }

    fn position(&self, ticket: u64) -> usize {
        let waiting = self.waiting.borrow();
        waiting.binary_search_by_key(&ticket, |(t, _)| *t).expect("it waits until it is dropped")
    }
}

/// One task's place in the line; left when dropped.
pub(super) struct Place<'a> {
    line: &'a Line,
    ticket: Option<u64>,
}

impl Place<'_> {
    /// Whether all who came before have left; if not, the task is woken when they have.
    pub(super) fn is_first(&mut self, cx: &mut Context<'_>) -> bool {
        let line = self.line;
        let Some(ticket) = self.ticket else {
            let ticket = line.next_ticket.get();
            line.next_ticket.set(ticket + 1);
            let mut waiting = line.waiting.borrow_mut();
            waiting.push_back((ticket, cx.waker().clone()));
            self.ticket = Some(ticket);
            return waiting.len() == 1;
        };
        let position = line.position(ticket);
        let mut waiting = line.waiting.borrow_mut();
        if !waiting[position].1.will_wake(cx.waker()) {
            waiting[position].1 = cx.waker().clone();
        }
        position == 0
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let position = self.line.position(ticket);
        let left = self.line.waiting.borrow_mut().remove(position);
        if position == 0 {
            self.line.wake_first();
        }
        drop(left);
    }
}
