//! One shard's memory for windows: floors, what was given beyond them, and the parked reserve.

use std::{cell::RefCell, rc::Rc};

use super::{FLOOR_BYTES, WINDOW_BYTES_MAX};

/// What one shard may spend on windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditLimits {
    /// Sum of all connection windows and of the bytes held from them, bytes. Its floor capacity,
    /// budget ÷ [`FLOOR_BYTES`], is the most connections of the shard.
    pub window_budget_bytes: u64,
    /// Bytes for streams that wait for admission, beside the budget; each takes [`FLOOR_BYTES`].
    pub parked_reserve_bytes: u64,
    /// The most that one connection may have, window and held bytes together, bytes.
    pub connection_ceiling_bytes: u64,
    /// The most that one stream may have, window and held bytes together, bytes.
    pub stream_ceiling_bytes: u64,
}

impl Default for CreditLimits {
    fn default() -> Self {
        Self {
            window_budget_bytes: 128 << 20,
            parked_reserve_bytes: 16 << 20,
            connection_ceiling_bytes: 64 << 20,
            stream_ceiling_bytes: 16 << 20,
        }
    }
}

/// A new connection's floor doesn't fit into what the budget has left: refuse the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard's window budget has no room for another connection")]
pub struct WindowBudgetFull;

/// The window budget and the parked reserve of one shard.
#[derive(Debug)]
pub struct ShardCredit {
    limits: CreditLimits,
    connections: u64,
    busy: u64,
    extra: u64,
    parked: u64,
}

impl ShardCredit {
    /// Shared by the connections of one shard.
    ///
    /// # Panics
    /// When the limits contradict each other: config never makes such.
    #[must_use]
    pub fn shared(limits: CreditLimits) -> Rc<RefCell<Self>> {
        let windows = FLOOR_BYTES..=WINDOW_BYTES_MAX;
        assert!(limits.window_budget_bytes >= 2 * FLOOR_BYTES);
        assert!(limits.connection_ceiling_bytes >= 2 * FLOOR_BYTES, "no room for a grant");
        assert!(windows.contains(&limits.connection_ceiling_bytes));
        assert!(windows.contains(&limits.stream_ceiling_bytes));
        Rc::new(RefCell::new(Self { limits, connections: 0, busy: 0, extra: 0, parked: 0 }))
    }

    /// Whether one more connection would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.free() >= FLOOR_BYTES
    }

    /// Connections that are counted now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// What of the window budget is spoken for, bytes.
    #[must_use]
    pub fn charged_bytes(&self) -> u64 {
        self.connections * FLOOR_BYTES + self.extra
    }

    /// What of the parked reserve is spoken for, bytes.
    #[must_use]
    pub fn parked_bytes(&self) -> u64 {
        self.parked
    }

    /// What one connection may have now, window and held bytes together, bytes: between
    /// [`FLOOR_BYTES`] and the ceiling, less the more connections share the budget.
    #[must_use]
    pub fn target_bytes(&self) -> u64 {
        let share = self.growable().saturating_sub(self.connections * FLOOR_BYTES);
        (FLOOR_BYTES + share / self.busy.max(1)).min(self.limits.connection_ceiling_bytes)
    }

    pub(super) fn limits(&self) -> CreditLimits {
        self.limits
    }

    pub(super) fn join(&mut self) -> Result<(), WindowBudgetFull> {
        if !self.has_room() {
            return Err(WindowBudgetFull);
        }
        self.connections += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.connections -= 1;
    }

    /// What a connection may still charge for a grant's first bytes.
    pub(super) fn free(&self) -> u64 {
        self.limits.window_budget_bytes - self.charged_bytes()
    }

    /// What a connection may still charge to go faster.
    pub(super) fn growth_room(&self) -> u64 {
        self.growable().saturating_sub(self.charged_bytes())
    }

    /// Moves one connection's part beyond its floor.
    pub(super) fn recharge(&mut self, from: u64, to: u64) {
        self.extra = self.extra - from + to;
        assert!(self.charged_bytes() <= self.limits.window_budget_bytes, "budget overrun");
    }

    pub(super) fn set_busy(&mut self, busy: bool) {
        if busy { self.busy += 1 } else { self.busy -= 1 }
    }

    pub(super) fn park(&mut self) -> bool {
        let fits = self.parked + FLOOR_BYTES <= self.limits.parked_reserve_bytes;
        if fits {
            self.parked += FLOOR_BYTES;
        }
        fits
    }

    pub(super) fn unpark(&mut self) {
        self.parked -= FLOOR_BYTES;
    }

    /// An eighth is kept for newcomers and first grants: credit that is out can't be called back
    /// when they come.
    fn growable(&self) -> u64 {
        let budget = self.limits.window_budget_bytes;
        budget - budget / 8
    }
}
