//! What only local databases have: indexes.

use super::kept::local;

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
