//! What only local databases have: indexes, and files of builds before this one.

use rusqlite::Connection;

use super::{kept::local, *};
use crate::store::local as store;

#[test]
fn a_start_reads_by_index_what_is_open_alone() {
    let (conn, _) = local();
    for (select, index) in [
        ("SELECT * FROM uploads WHERE state < 3 OR cleanup_pending", "uploads_open"),
        (
            "SELECT upload FROM uploads WHERE NOT (state < 3 OR cleanup_pending)
             AND update_ms < 1 LIMIT 1",
            "uploads_ended",
        ),
    ] {
        let plan: String = conn
            .query_row(&format!("EXPLAIN QUERY PLAN {select}"), (), |row| row.get("detail"))
            .unwrap();
        assert!(plan.contains(index), "{plan}");
    }
}

#[test]
fn open_uploads_and_requests_are_listed_by_index() {
    let (conn, _) = local();
    for (condition, index) in [
        ("request_id = ?2", "uploads_request (request_id=? AND rowid>?)"),
        ("?2 IS NULL AND (state < 3 OR cleanup_pending)", "uploads_open"),
        ("?2 IS NULL", "INTEGER PRIMARY KEY (rowid>?)"),
    ] {
        let select = format!(
            "EXPLAIN QUERY PLAN
             SELECT * FROM uploads WHERE upload > ?1 AND {condition} ORDER BY upload"
        );
        let mut select = conn.prepare(&select).unwrap();
        let plan = select.query_map((1, "r"), |row| row.get::<_, String>("detail")).unwrap();
        let plan: Vec<String> = plan.map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains(index), "{condition}: {plan:?}");
    }
}

/// Nothing was known of objects in S3.
#[test]
fn what_was_recorded_before_there_were_parts_is_read_and_goes_on() {
    const BEFORE_PARTS: usize = 2;
    let conn = Connection::open_in_memory().unwrap();
    let (old, new) = store::migrations().split_at(BEFORE_PARTS);
    old.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
    let expected = record();
    conn.execute(
        "INSERT INTO uploads VALUES (
            1, ?1, 2, 1, 0, NULL, 10, 77, 99, NULL, NULL, NULL, NULL, NULL, NULL, 't', 'd', 'n', ?2,
            'text/plain', ?3, ?4, NULL, ?5, NULL, 0, 1, 'r', ?6
         )",
        (
            expected.upload_id.to_string(),
            expected.spec.filename.as_str(),
            serde_json::to_string(&expected.spec.metadata).unwrap(),
            1_i64 << 40,
            1_i64 << 41,
            [200_u8; 32],
        ),
    )
    .unwrap();
    conn.execute("INSERT INTO chunks VALUES (1, 0, 0, 5, 6, 7, NULL, 0, 0, 0, 0)", ()).unwrap();
    new.iter().for_each(|migration| conn.execute_batch(migration).unwrap());

    let chunk = ChunkRecord {
        attempt: 0,
        bytes: 5,
        crc64nvme: 6,
        crc32c: 7,
        sha256: None,
        place: ChunkPlace::Object,
    };
    let mut stored = StoredUpload::new(expected, 1);
    stored.apply(&Transition::PutChunk { number: 0, chunk, total_chunks: None }, 77);
    assert_eq!(store::load_open(&conn).unwrap().uploads, std::slice::from_ref(&stored));
    let bind = Transition::BindChunk { number: 0 };
    let fence = store::take_fence(&conn, NODE).unwrap();
    let upload_id = stored.record.upload_id;
    store::take_steps(&conn, fence, &upload_id, 3, 78, std::slice::from_ref(&bind)).unwrap();
    stored.apply(&bind, 78);
    assert_eq!(store::load_open(&conn).unwrap().uploads, [stored]);
}
