//! A client with one file. In the storm it does whatever comes to its mind; after it, it does
//! what a client has to do until its upload ends.

use std::collections::BTreeMap;

use sluice_proto::{
    error::{Reason, Refusal},
    ids::UploadId,
};
use sluice_shard::{
    Event,
    effect::{CallReply, Progress, StreamReply, UploadView},
    keys::{CallId, StreamKey},
    record::{State, UploadSpec},
};

use crate::{
    chunk::Sending,
    file,
    world::{Action, Answer, World},
};

pub(crate) struct Client {
    pub id: usize,
    /// Sends one file, right or not at all; others contradict themselves.
    pub honest: bool,
    pub spec: UploadSpec,
    /// Whether the node is named by the client.
    pub own_node: bool,
    pub chunks: Vec<Vec<u8>>,
    /// Percent of its chunks that come with `force`.
    pub force: u64,
    /// Sends mostly these first chunks, again and again.
    pub fond_of: Option<u64>,
    pub upload: Option<UploadId>,
    pub phase: Phase,
    pub streams: BTreeMap<StreamKey, Sending>,
    pub calls: BTreeMap<CallId, Asked>,
    /// The call that waits for the upload's next change.
    pub watch: Option<CallId>,
    /// Of which upload it was told what.
    pub seen: Option<(UploadId, Progress)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// So many actions are left.
    Storm(u32),
    Finish(Next),
    /// So many more looks at what has ended.
    Done(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Status,
    Send(Vec<u32>),
    Complete(u32),
    Abort,
}

#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Initiate,
    Status,
    Complete,
    Abort,
    /// By somebody else, or of somebody else.
    Foreign,
}

impl Client {
    pub(crate) fn new(id: usize, world: &mut World) -> Self {
        let honest = world.rng.percent(60);
        let (spec, chunks) = file::make(world, id, honest);
        Self {
            id,
            honest,
            own_node: world.rng.percent(30),
            spec,
            chunks,
            force: world.rng.pick(&[5, 5, 60]),
            fond_of: world.rng.percent(40).then(|| world.rng.between(1, 2)),
            upload: None,
            phase: Phase::Storm(world.rng.between(0, 60) as u32),
            streams: BTreeMap::new(),
            calls: BTreeMap::new(),
            watch: None,
            seen: None,
        }
    }

    pub(crate) fn wake(&mut self, world: &mut World) {
        while let Some(answer) = world.inboxes[self.id].pop_front() {
            self.hear(world, answer);
        }
        let keys: Vec<StreamKey> = self.streams.keys().copied().collect();
        for key in keys {
            if world.rng.percent(70) {
                let mut sending = self.streams.remove(&key).expect("it was there");
                if sending.go_on(world, key) {
                    self.streams.insert(key, sending);
                }
            }
        }
        self.act(world);
        let waits = !self.streams.is_empty() || !self.calls.is_empty() || self.watch.is_some();
        if waits || self.phase != Phase::Done(0) {
            let (low_ms, high_ms) = self.pause_ms(world);
            world.after(low_ms, high_ms, Action::Wake { client: self.id });
        }
    }

    /// Late looks come when the upload is about to be forgotten.
    fn pause_ms(&self, world: &World) -> (u64, u64) {
        let stored = self.upload.and_then(|upload| world.stores.uploads.get(&upload));
        match (&self.phase, stored) {
            (Phase::Done(1..), Some(stored)) if self.streams.is_empty() => {
                let forget_ms = stored.record.update_ms + world.plan.kept_ms;
                let left_ms = forget_ms.saturating_sub(world.now.wall_ms);
                (left_ms.saturating_sub(20), left_ms + 40)
            }
            _ => (0, 40),
        }
    }

    fn hear(&mut self, world: &mut World, answer: Answer) {
        match answer {
            Answer::Stream(key, reply) => match reply {
                StreamReply::Granted { .. } => {
                    if let Some(sending) = self.streams.get_mut(&key) {
                        sending.granted = true;
                    }
                }
                StreamReply::Parked => {}
                StreamReply::Again => {
                    if let Some(mut sending) = self.streams.remove(&key) {
                        sending.again(world, key);
                        self.streams.insert(key, sending);
                    }
                }
                StreamReply::Acked(_) => drop(self.streams.remove(&key)),
                StreamReply::Refused(refusal) => {
                    if let Some(sending) = self.streams.remove(&key) {
                        self.chunk_refused(world, sending.chunk.number, &refusal);
                    }
                }
            },
            Answer::StreamLost(key) => {
                drop(self.streams.remove(&key));
                self.look_anew();
            }
            Answer::CallLost(call) if self.watch == Some(call) => self.watch = None,
            Answer::Call(call, result) if self.watch == Some(call) => {
                self.watch = None;
                self.watched(world, result);
            }
            Answer::CallLost(call) => {
                self.calls.remove(&call);
                self.look_anew();
            }
            Answer::Call(call, result) => {
                let Some(asked) = self.calls.remove(&call) else { return };
                match result {
                    Ok(reply) => self.call_answered(world, asked, reply),
                    Err(refusal) => self.call_refused(world, asked, &refusal),
                }
            }
        }
    }

    /// A new process may have lost what the old one held in memory.
    pub(crate) fn look_anew(&mut self) {
        if let Phase::Finish(Next::Send(_)) = self.phase {
            self.phase = Phase::Finish(Next::Status);
        }
    }

    fn send_again(&mut self, number: u32) {
        if let Phase::Finish(Next::Send(left)) = &mut self.phase {
            left.push(number);
        }
    }

    fn chunk_refused(&mut self, world: &World, number: u32, refusal: &Refusal) {
        Self::check_unknown(world, refusal);
        let Phase::Finish(_) = self.phase else { return };
        match refusal.reason {
            Reason::SpoolFull
                if refusal.metadata.iter().any(|(key, _)| *key == "missing_chunk") =>
            {
                self.look_anew();
            }
            Reason::Budget
            | Reason::SpoolFull
            | Reason::Draining
            | Reason::BackendDown
            | Reason::ChecksumMismatch => self.send_again(number),
            Reason::SizeMismatch | Reason::ChunkSizeBroken if !self.honest => {
                self.phase = Phase::Finish(Next::Abort);
            }
            Reason::ChunkTooLarge if !self.honest => self.phase = Phase::Finish(Next::Status),
            Reason::UploadEnded
            | Reason::UploadUnknown
            | Reason::Loading
            | Reason::ChunkConflict
            | Reason::LastConflict
            | Reason::FieldInvalid => {
                self.phase = Phase::Finish(Next::Status);
            }
            // Of another attempt at the chunk some was stored, and the rest was lost.
            Reason::ChunkSealed if !self.honest => self.phase = Phase::Finish(Next::Abort),
            Reason::ChunkSealed => self.phase = Phase::Finish(Next::Status),
            _ => panic!("client {} can't send chunk {number}: {refusal}", self.id),
        }
    }

    /// An upload is unknown only after it ended.
    fn check_unknown(world: &World, refusal: &Refusal) {
        if refusal.reason == Reason::UploadUnknown {
            // Maybe of an upload that came before the one at hand.
            let (_, text) = &refusal.metadata[0];
            let upload = UploadId::parse(text).expect("the refusal names it");
            assert!(world.stores.ended.contains_key(&upload), "{upload} is lost");
        }
    }

    fn call_answered(&mut self, world: &mut World, asked: Asked, reply: CallReply) {
        match (asked, reply) {
            (_, CallReply::Known { upload_id, .. }) => {
                let call =
                    world.call(self.id, upload_id, |call| Event::InitiateAgain { call, upload_id });
                self.calls.extend(call.map(|call| (call, Asked::Initiate)));
            }
            (_, CallReply::Initiated { upload, .. }) => {
                let upload_id = upload.record.upload_id;
                let ended = |held| world.stores.ended.get(&held).is_some_and(|s| s.ended());
                // An old call may still be told of what its request was before that ended.
                let is_late = ended(upload_id);
                let same = self.upload.is_none_or(|held| held == upload_id || ended(held));
                let is_request = self.spec.request_id.is_some();
                assert!(same || is_late || !is_request, "one request, one upload");
                if self.upload.is_none() || (is_request && !is_late) {
                    self.upload = Some(upload_id);
                }
            }
            (asked, CallReply::Watched(_)) => panic!("{asked:?} watches nothing"),
            (_, CallReply::Completed(view)) => self.see(world, &view, None),
            (_, CallReply::Aborted) => self.done(world, State::Aborted),
            (Asked::Foreign, CallReply::Status { .. }) => panic!("told to another tenant"),
            (_, CallReply::Status { upload, missing, next_chunk, .. }) => {
                let mut numbers: Vec<u32> = missing.into_iter().flatten().collect();
                if next_chunk.is_some() {
                    return;
                }
                let highest = upload.received_count + numbers.len() as u32;
                let total = upload.record.total_chunks.unwrap_or(self.chunks.len() as u32);
                numbers.extend(highest..total);
                self.see(world, &upload, Some((numbers, total.max(highest))));
            }
        }
    }

    /// A watch is answered because something has changed.
    fn watched(&mut self, world: &World, result: Result<CallReply, Refusal>) {
        match result {
            Ok(CallReply::Watched(view)) => {
                let told = (view.record.upload_id, view.progress());
                assert!(self.seen != Some(told) || told.1.state.ended(), "nothing has changed");
                self.seen = Some(told);
            }
            Ok(other) => panic!("a watch was answered {other:?}"),
            Err(refusal) => Self::check_unknown(world, &refusal),
        }
    }

    /// Where the upload stands, and what is missing.
    fn see(&mut self, world: &World, view: &UploadView, missing: Option<(Vec<u32>, u32)>) {
        if view.record.state.ended() {
            return self.done(world, view.record.state);
        }
        if let (Phase::Finish(next), Some((numbers, total))) = (&mut self.phase, missing) {
            *next = if numbers.is_empty() { Next::Complete(total) } else { Next::Send(numbers) };
        }
    }

    fn call_refused(&mut self, world: &World, asked: Asked, refusal: &Refusal) {
        if let Asked::Foreign = asked {
            assert!(matches!(
                refusal.reason,
                Reason::UploadUnknown | Reason::Loading | Reason::BackendDown | Reason::Budget
            ));
            return;
        }
        Self::check_unknown(world, refusal);
        match (&asked, refusal.reason) {
            (Asked::Initiate, Reason::NodeExists | Reason::NameExists) => {
                assert!(self.own_node || self.spec.if_not_exists, "a fresh node is free");
                if self.upload.is_none() {
                    self.phase = Phase::Done(0);
                }
            }
            (_, Reason::UploadUnknown) => {
                if let Some(state) = self.upload.and_then(|upload| world.stores.ended.get(&upload))
                {
                    self.done(world, *state);
                }
            }
            (Asked::Complete, Reason::ObjectMismatch | Reason::SizeMismatch) => {
                self.done(world, State::Failed);
            }
            // The upload has had more chunks than its file: they would have to come again as they were.
            (Asked::Complete, Reason::LastConflict) if !self.honest => {
                self.phase = Phase::Finish(Next::Abort);
            }
            (
                Asked::Complete,
                Reason::MissingChunks | Reason::UploadEnded | Reason::LastConflict,
            )
            | (Asked::Abort, Reason::UploadCompleting | Reason::UploadEnded) => {
                if let Phase::Finish(next) = &mut self.phase {
                    *next = Next::Status;
                }
            }
            _ => {}
        }
    }

    /// It has ended: as it had to?
    fn done(&mut self, world: &World, state: State) {
        if let Phase::Done(_) = self.phase {
            return;
        }
        let upload = self.upload.expect("what ended was begun");
        if self.honest {
            assert!(state != State::Aborted, "an honest client doesn't abort");
            let bytes = self.chunks.concat();
            let declared = self.spec.sha256.is_none_or(|sum| file::sum(&bytes) == sum);
            assert_eq!(state == State::Failed, !declared && state != State::Expired);
            if let (State::Completed, Some(object)) = (state, world.disk.objects.get(&upload)) {
                assert_eq!(*object, bytes, "the file came through");
            }
        }
        self.phase = Phase::Done(4);
    }
}
