mod drives;
mod nodes;

use std::collections::BTreeMap;

use rusqlite::Connection;
use sluice_proto::{
    error::Reason,
    ids::{DriveId, Filename, NodeId, RequestId, StoreId, UploadId},
};
use sluice_shard::{
    event::Claimed,
    record::{Object, State, Transition, UploadRecord, UploadSpec},
};

use super::{claim, finish, lost_end, migrations, orphans, release, release_orphan, sweep};

const OBJECT: Object =
    Object { size_bytes: 5, crc64nvme: Some(u64::MAX), sha256: Some([1; 32]), stored: None };

fn open() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    migrations().iter().for_each(|migration| conn.execute_batch(migration).unwrap());
    conn
}

/// The `seed`th upload, of a node and name of its own.
fn upload(seed: u8) -> UploadRecord {
    UploadRecord {
        upload_id: UploadId::new(1, StoreId(0), [seed; 15]),
        spec: UploadSpec {
            tenant: String::new(),
            drive_id: DriveId::parse("default").unwrap(),
            node_id: NodeId::parse(&format!("n{seed}")).unwrap(),
            filename: Filename::parse(&format!("f{seed}")).unwrap(),
            mime_type: String::new(),
            metadata: BTreeMap::new(),
            expected_size_bytes: None,
            chunk_size_bytes: None,
            max_size_bytes: 1 << 40,
            sha256: None,
            hash: true,
            if_not_exists: false,
            request_id: None,
            fingerprint: [0; 32],
        },
        state: State::Pending,
        total_chunks: None,
        create_ms: 1,
        update_ms: 1,
        expire_ms: 2,
        object: None,
        error: None,
        cleanup_pending: false,
        schedule: None,
        multipart_id: None,
    }
}

fn try_claim(conn: &Connection, upload: &UploadRecord) -> Claimed {
    claim(conn, &upload.upload_id, &upload.spec, 1).unwrap()
}

fn refused(conn: &Connection, upload: &UploadRecord) -> (Reason, &'static str) {
    match try_claim(conn, upload) {
        Claimed::Refused(refusal) => (refusal.reason, refusal.field.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn count(conn: &Connection, from: &str) -> i64 {
    conn.query_row(&format!("SELECT count(*) FROM {from}"), (), |row| row.get(0)).unwrap()
}

fn events(conn: &Connection) -> Vec<(String, Option<String>)> {
    let mut select = conn.prepare("SELECT transition, cause FROM outbox ORDER BY event").unwrap();
    let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_repeat_of_every_step_makes_no_second_row() {
    let conn = open();
    let upload = upload(1);
    for _ in 0..2 {
        assert_eq!(try_claim(&conn, &upload), Claimed::Granted);
    }
    for wall_ms in [5, 6] {
        finish(&conn, &upload, &OBJECT, wall_ms).unwrap();
    }
    assert_eq!(try_claim(&conn, &upload), Claimed::Granted);
    assert_eq!((count(&conn, "nodes"), count(&conn, "claims")), (1, 1));
    let told: Vec<_> = events(&conn).into_iter().map(|(transition, _)| transition).collect();
    assert_eq!(told, ["UploadInitiated", "UploadCompleted"]);
}

#[test]
fn a_node_is_one_uploads_while_it_runs_and_for_ever_once_it_is_whole() {
    let conn = open();
    let (first, mut second) = (upload(1), upload(2));
    second.spec.node_id = first.spec.node_id.clone();
    assert_eq!(try_claim(&conn, &first), Claimed::Granted);
    assert_eq!(refused(&conn, &second), (Reason::NodeExists, "node_id"));
    finish(&conn, &first, &OBJECT, 5).unwrap();
    assert_eq!(refused(&conn, &second), (Reason::NodeExists, "node_id"));
}

#[test]
fn a_name_that_must_be_new_is() {
    let conn = open();
    let (mut first, mut second, mut third) = (upload(1), upload(2), upload(3));
    for upload in [&mut first, &mut second, &mut third] {
        upload.spec.filename = Filename::parse("same").unwrap();
        upload.spec.if_not_exists = true;
    }
    third.spec.if_not_exists = false;
    assert_eq!(try_claim(&conn, &first), Claimed::Granted);
    assert_eq!(refused(&conn, &second), (Reason::NameExists, "filename"));
    assert_eq!(try_claim(&conn, &third), Claimed::Granted);
    release(&conn, &first, 5).unwrap();
    assert_eq!(try_claim(&conn, &second), Claimed::Granted);
    finish(&conn, &third, &OBJECT, 5).unwrap();
    assert_eq!(refused(&conn, &first), (Reason::NameExists, "filename"));
}

#[test]
fn a_request_finds_its_upload_again_until_that_ended_otherwise() {
    let conn = open();
    let (mut first, mut second) = (upload(1), upload(2));
    for upload in [&mut first, &mut second] {
        upload.spec.request_id = Some(RequestId::parse("r").unwrap());
    }
    let known = Claimed::Known { upload_id: first.upload_id, node_id: first.spec.node_id.clone() };
    assert_eq!(try_claim(&conn, &first), Claimed::Granted);
    assert_eq!(try_claim(&conn, &second), known);
    second.spec.fingerprint = [1; 32];
    assert_eq!(refused(&conn, &second), (Reason::RequestIdReused, "request_id"));
    second.spec.fingerprint = first.spec.fingerprint;

    finish(&conn, &first, &OBJECT, 5).unwrap();
    assert_eq!(try_claim(&conn, &second), known);
    assert_eq!(sweep(&conn, 5, 100).unwrap(), 1, "the first event alone is old enough");
    assert_eq!(try_claim(&conn, &second), known);
    sweep(&conn, 6, 100).unwrap();
    assert_eq!(try_claim(&conn, &second), Claimed::Granted);

    second.state = State::Aborted;
    release(&conn, &second, 7).unwrap();
    first.upload_id = UploadId::new(1, StoreId(0), [3; 15]);
    first.spec.node_id = NodeId::parse("n3").unwrap();
    assert_eq!(try_claim(&conn, &first), Claimed::Granted);
}

#[test]
fn what_became_nothing_is_given_back_and_told_once() {
    let conn = open();
    for (seed, state, cause) in [
        (1, State::Failed, "failed"),
        (2, State::Aborted, "aborted"),
        (3, State::Expired, "expired"),
    ] {
        let mut upload = upload(seed);
        assert_eq!(try_claim(&conn, &upload), Claimed::Granted);
        upload.state = state;
        for _ in 0..2 {
            release(&conn, &upload, 5).unwrap();
        }
        let expected = ("UploadFailed".to_owned(), Some(cause.to_owned()));
        assert_eq!(events(&conn).last(), Some(&expected));
    }
    assert_eq!((count(&conn, "claims"), count(&conn, "outbox")), (0, 6));
    release(&conn, &upload(4), 5).unwrap();
    assert_eq!(count(&conn, "outbox"), 6, "nothing was held, so nothing is told");
}

#[test]
fn claims_that_nobody_knows_are_found_and_given_back() {
    let conn = open();
    for seed in 1..=3 {
        assert_eq!(try_claim(&conn, &upload(seed)), Claimed::Granted);
    }
    finish(&conn, &upload(3), &OBJECT, 5).unwrap();
    let known = |upload_id: &UploadId| *upload_id == upload(1).upload_id;
    let found = orphans(&conn, &known).unwrap();
    assert_eq!(found, [upload(2).upload_id]);
    release_orphan(&conn, &found[0], 5).unwrap();
    assert_eq!(orphans(&conn, &known).unwrap(), []);
    assert_eq!(count(&conn, "outbox WHERE transition = 'UploadFailed'"), 1);
}

#[test]
fn a_drive_must_be_there() {
    let conn = open();
    let mut upload = upload(1);
    upload.spec.drive_id = DriveId::parse("elsewhere").unwrap();
    assert_eq!(refused(&conn, &upload), (Reason::DriveUnknown, "drive_id"));
    assert_eq!(count(&conn, "claims"), 0);
}

#[test]
fn who_holds_its_claims_is_open_and_who_holds_none_has_ended() {
    let conn = open();
    let uploads: Vec<_> = (1..=5).map(upload).collect();
    uploads
        .iter()
        .take(4)
        .for_each(|upload| assert_eq!(try_claim(&conn, upload), Claimed::Granted));
    let end = |at: usize| lost_end(&conn, &uploads[at].upload_id).unwrap();
    assert_eq!([0, 1, 2, 3].map(end), [None, None, None, None]);
    finish(&conn, &uploads[0], &OBJECT, 5).unwrap();
    for (at, state) in [(1, State::Aborted), (2, State::Expired), (3, State::Failed)] {
        let ended = UploadRecord { state, ..uploads[at].clone() };
        release(&conn, &ended, 5).unwrap();
        assert!(matches!(end(at), Some(Transition::End { state: told, .. }) if told == state));
    }
    let is_failed = |end: Option<Transition>| {
        matches!(end, Some(Transition::End { state: State::Failed, error: Some(_) }))
    };
    assert!(is_failed(end(4)));
    while sweep(&conn, 9, 100).unwrap() > 0 {}
    assert_eq!(end(0), Some(Transition::Completed(OBJECT)), "its node stays");
    assert!(is_failed(end(1)), "it isn't known any more how");
}
