//! What a stream of chunks is still to be told: ranges of acks, and refusals.
//!
//! Acks join into ranges while they wait to be sent, so a client that writes all before it reads
//! costs next to nothing. Bounds: chunks without an answer, ranges and refusals; whoever reads
//! chunks in waits while one is met.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use sluice_io::reactor::timer::{self, Sleep};
use sluice_proto::{error::Refusal, grpc::frame::frame_reply, pb};
use sluice_shard::effect::ChunkAck;

use super::{intake::Intake, view};

/// Acks wait so long for others to join them.
const COALESCE: Duration = Duration::from_millis(5);
/// Chunks of one stream that are whole and not answered yet.
const UNANSWERED_MAX: usize = 256;
/// Ranges that wait to be sent.
const RANGES_MAX: usize = 4096;
/// Refusals that wait to be sent.
const REFUSALS_MAX: usize = 256;

/// The acks of one stream of chunks.
#[derive(Default)]
pub(super) struct Acks<'a>(RefCell<Inner<'a>>);

#[derive(Default)]
struct Inner<'a> {
    unanswered: Vec<Unanswered<'a>>,
    /// First chunk number by last.
    ranges: BTreeMap<u32, u32>,
    refusals: VecDeque<(i32, Refusal)>,
    latest: Option<ChunkAck>,
    taken_bytes: u64,
    refused_bytes: u64,
    last_refusal: Option<Refusal>,
    due: Option<Sleep>,
    /// A chunk is on its way in, so its ack may join those that wait.
    more: bool,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct Unanswered<'a> {
    number: i32,
    bytes: u64,
    chunk: Intake<'a>,
}

impl<'a> Acks<'a> {
    /// A chunk was received whole; its answer is still to come.
    pub(super) fn await_answer(&self, number: i32, bytes: u64, chunk: Intake<'a>) {
        let mut inner = self.0.borrow_mut();
        inner.unanswered.push(Unanswered { number, bytes, chunk });
        inner.wake_writer();
    }

    /// A chunk was acknowledged.
    pub(super) fn acked(&self, ack: ChunkAck) {
        let mut inner = self.0.borrow_mut();
        inner.acked(ack);
        inner.wake_writer();
    }

    /// A chunk of `bytes` was refused.
    pub(super) fn refused(&self, number: i32, bytes: u64, refusal: Refusal) {
        let mut inner = self.0.borrow_mut();
        inner.refused(number, bytes, refusal);
        inner.wake_writer();
    }

    /// The last refusal, if more bytes were refused than were taken and `allowed_bytes`.
    pub(super) fn excess(&self, allowed_bytes: u64) -> Option<Refusal> {
        let inner = self.0.borrow();
        let is_beyond = inner.refused_bytes > inner.taken_bytes.saturating_add(allowed_bytes);
        inner.last_refusal.clone().filter(|_| is_beyond)
    }

    /// Whether another chunk is on its way in.
    pub(super) fn set_more(&self, more: bool) {
        let mut inner = self.0.borrow_mut();
        inner.more = more;
        inner.wake_writer();
    }

    /// No chunk will come any more.
    pub(super) fn close(&self) {
        let mut inner = self.0.borrow_mut();
        (inner.closed, inner.more) = (true, false);
        inner.wake_writer();
    }

    /// Ready while there is room for another chunk's answer.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.borrow_mut();
        if inner.has_room() {
            return Poll::Ready(());
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes in the answers that have come.
    pub(super) fn poll_answers(&self, cx: &mut Context<'_>) {
        let mut inner = self.0.borrow_mut();
        inner.writer = Some(cx.waker().clone());
        let mut index = 0;
        while index < inner.unanswered.len() {
            match inner.unanswered[index].chunk.poll_answer(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(answer) => {
                    let Unanswered { number, bytes, .. } = inner.unanswered.swap_remove(index);
                    match answer {
                        Ok(ack) => inner.acked(ack),
                        Err(refusal) => inner.refused(number, bytes, refusal),
                    }
                    inner.wake_reader();
                }
            }
        }
    }

    /// What is to be sent next, framed; `None` once the last was.
    pub(super) fn poll_batch(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_answers(cx);
        let mut inner = self.0.borrow_mut();
        let is_last = inner.unanswered.is_empty() && !inner.more;
        if inner.ranges.is_empty() && inner.refusals.is_empty() {
            return if is_last && inner.closed { Poll::Ready(None) } else { Poll::Pending };
        }
        if !is_last {
            let due = inner.due.get_or_insert_with(|| timer::sleep(COALESCE));
            std::task::ready!(Pin::new(due).poll(cx));
        }
        inner.due = None;
        let batch = inner.encode();
        inner.wake_reader();
        Poll::Ready(Some(batch))
    }
}

impl Inner<'_> {
    fn has_room(&self) -> bool {
        self.unanswered.len() < UNANSWERED_MAX
            && self.ranges.len() < RANGES_MAX
            && self.refusals.len() < REFUSALS_MAX
    }

    fn acked(&mut self, ack: ChunkAck) {
        join(&mut self.ranges, ack.number);
        self.taken_bytes += ack.bytes;
        // Answers may come out of order: what a client is told never goes back.
        if self.latest.is_none_or(|latest| {
            (latest.state, latest.received_bytes) <= (ack.state, ack.received_bytes)
        }) {
            self.latest = Some(ack);
        }
    }

    fn refused(&mut self, number: i32, bytes: u64, refusal: Refusal) {
        self.refused_bytes = self.refused_bytes.saturating_add(bytes);
        self.last_refusal = Some(refusal.clone());
        self.refusals.push_back((number, refusal));
    }

    fn encode(&mut self) -> Bytes {
        let mut batch = BytesMut::new();
        let upload = self.latest.map_or_else(Default::default, |ack| pb::UploadChunksResponse {
            received_bytes: view::signed(ack.received_bytes),
            stored_bytes: view::signed(ack.stored_bytes),
            state: view::state(ack.state).into(),
            ack_level: view::ack_level(ack.spooled).into(),
            ..Default::default()
        });
        for (last, first) in std::mem::take(&mut self.ranges) {
            let (first_chunk_number, last_chunk_number) = (first as i32, last as i32);
            let response = pb::UploadChunksResponse {
                first_chunk_number,
                last_chunk_number,
                ..upload.clone()
            };
            batch.extend_from_slice(&frame_reply(&response));
        }
        for (number, refusal) in self.refusals.drain(..) {
            let response = pb::UploadChunksResponse {
                first_chunk_number: number,
                last_chunk_number: number,
                status: Some(refusal.to_status()),
                // Nothing is in that wasn't before.
                ack_level: pb::AckLevel::Unspecified.into(),
                ..upload.clone()
            };
            batch.extend_from_slice(&frame_reply(&response));
        }
        batch.freeze()
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if self.has_room()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

/// Adds a number to ranges that are kept by their last.
fn join(ranges: &mut BTreeMap<u32, u32>, number: u32) {
    if ranges.range(number..).next().is_some_and(|(_, &first)| first <= number) {
        return;
    }
    let before = number.checked_sub(1).and_then(|last| ranges.remove(&last));
    let first = before.unwrap_or(number);
    let after = ranges.range(number..).next().filter(|&(_, &start)| start == number + 1);
    match after.map(|(&last, _)| last) {
        Some(last) => ranges.insert(last, first),
        None => ranges.insert(number, first),
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_hold_what_was_added_and_touch_nowhere() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..200 {
            let (mut ranges, mut model) = (BTreeMap::new(), BTreeSet::new());
            for _ in 0..60 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = (random >> 33) as u32 % 40;
                join(&mut ranges, number);
                model.insert(number);
                let told: Vec<u32> =
                    ranges.iter().flat_map(|(&last, &first)| first..=last).collect();
                assert_eq!(told, model.iter().copied().collect::<Vec<_>>());
                let bounds: Vec<(u32, u32)> = ranges.iter().map(|(&l, &f)| (f, l)).collect();
                assert!(bounds.windows(2).all(|two| two[0].1 + 1 < two[1].0), "{bounds:?}");
            }
        }
    }
}
