//! One chunk's way from its reader to its owner: header, grant, pieces, end, answer.
//!
//! Invariants: nothing of the payload is handed over before the owner granted it; every byte that
//! was read is given back to its window once; the owner hears either of the end or of the cut.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use sluice_io::{
    edge::request::EdgeBody,
    reactor::timer::{self, Sleep},
};
use sluice_proto::{
    error::{Reason, Refusal},
    grpc::{ChunkHeader, Trailer},
    ids::UploadId,
};
use sluice_shard::{
    Event,
    effect::{ChunkAck, StreamReply},
    event::ChunkOpen,
};

use super::{Service, reply::h2_error::Gone};
use crate::{
    metrics::{ChunkResult, Level, ShardMetrics, Stage},
    serve::switch::{Message, ReaderHandle},
};

/// A sender's rate is looked at this often.
const RATE_TICK: Duration = Duration::from_secs(1);

/// A sender that is too slow for so many looks in a row is cut.
const SLOW_TICKS_MAX: u32 = 10;

/// What a payload's decoder found next.
pub(super) enum Part {
    /// A slice of the payload.
    Data(Bytes),
    /// The message is over.
    End(Trailer),
}

/// A decoder whose header was read.
pub(super) trait Source {
    fn push(&mut self, piece: Bytes);
    /// Copies what was pushed and not told yet.
    fn unpin(&mut self);
    fn next_part(&mut self) -> Result<Option<Part>, Refusal>;
    /// Bytes that the message still lacks.
    fn missing_bytes(&self) -> u64;
    /// The stream has ended: whether it was exactly one message.
    fn finish(&self) -> Result<(), Refusal>;
}

/// Where a chunk goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The shard that owns the upload.
    pub(super) owner: u16,
    pub(super) upload_id: UploadId,
    pub(super) number: u32,
}

/// Why a chunk has no ack.
pub(super) enum Failed {
    /// It was refused.
    Refused(Refusal),
    /// The client is gone.
    Gone,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Gone> for Failed {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A request's body, and what of it is still ours to give back.
pub(super) struct Inflow {
    body: EdgeBody,
    /// The client sends no more.
    ended: bool,
    /// Bytes that were read, and neither handed to an owner nor given back.
    held_bytes: usize,
}

impl Inflow {
    pub(super) fn new(body: EdgeBody) -> Self {
        Self { body, ended: false, held_bytes: 0 }
    }

    /// The decoder has taken in all that was read and is not payload.
    pub(super) fn give_back(&mut self) {
        let held_bytes = std::mem::take(&mut self.held_bytes);
        if held_bytes > 0 {
            self.body.release(held_bytes);
        }
    }

    /// Reads on into a decoder; `false` once the client sends no more.
    pub(super) async fn read_into(&mut self, source: &mut impl Source) -> Result<bool, Failed> {
        poll_fn(|cx| self.poll_read_into(source, cx)).await
    }

    fn poll_read_into(
        &mut self,
        source: &mut impl Source,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failed>> {
        let piece = ready!(self.poll_next(cx))?;
        Poll::Ready(Ok(piece.map(|piece| source.push(piece)).is_some()))
    }

    /// The next piece, held until it is [given back](Self::give_back); `None` once the client
    /// sends no more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failed>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        match ready!(self.body.poll_next(cx)) {
            Some(Ok(piece)) => {
                self.held_bytes += piece.len();
                Poll::Ready(Ok(Some(piece)))
            }
            Some(Err(_cut)) => Poll::Ready(Err(Failed::Gone)),
            None => {
                self.ended = true;
                Poll::Ready(Ok(None))
            }
        }
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// One chunk under way.
pub(super) struct Intake<'a, S> {
    service: &'a Service,
    inflow: &'a mut Inflow,
    source: S,
    reader: ReaderHandle,
    owner: u16,
    header: ChunkHeader,
    granted: bool,
    /// It waits for memory: what came already must not pin the blocks that others need.
    parked: bool,
    /// The end of the message, once it was decoded.
    trailer: Option<Trailer>,
    /// The owner was told of the end.
    settled: bool,
    /// The owner has spoken its last word.
    answered: bool,
    handed_bytes: u64,
    watch: RateWatch,
}

impl<'a, S: Source> Intake<'a, S> {
    /// Tells the owner of a chunk whose header was read.
    ///
    /// `end_wait_until_ms` is [`ChunkOpen::end_wait_until_ms`].
    pub(super) fn begin(
        service: &'a Service,
        inflow: &'a mut Inflow,
        source: S,
        header: ChunkHeader,
        target: Target,
        end_wait_until_ms: Option<u64>,
    ) -> Result<Self, Refusal> {
        let checks = header.checks()?;
        let Target { owner, upload_id, number } = target;
        let reader = service.switch.open_reader(inflow.body.releaser());
        if owner != service.shard {
            service.metrics.chunk_misrouted();
        }
        let open = ChunkOpen {
            stream: reader.key(),
            tenant: String::new(),
            upload_id,
            number,
            is_last: header.is_last,
            force: header.force,
            checks,
            data_bytes: header.data_bytes,
            end_wait_until_ms,
        };
        service.switch.post(owner, Message::Event(Event::ChunkOpen(Box::new(open))));
        Ok(Self {
            service,
            inflow,
            source,
            reader,
            owner,
            header,
            granted: false,
            parked: false,
            trailer: None,
            settled: false,
            answered: false,
            handed_bytes: 0,
            watch: RateWatch::new(),
        })
    }

    /// Brings the chunk to its owner and waits for the answer.
    pub(super) async fn run(mut self) -> Result<ChunkAck, Failed> {
        let began_us = timer::now_us();
        let result = poll_fn(|cx| self.poll(cx)).await;
        let took = Duration::from_micros(timer::now_us() - began_us);
        count(&self.service.metrics, &result, took);
        result
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ChunkAck, Failed>> {
        loop {
            if let Poll::Ready(reply) = self.reader.poll_reply(cx) {
                match self.take_reply(reply, cx) {
                    Ok(Some(ack)) => return Poll::Ready(Ok(ack)),
                    Ok(None) => continue,
                    Err(failed) => return Poll::Ready(Err(failed)),
                }
            }
            if self.granted
                && !self.settled
                && let Err(refusal) = self.hand_over()
            {
                return Poll::Ready(Err(refusal.into()));
            }
            match self.inflow.poll_read_into(&mut self.source, cx) {
                Poll::Ready(Ok(true)) if self.parked && !self.granted => self.source.unpin(),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) if !self.granted || self.settled => return Poll::Pending,
                Poll::Ready(Ok(false)) => match self.end() {
                    Ok(()) => return Poll::Pending,
                    Err(refusal) => return Poll::Ready(Err(refusal.into())),
                },
                Poll::Ready(Err(gone)) => return Poll::Ready(Err(gone)),
                Poll::Pending => return self.poll_rate(cx).map(|refusal| Err(refusal.into())),
            }
        }
    }

    fn take_reply(
        &mut self,
        reply: StreamReply,
        cx: &mut Context<'_>,
    ) -> Result<Option<ChunkAck>, Failed> {
        let no_credit = |_| {
            Refusal::new(Reason::Budget, "no window for this chunk just now")
                .retry_after_ms(super::RETRY_AFTER_MS)
        };
        match reply {
            StreamReply::Granted { .. } => {
                // What is here already isn't asked for again.
                while let Poll::Ready(read) = self.inflow.poll_read_into(&mut self.source, cx) {
                    if !read? {
                        break;
                    }
                }
                self.inflow.body.grant(self.source.missing_bytes()).map_err(no_credit)?;
                self.granted = true;
            }
            StreamReply::Parked => {
                self.inflow.body.park().map_err(no_credit)?;
                self.source.unpin();
                self.parked = true;
            }
            StreamReply::Acked(ack) => {
                (self.settled, self.answered) = (true, true);
                return Ok(Some(ack));
            }
            StreamReply::Refused(refusal) => {
                (self.settled, self.answered) = (true, true);
                return Err(refusal.into());
            }
        }
        Ok(None)
    }

    /// Hands over all that was decoded.
    fn hand_over(&mut self) -> Result<(), Refusal> {
        while let Some(part) = self.source.next_part()? {
            match part {
                Part::Data(bytes) => {
                    self.handed_bytes += bytes.len() as u64;
                    self.inflow.held_bytes -= bytes.len();
                    self.service.metrics.received(bytes.len() as u64);
                    self.reader.hand_over(self.owner, bytes);
                }
                Part::End(trailer) => self.trailer = Some(trailer),
            }
        }
        self.inflow.give_back();
        Ok(())
    }

    /// The client sends no more: if that was one whole message, its chunk ends.
    fn end(&mut self) -> Result<(), Refusal> {
        self.source.finish()?;
        let trailer = self.trailer.take().ok_or_else(|| {
            Refusal::new(Reason::FieldInvalid, "the stream is not exactly one message")
        })?;
        trailer.apply(&mut self.header);
        let (is_last, force) = (self.header.is_last, self.header.force);
        let checks = self.header.checks()?;
        let event = Event::ChunkEnd { stream: self.reader.key(), is_last, force, checks };
        self.settled = true;
        self.service.switch.post(self.owner, Message::Event(event));
        Ok(())
    }

    /// Cuts a sender that holds budget and is too slow.
    fn poll_rate(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        let minimum = self.service.min_chunk_rate_bytes;
        if !self.granted || self.settled || minimum == 0 {
            return Poll::Pending;
        }
        loop {
            ready!(self.watch.poll_tick(cx));
            // While we hold what came, the client may not be able to send.
            let is_ours = self.reader.held_bytes() > 0;
            if self.watch.is_slow(self.handed_bytes, minimum, is_ours) {
                let message = format!("the chunk comes slower than {minimum} bytes a second");
                return Poll::Ready(
                    Refusal::new(Reason::Rate, message)
                        .with("min_bytes_per_second", minimum)
                        .retry_after_ms(super::RETRY_AFTER_MS),
                );
            }
        }
    }
}

/// Also when the client is gone and nobody polls it any more.
impl<S> Drop for Intake<'_, S> {
    fn drop(&mut self) {
        if !self.answered {
            let event = Event::ChunkCut { stream: self.reader.key() };
            self.service.switch.post(self.owner, Message::Event(event));
        }
    }
}

fn count(metrics: &ShardMetrics, result: &Result<ChunkAck, Failed>, took: Duration) {
    match result {
        Ok(ack) => {
            let was = if ack.duplicate { ChunkResult::Duplicate } else { ChunkResult::Accepted };
            metrics.chunk_ended(was, ack.bytes);
            metrics.chunk_acked(if ack.spooled { Level::Spooled } else { Level::Received }, took);
        }
        Err(Failed::Refused(refusal)) => {
            metrics.chunk_ended(ChunkResult::Refused, 0);
            if refusal.reason == Reason::ChecksumMismatch {
                metrics.integrity_failed(Stage::Chunk);
            }
        }
        Err(Failed::Gone) => metrics.chunk_ended(ChunkResult::Cut, 0),
    }
}

/// Looks at a sender's rate once a second.
struct RateWatch {
    tick: Option<Sleep>,
    seen_bytes: u64,
    slow_ticks: u32,
}

impl RateWatch {
    fn new() -> Self {
        Self { tick: None, seen_bytes: 0, slow_ticks: 0 }
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tick = self.tick.get_or_insert_with(|| timer::sleep(RATE_TICK));
        ready!(Pin::new(tick).poll(cx));
        self.tick = None;
        Poll::Ready(())
    }

    fn is_slow(&mut self, all_bytes: u64, minimum: u64, is_ours: bool) -> bool {
        let came = all_bytes - std::mem::replace(&mut self.seen_bytes, all_bytes);
        if is_ours || came >= minimum {
            self.slow_ticks = 0;
        } else {
            self.slow_ticks += 1;
        }
        self.slow_ticks >= SLOW_TICKS_MAX
    }
}

/// A message's head, from the stream's first byte, has to be here in this time.
const HEAD_MS: u64 = 30_000;

/// Reads on until `next` finds a message's head.
///
/// What is read stays within the stream's first window, so an endless head ends by itself; and it
/// is copied, so a slow one pins no block.
pub(super) async fn read_head<S: Source, T>(
    source: &mut S,
    inflow: &mut Inflow,
    next: impl Fn(&mut S) -> Result<Option<T>, Refusal>,
) -> Result<T, Failed> {
    let reading = async {
        loop {
            if let Some(head) = next(source)? {
                return Ok(head);
            }
            source.unpin();
            if !inflow.read_into(source).await? {
                source.finish()?;
                return Err(super::not_one_message().into());
            }
        }
    };
    match timer::deadline(reading, Duration::from_millis(HEAD_MS)).await {
        Ok(read) => read,
        Err(_elapsed) => {
            let message = format!("the head of the message took longer than {HEAD_MS} ms");
            Err(Refusal::new(Reason::Rate, message).retry_after_ms(super::RETRY_AFTER_MS).into())
        }
    }
}
