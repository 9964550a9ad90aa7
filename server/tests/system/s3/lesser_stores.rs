//! Stores that can do less than S3 itself: what they can is found out, and objects are exact.

use sluice_proto::pb::InitiateUploadRequest;
use sluice_test_servers::s3_faulty::{
    Abilities, Digest, FaultyS3, Operation, Options as S3Options, Recorded, Sums,
};

use super::faulty::{
    BY_PARTS, LARGE_BYTES, audit_by_stock, doctor, end, send, start_before, whole,
};
use crate::harness::{
    Calls, Kind, Outcome, Pace, Persist, Server, checked_chunk, noise, runtime, work,
};

/// What is known of a kind of store before it is tried out.
struct Lesser {
    abilities: Abilities,
    /// What `sluice doctor` says of its checksums.
    sums: &'static str,
    /// What whatever is written there carries.
    header: &'static str,
}

fn store_like(abilities: Abilities) -> S3Options {
    S3Options { abilities, ..S3Options::default() }
}

fn writes(s3: &FaultyS3) -> Vec<Recorded> {
    [Operation::PutObject, Operation::UploadPart]
        .into_iter()
        .flat_map(|operation| s3.requests_of(operation))
        .collect()
}

/// Objects in one PUT, and of parts whose chunks straddle them.
fn stores_exactly(lesser: Lesser) {
    let Lesser { abilities, sums, header } = lesser;
    let (s3, server) = start_before(store_like(abilities), "disk", "");
    let address = server.address();
    let kinds = Kind::ALL.len() as u64;
    let mut outcomes: Vec<_> = (0..kinds)
        .map(|seed| work(Kind::ALL[seed as usize], &address, seed, Pace::default()))
        .collect();
    let bytes = noise(100, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&address);
        let (id, count) = send(&calls, "large", &bytes).await;
        end(&calls, &id, count).await.unwrap();
        id
    });
    outcomes.push(whole(id, "large", bytes));
    let writes = writes(&s3);
    assert!(s3.count(Operation::UploadPart) >= 3 && s3.count(Operation::PutObject) >= 3);
    let without = writes.iter().find(|write| write.asked.header(header).is_none());
    assert!(without.is_none(), "without {header}: {without:#?}");
    assert_eq!(doctor(&server.options.settings)["s3 checksums"], sums);
    audit_by_stock(&s3, server, &outcomes);
}

#[test]
fn where_crc64nvme_is_refused_parts_carry_crc32c() {
    stores_exactly(Lesser {
        abilities: Abilities { crc64nvme: Sums::Refused, ..Abilities::default() },
        sums: "CRC32C of parts",
        header: "x-amz-checksum-crc32c",
    });
}

#[test]
fn where_crc64nvme_is_ignored_parts_carry_crc32c() {
    stores_exactly(Lesser {
        abilities: Abilities { crc64nvme: Sums::Ignored, ..Abilities::default() },
        sums: "CRC32C of parts",
        header: "x-amz-checksum-crc32c",
    });
}

#[test]
fn where_md5_alone_is_known_and_demanded_all_carry_it() {
    stores_exactly(Lesser {
        abilities: Abilities {
            crc64nvme: Sums::Refused,
            other_sums: Sums::Refused,
            digest_wanted: Digest::Md5,
            ..Abilities::default()
        },
        sums: "MD5 of parts alone",
        header: "content-md5",
    });
}

/// As older buckets with Object Lock have it, whatever else they know.
#[test]
fn where_md5_is_demanded_beside_all_else_all_carry_it() {
    stores_exactly(Lesser {
        abilities: Abilities { digest_wanted: Digest::Md5, ..Abilities::default() },
        sums: "MD5 of parts alone",
        header: "content-md5",
    });
}

#[test]
fn where_any_sum_is_demanded_all_carry_one() {
    stores_exactly(Lesser {
        abilities: Abilities { digest_wanted: Digest::Any, ..Abilities::default() },
        sums: "CRC64NVME of whole objects",
        header: "x-amz-checksum-crc64nvme",
    });
}

/// Room for parts of 5 MiB and no more, so that objects have some.
const ROOM: &str = "[limits]\nspool_limit_bytes = \"512 MiB\"\n";
const PART_BYTES: u64 = 5 << 20;
/// Parts straddle chunks, and chunks straddle parts.
const CHUNK_BYTES: usize = 1_000_003;
const OBJECT_BYTES: usize = 17 << 20;

/// `promised`: the client says all before, and sends the last chunk first.
fn upload(server: &Server, seed: u64, promised: bool) -> Outcome {
    let (bytes, filename) = (noise(seed, OBJECT_BYTES), format!("equal-{seed}"));
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let request = InitiateUploadRequest {
            filename: filename.clone(),
            expected_size_bytes: promised.then_some(bytes.len() as i64),
            chunk_size_bytes: if promised { CHUNK_BYTES as i64 } else { 0 },
            ..Default::default()
        };
        let id = calls.initiate_upload(request).await.unwrap().upload_id;
        let mut chunks: Vec<_> = (0..).zip(bytes.chunks(CHUNK_BYTES)).collect();
        let count = chunks.len() as i32;
        if promised {
            chunks.rotate_right(1);
        }
        for (number, data) in chunks {
            let chunk = checked_chunk(&id, number, data, 2);
            // There may be no room for what is ahead.
            Persist::new().call(async || calls.upload_chunk(chunk.clone()).await).await.unwrap();
        }
        end(&calls, &id, count).await.unwrap();
        id
    });
    whole(id, &filename, bytes)
}

#[test]
fn where_parts_must_be_equal_they_are() {
    let abilities = Abilities { unequal_parts: false, ..Abilities::default() };
    let more = format!("{BY_PARTS}{ROOM}");
    let (s3, server) = start_before(store_like(abilities), "disk", &more);
    let outcomes = [upload(&server, 1, false), upload(&server, 2, true)];
    let parts = s3.requests_of(Operation::UploadPart);
    assert_eq!(parts.len(), outcomes.len() * OBJECT_BYTES.div_ceil(PART_BYTES as usize));
    for part in parts {
        let last = OBJECT_BYTES as u64 % PART_BYTES;
        let number = u64::from(part.asked.part.unwrap());
        let is_last = number == OBJECT_BYTES as u64 / PART_BYTES + 1;
        assert_eq!(part.body_bytes, if is_last { last } else { PART_BYTES }, "part {number}");
    }
    assert_eq!(doctor(&server.options.settings)["s3 parts"], "parts of equal lengths alone");
    audit_by_stock(&s3, server, &outcomes);
}
