//! One chunk's way from its reader to its owner: header, grant, pieces, end, answer.
//!
//! Invariants: nothing of the payload is handed over before the owner granted it; the owner hears
//! of the end or of the cut.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use sluice_io::reactor::timer;
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

use super::{
    Failed, Service, TENANT,
    inflow::{Inflow, Part, Source},
    not_one_message,
    rate::{RateWatch, too_slow},
    whole_chunk::WholeChunk,
};
use crate::{
    metrics::{ChunkResult, Level, Stage},
    serve::switch::{Message, ReaderHandle},
};

/// Where a chunk goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The shard that owns the upload.
    pub(super) owner: u16,
    pub(super) upload_id: UploadId,
    pub(super) number: u32,
}

/// Where a chunk's message ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// It is the only one of its stream. With [`ChunkOpen::end_wait_until_ms`].
    WithTheStream(Option<u64>),
    /// Others may follow.
    BeforeOthers,
}

/// One chunk under way.
pub(super) struct Intake<'a> {
    service: &'a Service,
    reader: ReaderHandle,
    target: Target,
    header: ChunkHeader,
    ends: Ends,
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
    began_us: u64,
}

impl<'a> Intake<'a> {
    /// Tells the owner of a chunk whose header was read.
    pub(super) fn begin(
        service: &'a Service,
        inflow: &Inflow,
        header: ChunkHeader,
        target: Target,
        ends: Ends,
    ) -> Result<Self, Refusal> {
        let intake = Self::new(service, inflow, header, target, ends);
        if target.owner != service.shard {
            service.metrics.chunk_misrouted();
        }
        let open = Event::ChunkOpen(Box::new(intake.opening()?));
        service.switch.post(target.owner, Message::Event(open));
        Ok(intake)
    }

    /// Brings a chunk that is here whole to its owner, on this shard, and waits for the answer.
    pub(super) async fn run_whole(
        service: &'a Service,
        inflow: &mut Inflow,
        header: ChunkHeader,
        target: Target,
        ends: Ends,
        mut chunk: WholeChunk,
    ) -> Result<ChunkAck, Failed> {
        let mut intake = Self::new(service, inflow, header, target, ends);
        let opening = intake.opening()?;
        inflow.grant(0)?;
        let bytes = chunk.data().len();
        inflow.handed_over(bytes);
        intake.reader.hand_over_whole(opening, chunk.data());
        (intake.handed_bytes, intake.settled) = (bytes as u64, true);
        let reply = poll_fn(|cx| intake.reader.poll_reply(cx)).await;
        if reply == StreamReply::Again {
            intake.reader.take_back();
            inflow.taken_back(bytes);
            (intake.handed_bytes, intake.settled) = (0, false);
            let open = Event::ChunkOpen(Box::new(intake.opening()?));
            service.switch.post_here(open);
            return intake.run(inflow, &mut chunk).await;
        }
        service.metrics.received(bytes as u64);
        inflow.give_back();
        Ok(intake.take_answer(reply)?)
    }

    fn new(
        service: &'a Service,
        inflow: &Inflow,
        header: ChunkHeader,
        target: Target,
        ends: Ends,
    ) -> Self {
        Self {
            service,
            reader: service.switch.open_reader(inflow.releaser()),
            target,
            header,
            ends,
            granted: false,
            parked: false,
            trailer: None,
            settled: false,
            answered: false,
            handed_bytes: 0,
            watch: RateWatch::new(),
            began_us: timer::now_us(),
        }
    }

    /// What the owner is told first.
    fn opening(&self) -> Result<ChunkOpen, Refusal> {
        let header = &self.header;
        Ok(ChunkOpen {
            stream: self.reader.key(),
            tenant: TENANT.to_owned(),
            upload_id: self.target.upload_id,
            number: self.target.number,
            is_last: header.is_last,
            force: header.force,
            checks: header.checks()?,
            data_bytes: header.data_bytes,
            end_wait_until_ms: match self.ends {
                Ends::WithTheStream(until_ms) => until_ms,
                Ends::BeforeOthers => None,
            },
        })
    }

    /// Brings the chunk to its owner and waits for the answer.
    pub(super) async fn run(
        &mut self,
        inflow: &mut Inflow,
        source: &mut impl Source,
    ) -> Result<ChunkAck, Failed> {
        match self.receive(inflow, source).await? {
            Some(ack) => Ok(ack),
            None => poll_fn(|cx| self.poll_answer(cx)).await.map_err(Failed::from),
        }
    }

    /// Brings the chunk to its owner. The answer, if it came before the end of the message.
    pub(super) async fn receive(
        &mut self,
        inflow: &mut Inflow,
        source: &mut impl Source,
    ) -> Result<Option<ChunkAck>, Failed> {
        let result = poll_fn(|cx| self.poll_receive(inflow, source, cx)).await;
        match &result {
            Ok(Some(ack)) => self.count_ack(ack),
            Ok(None) => {}
            Err(Failed::Refused(refusal)) => self.count_refusal(refusal),
            Err(Failed::Gone) => self.service.metrics.chunk_ended(ChunkResult::Cut, 0),
        }
        result
    }

    /// The owner's answer to a chunk that was received whole.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<ChunkAck, Refusal>> {
        let reply = ready!(self.reader.poll_reply(cx));
        Poll::Ready(self.take_answer(reply))
    }

    fn take_answer(&mut self, reply: StreamReply) -> Result<ChunkAck, Refusal> {
        self.answered = true;
        match reply {
            StreamReply::Acked(ack) => {
                self.count_ack(&ack);
                Ok(ack)
            }
            StreamReply::Refused(refusal) => {
                self.count_refusal(&refusal);
                Err(refusal)
            }
            other => unreachable!("a chunk that is whole was told {other:?}"),
        }
    }

    fn poll_receive(
        &mut self,
        inflow: &mut Inflow,
        source: &mut impl Source,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<ChunkAck>, Failed>> {
        loop {
            if let Poll::Ready(reply) = self.reader.poll_reply(cx) {
                match self.take_reply(reply, inflow, source, cx) {
                    Ok(None) => continue,
                    answered => return Poll::Ready(answered),
                }
            }
            if self.granted
                && let Err(refusal) = self.hand_over(inflow, source)
            {
                return Poll::Ready(Err(refusal.into()));
            }
            if self.settled {
                return Poll::Ready(Ok(None));
            }
            match inflow.poll_read_into(source, cx) {
                Poll::Ready(Ok(true)) if self.parked && !self.granted => source.unpin(),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) if !self.granted => return Poll::Pending,
                Poll::Ready(Ok(false)) => match source.finish().and_then(|()| self.settle()) {
                    Ok(()) => return Poll::Ready(Ok(None)),
                    Err(refusal) => return Poll::Ready(Err(refusal.into())),
                },
                Poll::Ready(Err(gone)) => return Poll::Ready(Err(gone)),
                Poll::Pending => {
                    let slow = self.poll_rate(inflow, source, cx);
                    return slow.map(|refusal| Err(refusal.into()));
                }
            }
        }
    }

    fn take_reply(
        &mut self,
        reply: StreamReply,
        inflow: &mut Inflow,
        source: &mut impl Source,
        cx: &mut Context<'_>,
    ) -> Result<Option<ChunkAck>, Failed> {
        match reply {
            StreamReply::Granted { .. } => {
                // What is here already isn't asked for again.
                while let Poll::Ready(read) = inflow.poll_read_into(source, cx) {
                    if !read? {
                        break;
                    }
                }
                inflow.grant(source.missing_bytes())?;
                self.granted = true;
            }
            StreamReply::Parked => {
                inflow.park()?;
                source.unpin();
                self.parked = true;
            }
            StreamReply::Acked(ack) => {
                self.answered = true;
                return Ok(Some(ack));
            }
            StreamReply::Again => unreachable!("it was opened as any other"),
            StreamReply::Refused(refusal) => {
                self.answered = true;
                return Err(refusal.into());
            }
        }
        Ok(None)
    }

    /// Hands over all that was decoded of the message.
    fn hand_over(&mut self, inflow: &mut Inflow, source: &mut impl Source) -> Result<(), Refusal> {
        while !self.settled
            && let Some(part) = source.next_part()?
        {
            match part {
                Part::Data(bytes) => {
                    self.handed_bytes += bytes.len() as u64;
                    inflow.handed_over(bytes.len());
                    self.service.metrics.received(bytes.len() as u64);
                    self.reader.hand_over(self.target.owner, bytes);
                }
                Part::End(trailer) => {
                    self.trailer = Some(trailer);
                    if self.ends == Ends::BeforeOthers {
                        self.settle()?;
                    }
                }
            }
        }
        inflow.give_back_but(source.unread_bytes());
        Ok(())
    }

    /// The message is whole: its chunk ends.
    fn settle(&mut self) -> Result<(), Refusal> {
        let trailer = self.trailer.take().ok_or_else(not_one_message)?;
        trailer.apply(&mut self.header);
        let (is_last, force) = (self.header.is_last, self.header.force);
        let checks = self.header.checks()?;
        let event = Event::ChunkEnd { stream: self.reader.key(), is_last, force, checks };
        self.settled = true;
        self.service.switch.post(self.target.owner, Message::Event(event));
        Ok(())
    }

    /// Cuts a sender that holds budget and is too slow.
    fn poll_rate(
        &mut self,
        inflow: &Inflow,
        source: &impl Source,
        cx: &mut Context<'_>,
    ) -> Poll<Refusal> {
        let minimum = self.service.min_chunk_rate_bytes;
        if !self.granted || minimum == 0 {
            return Poll::Pending;
        }
        loop {
            ready!(self.watch.poll_tick(cx));
            // What we hold of what came may keep the client from sending; a little always lies
            // here, so it is the window that tells.
            let is_ours = inflow.is_held_up(source.missing_bytes());
            if self.watch.is_slow(self.handed_bytes, minimum, is_ours) {
                return Poll::Ready(too_slow(minimum));
            }
        }
    }

    fn count_ack(&self, ack: &ChunkAck) {
        let metrics = &self.service.metrics;
        let was = if ack.duplicate { ChunkResult::Duplicate } else { ChunkResult::Accepted };
        metrics.chunk_ended(was, ack.bytes);
        let took = Duration::from_micros(timer::now_us() - self.began_us);
        metrics.chunk_acked(if ack.spooled { Level::Spooled } else { Level::Received }, took);
    }

    fn count_refusal(&self, refusal: &Refusal) {
        let metrics = &self.service.metrics;
        metrics.chunk_ended(ChunkResult::Refused, 0);
        if refusal.reason == Reason::ChecksumMismatch {
            metrics.integrity_failed(Stage::Chunk);
        }
    }
}

/// Also when the client is gone and nobody polls it any more.
impl Drop for Intake<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let event = Event::ChunkCut { stream: self.reader.key() };
            self.service.switch.post(self.target.owner, Message::Event(event));
        }
    }
}
