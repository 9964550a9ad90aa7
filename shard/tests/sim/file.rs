//! The file that a client has, and what it tells of it beforehand.

use std::collections::BTreeMap;

use sluice_proto::{
    checksum::Sha256State,
    ids::{DriveId, Filename, NodeId, RequestId},
};
use sluice_shard::{config::Objects, record::UploadSpec};

use crate::world::World;

pub(crate) fn sum(bytes: &[u8]) -> [u8; 32] {
    Sha256State::of(bytes)
}

/// What is asked for, and the chunks.
pub(crate) fn make(world: &mut World, id: usize, honest: bool) -> (UploadSpec, Vec<Vec<u8>>) {
    let largest = world.plan.config.max_chunk_bytes;
    let count = world.rng.pick(&[0, 1, 1, 2, 3, 5, 8, 12]);
    let promised = world.rng.percent(50).then(|| world.rng.between(1, largest));
    let chunks: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            let bytes = match promised {
                Some(promised) if number + 1 < count => promised,
                _ => world.rng.between(1, promised.unwrap_or(largest)),
            };
            world.rng.bytes(bytes)
        })
        .collect();
    let bytes = chunks.concat();
    let files = world.plan.config.objects != Objects::Discard;
    let declared = files && world.rng.percent(40);
    let mut sha256 = declared.then(|| sum(&bytes));
    if let (Some(sum), true) = (&mut sha256, world.rng.percent(10)) {
        sum[0] ^= 1;
    }
    let spec = UploadSpec {
        tenant: format!("tenant{id}"),
        drive_id: DriveId::parse("default").unwrap(),
        node_id: NodeId::parse(&format!("node{id}")).unwrap(),
        filename: Filename::parse(&format!("file{}", world.rng.below(3))).unwrap(),
        mime_type: String::new(),
        metadata: BTreeMap::new(),
        expected_size_bytes: world.rng.percent(50).then_some(bytes.len() as u64),
        chunk_size_bytes: promised,
        max_size_bytes: if honest { 10_000 } else { world.rng.between(bytes.len() as u64, 10_000) },
        sha256,
        hash: files && (declared || world.rng.percent(30)),
        if_not_exists: world.rng.percent(10),
        request_id: world
            .rng
            .percent(70)
            .then(|| RequestId::parse(&format!("request{id}")).unwrap()),
        fingerprint: [id as u8; 32],
    };
    (spec, chunks)
}
