//! The data directory: its lock, its identity, its folders.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Who a data directory is. Fixed when it is first opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random, chosen at first start.
    pub node: u64,
    /// Into how many stores its state is divided.
    pub stores: u16,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("data directory {0} is in use by another process")]
    Locked(PathBuf),
    /// Its identity file can't be understood.
    #[error("{0} is damaged: expected `sluice 1 <node, 16 hex digits> <stores>`")]
    Damaged(PathBuf),
    /// The file system refused.
    #[error("data directory {path}: {source}")]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the file system answered.
        source: io::Error,
    },
}

/// A data directory that this process holds the lock of, for as long as this lives.
#[derive(Debug)]
pub struct DataDirectory {
    root: PathBuf,
    identity: Identity,
    _lock: File,
}

impl DataDirectory {
    /// Locks `root`, creating it when it is missing, then reads its identity.
    ///
    /// At first start `fresh` is recorded and becomes the identity; later it is ignored. Blocks:
    /// meant for the start of the process.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(root: &Path, fresh: Identity) -> Result<DataDirectory, OpenError> {
        let failed = |source| OpenError::Io { path: root.to_owned(), source };
        fs::create_dir_all(root).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(root.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let path = root.join("identity");
        let identity = match fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or(OpenError::Damaged(path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                record(root, &path, fresh).map_err(failed)?;
                fresh
            }
            Err(error) => return Err(failed(error)),
        };
        make_folders(root, identity.stores).map_err(failed)?;
        Ok(DataDirectory { root: root.to_owned(), identity, _lock: lock })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The database file of one store.
    pub fn store_database(&self, store: u16) -> PathBuf {
        self.root.join("stores").join(format!("{store}.db"))
    }

    /// The database file that all stores share.
    pub fn shared_database(&self) -> PathBuf {
        self.root.join("metadata.db")
    }
}

fn make_folders(root: &Path, stores: u16) -> io::Result<()> {
    for folder in ["stores", "objects"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for store in 0..stores {
        for folder in ["spool", "partial"] {
            fs::create_dir_all(root.join(folder).join(store.to_string()))?;
        }
    }
    for folder in ["spool", "partial", "."] {
        File::open(root.join(folder))?.sync_all()?;
    }
    Ok(())
}

fn record(root: &Path, path: &Path, identity: Identity) -> io::Result<()> {
    let draft = root.join("identity.new");
    let mut file = File::create(&draft)?;
    writeln!(file, "sluice 1 {:016x} {}", identity.node, identity.stores)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(root)?.sync_all()
}

fn parse(text: &str) -> Option<Identity> {
    let mut words = text.split_whitespace();
    if (words.next()?, words.next()?) != ("sluice", "1") {
        return None;
    }
    let node = u64::from_str_radix(words.next()?, 16).ok()?;
    let stores = words.next()?.parse().ok().filter(|stores| *stores > 0)?;
    words.next().is_none().then_some(Identity { node, stores })
}
