//! The data directory: its lock, its identity, its folders.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Who knows of the uploads in a data directory that doesn't say.
const STATE_DEFAULT: &str = "local";

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
    /// What is known of the uploads whose bytes it holds is kept elsewhere.
    #[error(
        "data directory {path} holds bytes of uploads that are known to {kept_in}: start with that, \
         until they have ended"
    )]
    Elsewhere {
        /// The data directory.
        path: PathBuf,
        /// Where that was kept until now.
        kept_in: String,
    },
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

    /// Has it hold bytes of uploads that are known to `keeper` alone from now on, a word.
    ///
    /// # Errors
    /// [`OpenError::Elsewhere`] while it holds bytes of uploads that another keeper knows: they would
    /// be taken for what a crash left behind.
    pub fn keep_state_in(&self, keeper: &str) -> Result<(), OpenError> {
        let failed = |source| OpenError::Io { path: self.root.clone(), source };
        let path = self.root.join("state");
        let kept_in = match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => STATE_DEFAULT.to_owned(),
            Err(error) => return Err(failed(error)),
        };
        if kept_in == keeper {
            return Ok(());
        }
        if self.holds_bytes().map_err(failed)? {
            return Err(OpenError::Elsewhere { path: self.root.clone(), kept_in });
        }
        replace(&self.root, &path, &format!("{keeper}\n")).map_err(failed)
    }

    /// Whether any upload that hasn't ended has bytes here.
    fn holds_bytes(&self) -> io::Result<bool> {
        for (folder, store) in ["spool", "partial"]
            .into_iter()
            .flat_map(|f| (0..self.identity.stores).map(move |s| (f, s)))
        {
            let path = self.root.join(folder).join(store.to_string());
            if fs::read_dir(path)?.next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts that a process has begun on it, and how often one has. What was told once is never
    /// told again.
    ///
    /// # Errors
    /// What the file system says, also of a file that holds no number.
    pub fn begin_epoch(&self) -> io::Result<u64> {
        let path = self.root.join("epoch");
        let before: u64 = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let epoch = before + 1;
        replace(&self.root, &path, &format!("{epoch}\n"))?;
        Ok(epoch)
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
    replace(root, path, &format!("sluice 1 {:016x} {}\n", identity.node, identity.stores))
}

/// Writes a file so that a crash leaves the old one or the new one.
fn replace(root: &Path, path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
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
