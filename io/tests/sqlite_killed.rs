//! What `Durability::Process` promises: a commit that was reported outlives SIGKILL.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use futures_lite::future::block_on;
use sluice_io::sqlite::{Database, Durability};

const SCHEMA: &str = "CREATE TABLE numbers (n INTEGER PRIMARY KEY, fill BLOB) STRICT";
/// Tells this binary, run anew, that it is the one to be killed: file and first number.
const CHILD: &str = "SLUICE_TEST_COMMIT_UNTIL_KILLED";
/// Tasks of the child that commit side by side, so that commits are grouped.
const TASKS: i64 = 4;
const FILL_BYTES: usize = 3_000;

fn open(path: &Path) -> Database {
    Database::open(path, &[SCHEMA], Durability::Process).unwrap()
}

/// In the child alone: commits, and reports each commit, until it is killed.
#[test]
fn commit_until_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (first, path) = told.split_once(' ').unwrap();
    let first: i64 = first.parse().unwrap();
    let db = open(Path::new(path));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let db = db.clone();
            std::thread::spawn(move || {
                for n in (first + task..).step_by(TASKS as usize) {
                    let fill = vec![n as u8; FILL_BYTES];
                    let insert = db
                        .run(move |c| c.execute("INSERT INTO numbers VALUES (?1, ?2)", (n, fill)));
                    block_on(insert).unwrap();
                    // One write, so that the kernel has all of it or nothing.
                    std::io::stdout().write_all(format!("\ncommitted {n}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

fn child(path: &Path, first: i64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commit_until_killed", "--nocapture"])
        .env(CHILD, format!("{first} {}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a child once it has reported `reports` commits; all that it reported until it died.
fn killed_after(path: &Path, first: i64, reports: usize) -> BTreeSet<i64> {
    let mut child = child(path, first);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reported = BTreeSet::new();
    for line in lines {
        if let Some(n) = line.unwrap().strip_prefix("committed ") {
            reported.insert(n.parse().unwrap());
        }
        if reported.len() == reports {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert!(reported.len() >= reports);
    reported
}

#[test]
fn reported_commits_outlive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut reported = BTreeSet::new();
    // From the first commit on to some with which the log was checkpointed in between.
    for (round, reports) in [1, 2, 7, 40, 200, 1_500, 3].into_iter().enumerate() {
        reported.extend(killed_after(&path, round as i64 * 1_000_000, reports));
        let db = open(&path);
        let found: BTreeSet<i64> = block_on(db.run(|c| {
            let check: String = c.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            assert_eq!(check, "ok");
            let whole = "SELECT n FROM numbers WHERE length(fill) = 3000";
            c.prepare(whole)?.query_map([], |row| row.get(0))?.collect()
        }))
        .unwrap();
        let lost: Vec<_> = reported.difference(&found).collect();
        assert!(lost.is_empty(), "reported in round {round} and lost: {lost:?}");
    }
}
