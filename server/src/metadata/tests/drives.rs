use super::*;
use crate::metadata::{Drive, PageLimit, create_drive, get_drive, list_drives};

fn drive(name: &str) -> Drive {
    Drive {
        drive_id: DriveId::parse(name).unwrap(),
        bucket: "b".into(),
        prefix: "p/".into(),
        credentials_ref: "c".into(),
        quota_bytes: Some(100),
        create_ms: 7,
    }
}

fn make(conn: &Connection, asked: Drive) -> Result<Drive, Reason> {
    create_drive(conn, asked).unwrap().map_err(|refusal| refusal.reason)
}

fn held_bytes(conn: &Connection) -> i64 {
    let select = "SELECT held_bytes FROM drives WHERE drive_id = 'd'";
    conn.query_row(select, (), |row| row.get(0)).unwrap()
}

#[test]
fn a_drive_is_made_once_and_keeps_what_it_was_made_with() {
    let conn = open();
    assert_eq!(make(&conn, drive("d")), Ok(drive("d")));
    let later = Drive { create_ms: 99, ..drive("d") };
    assert_eq!(make(&conn, later), Ok(drive("d")), "a repeat");
    for other in [
        Drive { bucket: "x".into(), ..drive("d") },
        Drive { prefix: String::new(), ..drive("d") },
        Drive { credentials_ref: String::new(), ..drive("d") },
        Drive { quota_bytes: None, ..drive("d") },
    ] {
        assert_eq!(make(&conn, other), Err(Reason::DriveExists));
    }
    assert_eq!(get_drive(&conn, "d").unwrap(), Some(drive("d")));
    let default = get_drive(&conn, "default").unwrap().unwrap();
    assert!(default.create_ms > 0 && default.quota_bytes.is_none(), "{default:?}");
    let anywhere = make(&conn, Drive { bucket: String::new(), ..drive("e") }).unwrap();
    assert_eq!(anywhere.bucket, default.bucket);
}

#[test]
fn drives_come_page_by_page_in_the_order_of_their_ids() {
    let conn = open();
    for name in ["b", "a", "z", ".", "Z"] {
        make(&conn, drive(name)).unwrap();
    }
    let (mut told, mut after) = (Vec::new(), String::new());
    loop {
        let limit = PageLimit { items_max: 2, bytes_max: 1 << 20 };
        let page = list_drives(&conn, &after, limit).unwrap();
        told.extend(page.items.iter().map(|drive| drive.drive_id.to_string()));
        if page.is_last {
            break;
        }
        assert_eq!(page.items.len(), 2);
        after.clone_from(told.last().unwrap());
    }
    assert_eq!(told, [".", "Z", "a", "b", "default", "z"]);
}

#[test]
fn a_quota_counts_nodes_and_what_running_uploads_declared() {
    let conn = open();
    make(&conn, drive("d")).unwrap();
    let of = |seed, size| {
        let mut upload = upload(seed);
        upload.spec.drive_id = DriveId::parse("d").unwrap();
        upload.spec.expected_size_bytes = size;
        upload
    };
    let over = |upload: &UploadRecord| match try_claim(&conn, upload) {
        Claimed::Refused(refusal) => {
            assert!(refusal.retry_after_ms.is_some(), "{refusal:?}");
            refusal.reason == Reason::Quota
        }
        _ => false,
    };
    let (small, large, unsaid) = (of(1, Some(40)), of(2, Some(61)), of(3, None));
    for _ in 0..2 {
        assert_eq!(try_claim(&conn, &small), Claimed::Granted);
    }
    assert!(over(&large), "40 are promised");
    assert_eq!(held_bytes(&conn), 40);
    release(&conn, &small, 5).unwrap();
    release(&conn, &small, 5).unwrap();
    assert_eq!(held_bytes(&conn), 0);
    assert_eq!(try_claim(&conn, &large), Claimed::Granted);
    assert_eq!(try_claim(&conn, &unsaid), Claimed::Granted);
    for (upload, size_bytes) in [(&large, 61), (&large, 61), (&unsaid, 39), (&unsaid, 39)] {
        finish(&conn, upload, &Object { size_bytes, ..OBJECT }, 6).unwrap();
    }
    assert_eq!(held_bytes(&conn), 100);
    assert!(over(&of(4, None)) && over(&of(5, Some(1))), "it is full");
    assert_eq!(try_claim(&conn, &of(6, Some(0))), Claimed::Granted);
    sweep(&conn, u64::MAX >> 1, 100).unwrap();
    assert_eq!(held_bytes(&conn), 100);
    let elsewhere = upload(7);
    assert_eq!(try_claim(&conn, &elsewhere), Claimed::Granted, "the default drive has no quota");
}
