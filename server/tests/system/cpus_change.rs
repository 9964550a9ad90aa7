//! An upload's home is its store, never a shard: the CPU list changes between two starts, and
//! uploads that were half way go on.

use std::sync::Mutex;

use sluice_proto::pb;

use crate::harness::{
    Calls, Ended, Options, Outcome, Server, audit, noise, runtime, sha256, two_cpus,
};

const UPLOADS: u64 = 12;
const CHUNK_BYTES: usize = 50_021;
const CHUNKS: usize = 6;

#[test]
fn uploads_half_way_go_on_with_one_shard_instead_of_two_and_back() {
    let one_cpu = two_cpus().split(',').next().unwrap().to_owned();
    let mut server = Server::start(Options::default());
    let runtime = runtime();
    let uploads: Vec<HalfWay> =
        (0..UPLOADS).map(|seed| runtime.block_on(HalfWay::open(&server.address(), seed))).collect();
    // Before, between and after the two changes; every second one is ahead of its front.
    let parts: [&[usize]; 3] = [&[5, 0], &[2, 4], &[3, 1]];
    for (part, cpus) in parts.into_iter().zip([&*one_cpu, two_cpus(), ""]) {
        for upload in &uploads {
            runtime.block_on(upload.send(&server.address(), part));
        }
        if cpus.is_empty() {
            break;
        }
        server.terminate();
        cpus.clone_into(&mut server.options.cpus);
        server.restart();
        for upload in &uploads {
            runtime.block_on(upload.assert_all_are_in(&server.address()));
        }
    }
    let outcomes: Vec<Outcome> = uploads
        .into_iter()
        .map(|upload| runtime.block_on(upload.complete(&server.address())))
        .collect();
    audit(server, &outcomes);
}

struct HalfWay {
    upload_id: String,
    filename: String,
    bytes: Vec<u8>,
    sent: Mutex<Vec<usize>>,
}

impl HalfWay {
    async fn open(address: &str, seed: u64) -> Self {
        let bytes = noise(seed, CHUNK_BYTES * CHUNKS);
        let filename = format!("half-way-{seed}");
        // Of every second one each chunk's offset is known.
        let request = pb::InitiateUploadRequest {
            filename: filename.clone(),
            chunk_size_bytes: if seed.is_multiple_of(2) { CHUNK_BYTES as i64 } else { 0 },
            ..Default::default()
        };
        let opened = Calls::to(address).initiate_upload(request).await.unwrap();
        Self { upload_id: opened.upload_id, filename, bytes, sent: Mutex::default() }
    }

    async fn send(&self, address: &str, numbers: &[usize]) {
        let calls = Calls::to(address);
        for &number in numbers {
            let chunk = pb::UploadChunkRequest {
                upload_id: self.upload_id.clone(),
                chunk_number: number as i32,
                data: self.bytes[number * CHUNK_BYTES..][..CHUNK_BYTES].to_vec().into(),
                ..Default::default()
            };
            calls.upload_chunk(chunk).await.unwrap();
            self.sent.lock().unwrap().push(number);
        }
    }

    async fn assert_all_are_in(&self, address: &str) {
        let status = Calls::to(address).status(&self.upload_id).await.unwrap();
        let ranges = status.received_ranges.iter();
        let mut found: Vec<usize> =
            ranges.flat_map(|range| range.first as usize..=range.last as usize).collect();
        let mut sent = self.sent.lock().unwrap().clone();
        found.sort_unstable();
        sent.sort_unstable();
        assert_eq!(found, sent);
        let upload = status.upload.unwrap();
        assert_eq!(upload.received_bytes as usize, sent.len() * CHUNK_BYTES);
    }

    async fn complete(self, address: &str) -> Outcome {
        let answer = Calls::to(address).complete(&self.upload_id, Some(CHUNKS as i32)).await;
        let object = answer.unwrap().object.expect("it is whole");
        assert_eq!(object.sha256, sha256(&self.bytes)[..]);
        let ended = Ended::Whole(self.bytes);
        Outcome { upload_id: self.upload_id, filename: self.filename, ended }
    }
}
