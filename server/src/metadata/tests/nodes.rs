use super::*;
use crate::metadata::{Node, NodeFilter, Page, PageLimit, get_node, list_nodes};

fn filter(filename: &str) -> NodeFilter {
    let drive_id = DriveId::parse("default").unwrap();
    NodeFilter { tenant: String::new(), drive_id, filename: filename.into() }
}

fn list(conn: &Connection, filter: &NodeFilter, after: &str, limit: PageLimit) -> Page<Node> {
    list_nodes(conn, filter, after, limit).unwrap().unwrap()
}

/// A node per seed, in no order.
fn fill(conn: &Connection, seeds: impl IntoIterator<Item = u8>) {
    for seed in seeds {
        let mut upload = upload(seed);
        upload.spec.node_id = NodeId::parse(&format!("n{seed:03}")).unwrap();
        upload.spec.filename = Filename::parse(&format!("f{}", seed % 3)).unwrap();
        upload.spec.metadata = BTreeMap::from([("k".into(), format!("{seed}"))]);
        assert_eq!(try_claim(conn, &upload), Claimed::Granted);
        finish(conn, &upload, &OBJECT, seed.into()).unwrap();
    }
}

#[test]
fn a_node_is_told_as_it_was_uploaded() {
    let conn = open();
    fill(&conn, [7]);
    let drive_id = filter("").drive_id;
    let node_id = NodeId::parse("n007").unwrap();
    let node = get_node(&conn, "", &drive_id, &node_id).unwrap().unwrap();
    assert_eq!((node.filename.as_str(), node.metadata["k"].as_str()), ("f1", "7"));
    assert_eq!((node.object.clone(), node.create_ms, node.update_ms), (OBJECT, 7, 7));
    assert_eq!(node.upload_id, upload(7).upload_id);
    let nowhere = DriveId::parse("nowhere").unwrap();
    for (tenant, drive_id, reason) in
        [("other", &drive_id, Reason::NodeUnknown), ("", &nowhere, Reason::DriveUnknown)]
    {
        let refusal = get_node(&conn, tenant, drive_id, &node_id).unwrap().unwrap_err();
        assert_eq!(refusal.reason, reason);
    }
}

#[test]
fn nodes_come_page_by_page_each_once_while_others_are_made() {
    let conn = open();
    fill(&conn, (0..30).map(|seed| seed * 7 % 30 * 2));
    let (mut told, mut after) = (Vec::new(), String::new());
    for fresh in (1..60).step_by(2) {
        let page = list(&conn, &filter(""), &after, PageLimit { items_max: 4, bytes_max: 1 << 20 });
        told.extend(page.items.iter().map(|node| node.node_id.to_string()));
        if page.is_last {
            break;
        }
        after.clone_from(told.last().unwrap());
        fill(&conn, [fresh]);
    }
    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
    let old = (0..60).step_by(2).map(|seed| format!("n{seed:03}"));
    assert_eq!(old.filter(|node| !told.contains(node)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_page_of_nodes_keeps_to_its_filter_its_tenant_and_its_bytes() {
    let conn = open();
    fill(&conn, 0..9);
    let all = PageLimit { items_max: 100, bytes_max: 1 << 20 };
    let named: Vec<String> = list(&conn, &filter("f1"), "", all)
        .items
        .iter()
        .map(|node| node.node_id.to_string())
        .collect();
    assert_eq!(named, ["n001", "n004", "n007"]);
    assert!(list(&conn, &filter("f1"), "n007", all).items.is_empty());
    let foreign = NodeFilter { tenant: "other".into(), ..filter("") };
    assert!(list(&conn, &foreign, "", all).items.is_empty());
    let one = list(&conn, &filter(""), "", PageLimit { bytes_max: 1, ..all });
    assert_eq!((one.items.len(), one.is_last), (1, false), "one fits always");
    let last = list(&conn, &filter(""), "n004", PageLimit { items_max: 4, ..all });
    assert!(last.is_last, "nothing comes after these");
    let nowhere = NodeFilter { drive_id: DriveId::parse("nowhere").unwrap(), ..filter("") };
    assert_eq!(
        list_nodes(&conn, &nowhere, "", all).unwrap().unwrap_err().reason,
        Reason::DriveUnknown
    );
}

#[test]
fn pages_of_nodes_are_read_by_index() {
    let conn = open();
    for (named, index) in [("?4 = ''", "autoindex_nodes"), ("filename = ?4", "nodes_by_name")] {
        let select = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM nodes
             WHERE drive_id = ?1 AND {named} AND node_id > ?2 AND tenant = ?3 ORDER BY node_id"
        );
        let mut select = conn.prepare(&select).unwrap();
        let plan = select.query_map(["d", "n", "", ""], |row| row.get::<_, String>("detail"));
        let plan: Vec<String> = plan.unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains(index), "sorted besides: {plan:?}");
    }
}

/// A file of before `integrity.crc` could be off: what is in it is read as it was.
/// As it was written before there was an object store.
fn old_node(conn: &Connection, upload: &UploadRecord) {
    let spec = &upload.spec;
    let sum = OBJECT.crc64nvme.map(|sum| sum as i64);
    conn.execute(
        "INSERT INTO nodes (drive_id, node_id, upload_id, tenant, filename, mime_type, metadata,
            size_bytes, crc64nvme, sha256, create_ms, update_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, '', '{}', 5, ?6, ?7, 1, 1)",
        rusqlite::params![
            spec.drive_id.as_str(),
            format!("old{}", upload.upload_id),
            upload.upload_id.to_string(),
            spec.tenant,
            spec.filename.as_str(),
            sum,
            OBJECT.sha256,
        ],
    )
    .unwrap();
}

#[test]
fn nodes_of_an_old_file_keep_their_sums_and_new_ones_may_have_none() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    let (older, newer) = migrations().split_at(2);
    older.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
    (0..5).for_each(|seed| old_node(&conn, &upload(seed)));
    newer.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
    let limit = PageLimit { items_max: 9, bytes_max: 1 << 20 };
    let old = list(&conn, &filter(""), "", limit).items;
    assert_eq!(old.iter().filter(|node| node.object == OBJECT).count(), 5);
    let bare = upload(9);
    assert_eq!(try_claim(&conn, &bare), Claimed::Granted);
    finish(&conn, &bare, &Object { crc64nvme: None, ..OBJECT }, 9).unwrap();
    // A repeat, as after a crash, finds what the first one wrote.
    finish(&conn, &bare, &Object { crc64nvme: None, ..OBJECT }, 9).unwrap();
    let node = get_node(&conn, "", &bare.spec.drive_id, &bare.spec.node_id).unwrap().unwrap();
    assert_eq!(node.object.crc64nvme, None);
    let refused = conn.execute("UPDATE nodes SET crc64nvme = 'x'", ());
    assert!(refused.is_err(), "the table is as strict as it was");
    let sound: String = conn.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
