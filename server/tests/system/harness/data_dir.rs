//! What lies in a server's data directory, seen from outside.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row};

/// A data directory. The server may run or not.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// An object as it lies on disk: `objects/DRIVE/NODE/UPLOAD`.
#[derive(Debug, Clone)]
pub struct ObjectFile {
    pub path: PathBuf,
    /// The node's folder.
    pub node_id: String,
    pub upload_id: String,
}

/// What the shared database holds. Only to be read while no server runs.
#[derive(Debug)]
pub struct Records {
    pub nodes: Vec<Node>,
    pub claims: Vec<Claim>,
    /// Uploads and the event that tells of their end.
    pub ends: Vec<(String, String)>,
    /// Uploads that haven't ended, or that something is still to be done for.
    pub unfinished: Vec<String>,
}

/// A node row.
#[derive(Debug)]
pub struct Node {
    pub node_id: String,
    pub upload_id: String,
    pub filename: String,
    pub size_bytes: i64,
    pub sha256: Option<Vec<u8>>,
}

impl Node {
    /// The name of its folder: two ids would leave theirs.
    pub fn folder(&self) -> &str {
        match self.node_id.as_str() {
            "." => "%2E",
            ".." => "%2E%2E",
            plain => plain,
        }
    }
}

/// A claim row.
#[derive(Debug)]
pub struct Claim {
    pub upload_id: String,
    /// Of a request that is still answered the same, not of a node or name.
    pub is_finished: bool,
}

impl DataDir {
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Every object file.
    pub fn objects(&self) -> Vec<ObjectFile> {
        let mut objects = Vec::new();
        for drive in entries(&self.0.join("objects")) {
            for node in entries(&drive) {
                for path in entries(&node) {
                    assert!(path.is_file(), "{} is no object", path.display());
                    let (node_id, upload_id) = (name(&node), name(&path));
                    objects.push(ObjectFile { path, node_id, upload_id });
                }
            }
        }
        objects
    }

    /// Files of the spool and of objects that aren't whole.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for part in ["spool", "partial"] {
            for store in entries(&self.0.join(part)) {
                left.extend(entries(&store).iter().map(|path| path.display().to_string()));
            }
        }
        left
    }

    /// Nodes, claims and events.
    pub fn records(&self) -> Records {
        let database = open(&self.0.join("metadata.db"));
        Records {
            nodes: rows(
                &database,
                "SELECT node_id, upload_id, filename, size_bytes, sha256 FROM nodes",
                |row| {
                    Ok(Node {
                        node_id: row.get(0)?,
                        upload_id: row.get(1)?,
                        filename: row.get(2)?,
                        size_bytes: row.get(3)?,
                        sha256: row.get(4)?,
                    })
                },
            ),
            claims: rows(&database, "SELECT upload_id, finish_ms IS NOT NULL FROM claims", |row| {
                Ok(Claim { upload_id: row.get(0)?, is_finished: row.get(1)? })
            }),
            ends: rows(
                &database,
                "SELECT upload_id, transition FROM outbox WHERE transition != 'UploadInitiated'",
                |row| Ok((row.get(0)?, row.get(1)?)),
            ),
            unfinished: entries(&self.0.join("stores"))
                .iter()
                .flat_map(|store| unfinished(store))
                .collect(),
        }
    }
}

/// Of one store. PENDING, UPLOADING and COMPLETING are its first three states.
fn unfinished(store: &Path) -> Vec<String> {
    if store.extension().is_none_or(|kind| kind != "db") {
        return Vec::new();
    }
    let query = "SELECT upload_id FROM uploads WHERE state <= 2 OR cleanup_pending";
    rows(&open(store), query, |row| row.get(0))
}

fn open(path: &Path) -> Connection {
    // A killed process leaves a log that only a writer can take over.
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

fn rows<T>(
    database: &Connection,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let mut statement = database.prepare(query).unwrap();
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    // A folder can go, and isn't there before the first start.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
