//! What of an upload may be told: nothing that a restart could take back.

use crate::{
    effect::{ChunkAck, UploadView},
    record::State,
    upload::{EndWaiterStream, Ending, Upload},
};

impl Upload {
    /// Whether its end, if it has come, is durable and may be told.
    pub(crate) fn is_told(&self) -> bool {
        self.ending >= Ending::Resumed
    }

    /// The state that can be told: that all chunks are in only once a restart can't take it back,
    /// an end only once it is durable and holds nothing any more.
    pub(crate) fn told_state(&self) -> State {
        match self.state() {
            State::Completing if !self.was_completing() => self.open_state(),
            State::Completed | State::Failed if !self.is_told() => {
                if self.was_completing() {
                    State::Completing
                } else {
                    self.open_state()
                }
            }
            State::Aborted | State::Expired if !self.is_told() => self.open_state(),
            state => state,
        }
    }

    /// It is durable that all chunks are in.
    fn was_completing(&self) -> bool {
        self.completing_rev > 0 && self.durable_rev >= self.completing_rev
    }

    fn open_state(&self) -> State {
        if self.stored.chunks.is_empty() { State::Pending } else { State::Uploading }
    }

    pub(crate) fn view(&self) -> UploadView {
        let mut record = self.stored.record.clone();
        if !self.is_told() {
            record.state = self.told_state();
            (record.object, record.error, record.cleanup_pending) = (None, None, false);
        }
        UploadView {
            record,
            received_bytes: self.received_bytes,
            received_count: self.received.count(),
            stored_bytes: self.stored_bytes,
        }
    }

    pub(crate) fn ack(&self, waiter: EndWaiterStream, spooled: bool) -> ChunkAck {
        ChunkAck {
            number: waiter.number,
            bytes: waiter.bytes,
            received_bytes: self.received_bytes,
            received_count: self.received.count(),
            stored_bytes: self.stored_bytes,
            duplicate: waiter.duplicate,
            state: self.told_state(),
            spooled,
        }
    }
}
