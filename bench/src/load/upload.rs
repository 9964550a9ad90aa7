//! One upload: opened, sent chunk by chunk, awaited and verified.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::pb::{self, UploadState};

use crate::clock::now;
use crate::job;
use crate::load::links::Lanes;
use crate::load::meter::Ack;
use crate::load::order::Numbers;
use crate::load::payload::Payload;
use crate::load::route;
use crate::load::run::Run;
use crate::load::wire::{CallError, Wire};

/// How often an upload is asked after whose end takes longer than the server waits.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Every call that carries no chunk is answered in less, or never will be.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(60);

/// Why an upload did not come out, and the run doesn't count.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Refused for good or too often, or never answered.
    #[error("{name}: {error}")]
    Call {
        /// The RPC.
        name: &'static str,
        /// Why.
        error: CallError,
    },
    /// The object isn't what was sent.
    #[error("{upload_id} is stored as {stored}, and was sent as {sent}")]
    Mismatch {
        /// Which.
        upload_id: String,
        /// Size and checksum of the object.
        stored: String,
        /// Size and checksum of what was sent.
        sent: String,
    },
    /// Ended without an object.
    #[error("{upload_id} ended as {state:?}")]
    Ended {
        /// Which.
        upload_id: String,
        /// As what.
        state: UploadState,
    },
    /// There is no way to where its chunks should go.
    #[error("no way to an owner: {0}")]
    Unreachable(#[from] std::io::Error),
    /// More owners are needed than were found.
    #[error("{needed} owners are needed, and {found} were found")]
    FewOwners {
        /// For the load.
        needed: usize,
        /// By opening uploads.
        found: usize,
    },
}

/// An upload that is open.
#[derive(Debug)]
pub struct Upload {
    id: String,
    payload: Rc<Payload>,
    /// Where its chunks go.
    lanes: Lanes,
    numbers: RefCell<Numbers>,
    unacked: Cell<u32>,
    /// Whether an ack waited for the upload's end.
    ack_waited: Cell<bool>,
    started: Instant,
}

impl Upload {
    /// Opens the next one, over the lane of this number.
    pub async fn open(run: &Run, lane: u64) -> Result<Self, UploadError> {
        let started = now();
        let (nth, payload) = run.next_upload();
        let lanes = run.links.to(run.home(nth)).await?;
        let opened = initiate(run, nth, &payload, lanes.lane(lane)).await?;
        let lanes = route::lanes(run, &opened.endpoints, nth).await?;
        let chunks = payload.plan().chunks();
        let numbers = RefCell::new(Numbers::new(chunks, run.load.order, nth));
        let unacked = Cell::new(chunks);
        let (id, ack_waited) = (opened.upload_id, Cell::new(false));
        Ok(Self { id, payload, lanes, numbers, unacked, ack_waited, started })
    }

    /// The number of the chunk that should be sent next; none when all are on their way.
    pub fn next_number(&self) -> Option<u32> {
        self.numbers.borrow_mut().next()
    }

    /// Bytes of a chunk.
    pub fn length_of(&self, number: u32) -> u64 {
        self.payload.plan().length_of(number)
    }

    /// Sends a chunk until it is acked. Gives whether all of the upload's now are.
    pub async fn send(&self, run: &Run, chunk: Sending) -> Result<bool, UploadError> {
        let number = chunk.number;
        let is_last = number == self.payload.plan().chunks() - 1;
        let mut header = pb::UploadChunkRequest {
            upload_id: self.id.clone(),
            chunk_number: number as i32,
            // The others say so by CompleteUpload; this one is to be known at once.
            is_last: is_last && run.load.order == job::Order::LastFirst,
            ..Default::default()
        };
        if run.load.checksums {
            let sum = self.payload.crc64nvme_of(number);
            header.crc64nvme = Bytes::copy_from_slice(&sum.to_be_bytes());
        }
        let data = self.payload.data(number);
        let wire = self.lanes.lane(chunk.lane);
        let answer = run.call_chunk(|| wire.chunk(&header, &data)).await?;
        let ending = !matches!(answer.state(), UploadState::Pending | UploadState::Uploading);
        let (started, acked, bytes) = (chunk.started, now(), data.len() as u64);
        let timed = chunk.timed.unwrap_or_else(|| run.count(|meter| meter.measures(acked)));
        run.acked(Ack { started, acked, bytes, ending, timed });
        if answer.duplicate {
            run.count(|meter| meter.duplicate());
        }
        self.unacked.set(self.unacked.get() - 1);
        self.ack_waited.set(self.ack_waited.get() || ending);
        Ok(self.unacked.get() == 0)
    }

    /// Waits for the object, and looks whether it is what was sent. Called as the last ack comes.
    pub async fn end(&self, run: &Run, lane: u64) -> Result<(), UploadError> {
        let acked = now();
        let object = self.complete(run, self.lanes.lane(lane)).await?;
        let ended = now();
        let summed = self.verify(&object)?;
        run.count(|meter| {
            meter.verified(self.started, ended, summed);
            if !self.ack_waited.get() {
                meter.completed(acked, ended);
            }
        });
        Ok(())
    }

    async fn complete(&self, run: &Run, wire: &Wire) -> Result<pb::ObjectInfo, UploadError> {
        let request = pb::CompleteUploadRequest {
            upload_id: self.id.clone(),
            total_chunks: Some(self.payload.plan().chunks() as i32),
            ..Default::default()
        };
        loop {
            let send = || in_time(wire.complete(&request));
            let answer = run.call("CompleteUpload", send).await?;
            match (answer.state(), answer.object) {
                (UploadState::Completed, Some(object)) => return Ok(object),
                (UploadState::Completing, _) => tokio::time::sleep(POLL_INTERVAL).await,
                (state, _) => {
                    return Err(UploadError::Ended { upload_id: self.id.clone(), state });
                }
            }
        }
    }

    /// Whether the object has a checksum that could be compared too.
    fn verify(&self, object: &pb::ObjectInfo) -> Result<bool, UploadError> {
        let (sent_bytes, sent_sum) = (self.payload.plan().upload_bytes, self.payload.crc64nvme());
        let sum = Crc64Nvme::from_wire(&object.crc64nvme);
        let sum_is_right = object.crc64nvme.is_empty() || sum == Some(sent_sum);
        if object.size_bytes == sent_bytes as i64 && sum_is_right {
            return Ok(sum.is_some());
        }
        Err(UploadError::Mismatch {
            upload_id: self.id.clone(),
            stored: described(object.size_bytes, &object.crc64nvme),
            sent: described(sent_bytes as i64, &sent_sum.to_be_bytes()),
        })
    }
}

/// A chunk that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Its number.
    pub number: u32,
    /// Over which of the connections.
    pub lane: u64,
    /// When it begins, or should.
    pub started: Instant,
    /// Whether its latency counts; none: if its ack comes in the measured time.
    pub timed: Option<bool>,
}

/// Sends InitiateUpload for upload `nth` of a run.
pub async fn initiate(
    run: &Run,
    nth: u64,
    payload: &Payload,
    wire: &Wire,
) -> Result<pb::InitiateUploadResponse, UploadError> {
    let mut request =
        pb::InitiateUploadRequest { filename: format!("bench-{nth}"), ..Default::default() };
    if run.load.promise {
        request.expected_size_bytes = Some(payload.plan().upload_bytes as i64);
        request.chunk_size_bytes = payload.plan().chunk_bytes as i64;
    }
    request.set_ack_level(match run.load.ack {
        job::Ack::Default => pb::AckLevel::Unspecified,
        job::Ack::Received => pb::AckLevel::Received,
        job::Ack::Spooled => pb::AckLevel::Spooled,
    });
    run.call("InitiateUpload", || in_time(wire.initiate(&request))).await
}

async fn in_time<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    let late = || CallError::Broken(format!("nothing in {} s", CONTROL_TIMEOUT.as_secs()));
    tokio::time::timeout(CONTROL_TIMEOUT, call).await.map_err(|_| late())?
}

fn described(bytes: i64, sum: &[u8]) -> String {
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    match sum.is_empty() {
        true => format!("{bytes} bytes"),
        false => format!("{bytes} bytes of CRC-64/NVME {sum}"),
    }
}
