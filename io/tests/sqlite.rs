//! What callers of the SQLite client rely on.

use std::path::Path;

use futures_lite::future::{block_on, zip};
use sluice_io::reactor::{executor::Executors, task, timer};
use sluice_io::sqlite::{Database, DatabaseErrorKind, Durability};

const SCHEMA: &str = "CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT";

fn open(path: &Path) -> Database {
    Database::open(path, &[SCHEMA], Durability::Process).unwrap()
}

async fn insert(db: &Database, n: i64) -> Result<usize, DatabaseErrorKind> {
    db.run(move |c| c.execute("INSERT INTO numbers VALUES (?1)", [n])).await.map_err(|e| e.kind())
}

fn count(db: &Database) -> i64 {
    block_on(db.run(|c| c.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)))).unwrap()
}

#[test]
fn a_failed_job_leaves_its_neighbours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("a.db"));
    block_on(async {
        // Keeps the thread busy, so that the three below share one group.
        let slow = db.run(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            Ok(())
        });
        let three = zip(insert(&db, 1), zip(insert(&db, 1), insert(&db, 2)));
        let (slow, (first, (second, third))) = zip(slow, three).await;
        slow.unwrap();
        assert_eq!(first, Ok(1));
        assert_eq!(second, Err(DatabaseErrorKind::Constraint));
        assert_eq!(third, Ok(1));
    });
    assert_eq!(count(&db), 2);
}

#[test]
fn a_job_that_fails_half_way_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("a.db"));
    let failed = block_on(db.run(|c| {
        c.execute("INSERT INTO numbers VALUES (7)", [])?;
        c.execute("INSERT INTO nowhere VALUES (7)", [])
    }));
    assert_eq!(failed.unwrap_err().kind(), DatabaseErrorKind::Bug);
    assert_eq!(count(&db), 0);
}

#[test]
fn a_full_database_fails_jobs_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("a.db"));
    let limit = |pages: i64| {
        db.run(move |c| c.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())))
    };
    block_on(limit(3)).unwrap();
    let fill = |from: i64| {
        db.run(move |c| {
            for n in from..from + 10_000 {
                c.execute("INSERT INTO numbers VALUES (?1)", [n])?;
            }
            Ok(())
        })
    };
    assert_eq!(block_on(fill(0)).unwrap_err().kind(), DatabaseErrorKind::Full);
    assert_eq!(count(&db), 0);
    block_on(limit(100_000)).unwrap();
    block_on(fill(0)).unwrap();
    assert_eq!(count(&db), 10_000);
}

#[test]
fn an_executor_awaits_commits_and_does_other_work_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("a.db"));
    let (say, heard) = std::sync::mpsc::channel();
    let executors = Executors::spawn(&[0], move |_, _| {
        let (db, say) = (db.clone(), say.clone());
        async move {
            let (go, may_go) = std::sync::mpsc::channel();
            let handle = db.clone();
            let slow = task::spawn_local(async move {
                // The database's thread waits for the executor, which must not wait for it.
                let slow = handle.run(move |c| {
                    may_go.recv().unwrap();
                    c.execute("INSERT INTO numbers VALUES (1)", [])
                });
                slow.await
            });
            timer::sleep(std::time::Duration::from_millis(20)).await;
            go.send(()).unwrap();
            assert_eq!(slow.await.unwrap().unwrap(), 1);
            let many: Vec<_> = (2..500)
                .map(|n| {
                    let db = db.clone();
                    task::spawn_local(async move { insert(&db, n).await })
                })
                .collect();
            for one in many {
                assert_eq!(one.await.unwrap(), Ok(1));
            }
            let rows = db.run(|c| c.query_row("SELECT count(*) FROM numbers", [], |r| r.get(0)));
            say.send(rows.await.unwrap()).unwrap();
        }
    });
    executors.unwrap().join().unwrap();
    assert_eq!(heard.recv(), Ok(499i64));
}

#[test]
fn more_callers_than_the_queue_holds_all_get_through() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("a.db"));
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let db = db.clone();
            std::thread::spawn(move || {
                block_on(async {
                    let mut all: Vec<_> =
                        (0..1000).map(|n| Box::pin(insert(&db, task * 1000 + n))).collect();
                    // Polls every one before any is waited for.
                    for one in &mut all {
                        if let Some(done) = futures_lite::future::poll_once(one).await {
                            assert_eq!(done, Ok(1));
                        }
                    }
                    all.clear();
                });
            })
        })
        .collect();
    for task in tasks {
        task.join().unwrap();
    }
    block_on(insert(&db, -1)).unwrap();
    assert!(count(&db) > 1000);
}

#[test]
fn migrations_run_once_and_a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    drop(open(&path));
    let two = [SCHEMA, "ALTER TABLE numbers ADD COLUMN m INTEGER"];
    drop(Database::open(&path, &two, Durability::Power).unwrap());
    drop(Database::open(&path, &two, Durability::Power).unwrap());
    let refused = Database::open(&path, &[SCHEMA], Durability::Power).err().unwrap();
    assert_eq!(refused.kind(), DatabaseErrorKind::Unusable);
}
