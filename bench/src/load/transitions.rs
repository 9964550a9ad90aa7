//! What a transition of an upload costs whoever has Redis take it: chunks are recorded by the server's
//! own code, each by a script of its own, and nothing else is done. "Chunks" are records here, and
//! their bytes are only spoken of.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sluice_io::{
    reactor::{executor::Executors, timer},
    redis::{Client, RedisUrl, Settings},
};
use sluice_proto::ids::{DriveId, Filename, NodeId, StoreId, UploadId};
use sluice_server::store::{
    Loaded, StoreError,
    redis::{Lease, RENEW_EVERY, RedisStores, Renewed},
};
use sluice_shard::record::{ChunkPlace, ChunkRecord, State, Transition, UploadRecord, UploadSpec};

use crate::clock::{now, wall};
use crate::job::Job;
use crate::load::Mark;
use crate::load::meter::{Ack, Meter};
use crate::run::cpus::Cpus;

const NODE: u64 = 1;
const STORE: StoreId = StoreId(0);
/// An upload with so many gives way to the next.
const CHUNKS: u32 = 10_000;
/// Longer than any run.
const LIFETIME_MS: u64 = 24 * 3600 * 1000;
const WITHIN: Duration = Duration::from_secs(10);
/// What a thread took can't be seen any more when it has ended.
const LINGER: Duration = Duration::from_millis(200);

/// Puts the load on: as many uploads as there are chunks in flight, each with one of its steps.
///
/// # Errors
/// When no executor can be had.
pub fn run(job: &Job, on: &mut dyn FnMut(Mark)) -> io::Result<Meter> {
    let load = &job.load;
    let begin = now() + load.warm_up.0;
    let course = Course {
        url: RedisUrl::parse(&format!("redis://{}", job.address)).map_err(other)?,
        uploads: load.uploads * load.parallel,
        chunk_bytes: load.chunk_size.0,
        begin,
        end: begin + load.duration.0,
    };
    let (tell, told) = mpsc::channel();
    let executors = Executors::spawn(&[Cpus::allowed()?.lowest()], move |_, pacer| {
        let (course, tell) = (course.clone(), tell.clone());
        async move {
            let _busy = pacer.begin();
            // Who asked waits for it.
            drop(tell.send(course.run().await));
            timer::sleep(LINGER).await;
        }
    });
    let executors = executors.map_err(other)?;
    sleep_until(begin);
    on(Mark::Begin);
    sleep_until(begin + load.duration.0);
    on(Mark::End);
    let meter = told.recv().map_err(other)?;
    executors.join().map_err(other)?;
    Ok(meter)
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(now()));
}

#[derive(Clone)]
struct Course {
    url: RedisUrl,
    uploads: usize,
    chunk_bytes: u64,
    begin: Instant,
    end: Instant,
}

impl Course {
    async fn run(&self) -> Meter {
        let mut meter = Meter::new();
        meter.begin(self.begin);
        let meter = Rc::new(RefCell::new(meter));
        if let Err(error) = self.try_run(&meter).await {
            meter.borrow_mut().failed(error.to_string());
        }
        meter.borrow_mut().end(self.end);
        meter.replace(Meter::new())
    }

    async fn try_run(&self, meter: &RefCell<Meter>) -> Result<(), StoreError> {
        let url = self.url.clone();
        let client_name = "sluice-bench".to_owned();
        let client = Client::new(Settings { url, tls: None, client_name, within: WITHIN });
        client.connect().await?;
        let lease = Lease::take(&client, NODE, 1, 1).await?;
        let stores = RedisStores::new(client.clone(), lease.clone());
        let uploading = (0..self.uploads).map(|nth| self.uploads_of(nth, &stores, meter));
        let renewing = async {
            while now() < self.end {
                timer::sleep(RENEW_EVERY).await;
                assert_eq!(lease.renew(&client).await, Ok(Renewed::Held));
            }
        };
        let (made, ()) = futures_util::future::join(join_all(uploading), renewing).await;
        for made in made {
            for (upload_id, chunks) in made? {
                verify(&stores, upload_id, chunks, meter).await?;
            }
        }
        Ok(())
    }

    /// Uploads one after the other, until the time is over; how many chunks each has.
    async fn uploads_of(
        &self,
        nth: usize,
        stores: &RedisStores,
        meter: &RefCell<Meter>,
    ) -> Result<Vec<(UploadId, u32)>, StoreError> {
        let mut made = Vec::new();
        while now() < self.end {
            let record = record(nth, made.len());
            let (upload_id, expire_ms) = (record.upload_id, record.expire_ms);
            let create = [Transition::Create(Box::new(record))];
            stores.take_steps(upload_id, 1, wall_ms(), expire_ms, &create).await?;
            let mut chunks = 0;
            while chunks < CHUNKS && now() < self.end {
                let started = now();
                let step = [put_chunk(chunks, self.chunk_bytes)];
                let rev = u64::from(chunks) + 2;
                stores.take_steps(upload_id, rev, wall_ms(), expire_ms, &step).await?;
                chunks += 1;
                let acked = now();
                let mut meter = meter.borrow_mut();
                let timed = meter.measures(acked) && acked < self.end;
                if timed {
                    let bytes = self.chunk_bytes;
                    meter.acked(Ack { started, acked, bytes, ending: false, timed });
                }
            }
            made.push((upload_id, chunks));
        }
        Ok(made)
    }
}

/// All that was acknowledged is there.
async fn verify(
    stores: &RedisStores,
    upload_id: UploadId,
    chunks: u32,
    meter: &RefCell<Meter>,
) -> Result<(), StoreError> {
    let started = now();
    let held = match stores.load_one(upload_id, CHUNKS as usize).await? {
        Loaded::Whole(upload) => upload.chunks.len(),
        Loaded::Nothing | Loaded::Left(_) | Loaded::TooLarge | Loaded::Damaged => 0,
    };
    let mut meter = meter.borrow_mut();
    if held == chunks as usize {
        meter.verified(started, now(), false);
    } else {
        meter.failed(format!("{chunks} chunks were recorded, and Redis has {held}"));
    }
    Ok(())
}

fn wall_ms() -> u64 {
    let since = wall().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn put_chunk(number: u32, bytes: u64) -> Transition {
    let place = ChunkPlace::Object;
    let (crc64nvme, crc32c) = (u64::from(number) << 32 | 7, number);
    let chunk = ChunkRecord { attempt: 0, bytes, crc64nvme, crc32c, sha256: None, place };
    Transition::PutChunk { number, chunk, total_chunks: None }
}

fn record(task: usize, nth: usize) -> UploadRecord {
    let mut random = [0; 15];
    random[..4].copy_from_slice(&(task as u32).to_be_bytes());
    random[4..8].copy_from_slice(&(nth as u32).to_be_bytes());
    let name = format!("{task}-{nth}");
    let now_ms = wall_ms();
    UploadRecord {
        upload_id: UploadId::new(NODE, STORE, random),
        spec: UploadSpec {
            tenant: String::new(),
            drive_id: DriveId::parse("default").expect("it is one"),
            node_id: NodeId::parse(&name).expect("it is one"),
            filename: Filename::parse(&name).expect("it is one"),
            mime_type: String::new(),
            metadata: BTreeMap::new(),
            expected_size_bytes: None,
            chunk_size_bytes: None,
            max_size_bytes: 1 << 40,
            sha256: None,
            hash: false,
            if_not_exists: false,
            request_id: None,
            fingerprint: [0; 32],
        },
        state: State::Pending,
        total_chunks: None,
        create_ms: now_ms,
        update_ms: now_ms,
        expire_ms: now_ms + LIFETIME_MS,
        object: None,
        error: None,
        cleanup_pending: false,
        schedule: None,
        multipart_id: None,
    }
}
