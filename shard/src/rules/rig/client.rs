//! The client's side of the rig: what it asks for, sends and hears.

use bytes::Bytes;
use sluice_proto::{
    checksum::{Crc32c, Crc64Nvme},
    error::{Reason, Refusal},
    grpc::ChunkChecks,
    ids::{ChunkCount, UploadId},
};

use super::{Rig, STORE};
use crate::{
    Event,
    effect::{CallReply, ChunkAck, StreamReply, UploadView},
    event::{ChunkOpen, Initiate},
    keys::{CallId, StreamKey},
    record::{State, UploadSpec},
};

/// Long enough for whatever waits for an end.
pub(in crate::rules) const WAIT_MS: u64 = 10_000;

/// One chunk as a client sends it.
#[derive(Clone)]
pub(in crate::rules) struct Send {
    pub number: u32,
    pub data: Vec<u8>,
    pub is_last: bool,
    pub force: bool,
    pub checks: ChunkChecks,
    pub end_wait: bool,
}

pub(in crate::rules) fn send(number: u32, data: &[u8]) -> Send {
    let checks = ChunkChecks::default();
    let data = data.to_vec();
    Send { number, data, is_last: false, force: false, checks, end_wait: false }
}

impl Send {
    pub(in crate::rules) fn last(self) -> Self {
        Self { is_last: true, ..self }
    }

    pub(in crate::rules) fn force(self) -> Self {
        Self { force: true, ..self }
    }

    pub(in crate::rules) fn summed(mut self) -> Self {
        self.checks.crc32c = Some(Crc32c::of(&self.data));
        self.checks.crc64nvme = Some(Crc64Nvme::of(&self.data));
        self
    }
}

impl Rig {
    /// Asks for an upload.
    pub(in crate::rules) fn initiate(&mut self, spec: UploadSpec) -> (UploadId, CallId) {
        let number = self.fresh();
        let mut random = [0; 15];
        random[..8].copy_from_slice(&number.to_be_bytes());
        let upload_id = UploadId::new(1, STORE, random);
        let call = CallId(number);
        self.event(Event::Initiate(Box::new(Initiate { call, upload_id, spec })));
        (upload_id, call)
    }

    /// Makes an upload.
    pub(in crate::rules) fn upload(&mut self, spec: UploadSpec) -> UploadId {
        let (upload_id, call) = self.initiate(spec);
        self.settle();
        assert!(matches!(self.replies[&call], Ok(CallReply::Initiated { .. })));
        upload_id
    }

    /// Sends a chunk's header.
    pub(in crate::rules) fn open(&mut self, upload_id: UploadId, send: &Send) -> StreamKey {
        let stream = StreamKey(self.fresh());
        let open = self.opening(stream, upload_id, send);
        self.event(Event::ChunkOpen(open));
        stream
    }

    /// Sends a chunk that comes whole with its header.
    pub(in crate::rules) fn whole(&mut self, upload_id: UploadId, send: &Send) -> StreamKey {
        let stream = StreamKey(self.fresh());
        let open = self.opening(stream, upload_id, send);
        let bytes = Bytes::copy_from_slice(&send.data);
        self.event(Event::ChunkWhole { open, bytes });
        stream
    }

    fn opening(&self, stream: StreamKey, upload_id: UploadId, send: &Send) -> Box<ChunkOpen> {
        Box::new(ChunkOpen {
            stream,
            tenant: "t".to_owned(),
            upload_id,
            number: send.number,
            is_last: send.is_last,
            force: send.force,
            checks: send.checks,
            data_bytes: send.data.len() as u64,
            end_wait_until_ms: send.end_wait.then_some(self.now.mono_ms + WAIT_MS),
        })
    }

    /// Sends a chunk's bytes, in two pieces.
    pub(in crate::rules) fn body(&mut self, stream: StreamKey, send: &Send) {
        let (head, tail) = send.data.split_at(send.data.len() / 2);
        for piece in [head, tail] {
            self.event(Event::ChunkPiece { stream, bytes: Bytes::copy_from_slice(piece) });
        }
        let Send { is_last, force, checks, .. } = *send;
        self.event(Event::ChunkEnd { stream, is_last, force, checks });
    }

    /// Sends a chunk and does whatever it takes; its answer.
    pub(in crate::rules) fn chunk(
        &mut self,
        upload_id: UploadId,
        send: &Send,
    ) -> Result<ChunkAck, Reason> {
        let stream = self.open(upload_id, send);
        if self.answer(stream).is_none() {
            self.body(stream, send);
        }
        self.settle();
        self.answer(stream).expect("a chunk is answered")
    }

    /// The last word on a chunk, if it was spoken.
    pub(in crate::rules) fn answer(&self, stream: StreamKey) -> Option<Result<ChunkAck, Reason>> {
        match self.told.get(&stream)?.last()? {
            StreamReply::Acked(ack) => Some(Ok(*ack)),
            StreamReply::Refused(refusal) => Some(Err(refusal.reason)),
            StreamReply::Granted { .. } | StreamReply::Parked | StreamReply::Again => None,
        }
    }

    pub(in crate::rules) fn ask_complete(
        &mut self,
        upload_id: UploadId,
        total: Option<i32>,
    ) -> CallId {
        let call = CallId(self.fresh());
        let total_chunks = total.map(|total| ChunkCount::new(total).unwrap());
        let wait_until_ms = self.now.mono_ms + WAIT_MS;
        let tenant = "t".to_owned();
        let sha256 = None;
        let event =
            Event::Complete { call, tenant, upload_id, total_chunks, sha256, wait_until_ms };
        self.event(event);
        call
    }

    pub(in crate::rules) fn complete(
        &mut self,
        upload_id: UploadId,
        total: Option<i32>,
    ) -> Result<UploadView, Refusal> {
        let call = self.ask_complete(upload_id, total);
        self.settle();
        match self.replies[&call].clone()? {
            CallReply::Completed(view) => Ok(*view),
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::rules) fn abort(&mut self, upload_id: UploadId) -> Result<(), Reason> {
        let call = CallId(self.fresh());
        self.event(Event::Abort { call, tenant: "t".to_owned(), upload_id });
        self.settle();
        self.replies[&call].clone().map(drop).map_err(|refusal| refusal.reason)
    }

    pub(in crate::rules) fn view(&mut self, upload_id: UploadId) -> Result<UploadView, Reason> {
        let call = CallId(self.fresh());
        let (tenant, from_chunk, ranges_max) = ("t".to_owned(), 0, 1_000);
        self.event(Event::Status { call, tenant, upload_id, from_chunk, ranges_max });
        match self.replies[&call].clone() {
            Ok(CallReply::Status { upload, .. }) => Ok(*upload),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.reason),
        }
    }

    pub(in crate::rules) fn state(&mut self, upload_id: UploadId) -> State {
        self.view(upload_id).unwrap().record.state
    }

    /// The object's bytes.
    pub(in crate::rules) fn object(&self, upload_id: UploadId) -> &[u8] {
        &self.objects[&upload_id].0
    }
}
