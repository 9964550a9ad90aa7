//! The window accounting of the HTTP/2 edge: who may send how much, and who pays for it.
//!
//! Owns the numbers alone: no socket, no frame, no clock. [`ShardCredit`] is one shard's memory
//! for windows, [`ConnectionCredit`] one connection's part of it. Credit that was given can't be
//! taken back, so it is given late and in pieces:
//!
//! - A connection starts with [`FLOOR_BYTES`], counted from the accept on, and an idle one has no
//!   more. A stream starts with as much, so SETTINGS_INITIAL_WINDOW_SIZE must stay at its default.
//! - More is given only for granted bytes of a message that must still come. What a granted
//!   stream may send or has in memory is paid by the window budget *beyond* the floor. So the
//!   floor stays open for control calls, however slow the sinks are.
//! - A grant always holds the right to [`FLOOR_BYTES`] in flight, whatever other connections take
//!   later. So every granted message can finish, without a wake-up from another connection.
//! - A stream that waits for admission is paid by the parked reserve. A grant that the budget
//!   can't pay stays there and trickles. Where neither can pay, the chunk is to be refused.
//!
//! Invariants: connection windows and held bytes stay within the window budget; parked bytes stay
//! within their reserve; no window is negative or above 2^31-1; a byte is given back once.
//!
//! A caller must not sit on bytes that are neither granted nor parked: they are paid by the
//! connection's floor, and so shut it for everybody. Use them up, park them or refuse them.
//!
//! The caller keeps h2's own WINDOW_UPDATE frames off the wire: all credit is given from here.

mod connection;
mod shard;
mod stream;
mod streams;

pub use connection::{ConnectionCredit, FlowViolation, NoCredit};
pub use shard::{CreditLimits, ShardCredit, WindowBudgetFull};
pub use stream::Arrival;

/// Initial window of every stream and every connection, bytes: HTTP/2's default.
pub const FLOOR_BYTES: u64 = 65_535;

/// The largest window that HTTP/2 allows, bytes.
pub const WINDOW_BYTES_MAX: u64 = (1 << 31) - 1;

/// The most that [`ConnectionCredit::low_water`] answers where windows are wide, bytes.
pub const LOW_WATER_BYTES_MAX: u64 = 2 << 20;

/// The most that it answers where a wider mark would leave the peer no window to go on with while
/// we read, or where many lots would wait at once.
const LOW_WATER_BYTES: u64 = 1 << 20;

/// What waits for us in all sockets should fit a cache that a few cores share: else summing it takes
/// longer than the wakes that larger lots save.
const WAITING_BYTES: u64 = 24 << 20;

/// A peer with less window than this can't send one frame of HTTP/2's default size: it is stuck.
const STUCK_BYTES: u64 = 16_384;

/// One WINDOW_UPDATE frame to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUpdate {
    /// HTTP/2 stream number; 0 is the connection.
    pub stream: u32,
    /// Bytes, 1 to 2^31-1.
    pub increment: u32,
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
