//! Files on this executor: direct I/O for whole blocks, buffered I/O for the rest.
//!
//! Owns open files, their aligned buffers and the grouping of syncs. Does not own any layout.
//! One [`File`] carries both handles; direct I/O is left out where the file system has none.

mod direct;

use std::cell::RefCell;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures_channel::oneshot;
use glommio::io::{DmaBuffer, DmaFile, OpenOptions, ReadResult};
use glommio::task::JoinHandle;

pub use direct::buffered_fallbacks;

/// Offsets and lengths of direct I/O are multiples of this many bytes.
///
/// The page size: larger than any logical block size, and what keeps the two kinds of I/O from
/// ever meeting in one page of the cache.
pub const BLOCK_BYTES: u64 = 4096;

/// The size of a pooled direct I/O buffer, bytes.
pub const BUFFER_BYTES: usize = 1 << 20;

/// An open file of this executor. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct File {
    inner: Rc<Inner>,
}

struct Inner {
    path: PathBuf,
    buffered: glommio::io::BufferedFile,
    direct: Option<DmaFile>,
    syncs: RefCell<Syncs>,
}

/// Callers of `sync_data`: one sync serves all who came before it began.
#[derive(Default)]
struct Syncs {
    running: bool,
    waiting: Vec<oneshot::Sender<io::Result<()>>>,
}

impl File {
    /// Opens `path` for reading and writing, creating it when it is missing.
    pub async fn create(path: &Path) -> io::Result<File> {
        File::open_with(path, true).await
    }

    /// Opens the existing file at `path` for reading and writing.
    pub async fn open(path: &Path) -> io::Result<File> {
        File::open_with(path, false).await
    }

    async fn open_with(path: &Path, create: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).mode(FILE_MODE);
        let buffered = options.buffered_open(path).await?;
        let direct = match direct::is_supported(path)? {
            true => Some(direct::open(path).await?),
            false => None,
        };
        let inner = Inner {
            path: path.to_owned(),
            buffered,
            direct,
            syncs: RefCell::new(Syncs::default()),
        };
        Ok(File { inner: Rc::new(inner) })
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whether whole blocks bypass the page cache.
    pub fn is_direct(&self) -> bool {
        self.inner.direct.is_some()
    }

    /// The file's size in bytes.
    pub async fn size(&self) -> io::Result<u64> {
        Ok(self.inner.buffered.file_size().await?)
    }

    /// Reserves `size` bytes on disk and makes the file that long.
    ///
    /// # Errors
    /// `StorageFull` when the disk lacks them.
    pub async fn preallocate(&self, size: u64) -> io::Result<()> {
        Ok(self.inner.buffered.pre_allocate(size, false).await?)
    }

    /// Gives the disk back what lies in `range`, bytes, as far as it is whole blocks; it reads as
    /// zeros from now on (`fallocate(2)`, `FALLOC_FL_PUNCH_HOLE`).
    ///
    /// # Errors
    /// `Unsupported` where the file system can't.
    pub async fn punch(&self, range: Range<u64>) -> io::Result<()> {
        Ok(self.inner.buffered.deallocate(range.start, range.end - range.start).await?)
    }

    /// Cuts or extends the file to `size` bytes.
    pub async fn truncate(&self, size: u64) -> io::Result<()> {
        Ok(self.inner.buffered.truncate(size).await?)
    }

    /// Starts writing all of `data` at `position` through the page cache.
    ///
    /// The write goes on when the returned handle is dropped.
    pub fn start_write(&self, data: Vec<u8>, position: u64) -> PendingWrite {
        let file = self.clone();
        PendingWrite::spawn(async move { file.write_at(data, position).await })
    }

    /// Writes all of `data` at `position` through the page cache.
    pub async fn write_at(&self, data: Vec<u8>, position: u64) -> io::Result<()> {
        let bytes = data.len();
        written_whole(self.inner.buffered.write_at(data, position).await?, bytes)
    }

    /// An aligned buffer of `bytes`, from `pool` when it is of the pooled size.
    ///
    /// # Panics
    /// Without direct I/O, and when `bytes` is 0 or not a multiple of [`BLOCK_BYTES`].
    pub fn buffer(&self, pool: &BufferPool, bytes: usize) -> Buffer {
        assert!(bytes > 0 && (bytes as u64).is_multiple_of(BLOCK_BYTES));
        let pooled = bytes == BUFFER_BYTES;
        let recycled = if pooled { pool.free.borrow_mut().pop() } else { None };
        let direct = self.inner.direct.as_ref().expect("only direct I/O needs such buffers");
        let dma = recycled.unwrap_or_else(|| direct.alloc_dma_buffer(bytes));
        let home = pooled.then(|| pool.clone());
        Buffer { dma: Some(Rc::new(dma)), home }
    }

    /// Starts writing `buffer` at `position`, past the page cache; the buffer then goes home.
    ///
    /// The write goes on when the returned handle is dropped.
    ///
    /// # Panics
    /// When `position` is not a multiple of [`BLOCK_BYTES`].
    pub fn start_write_direct(&self, buffer: Buffer, position: u64) -> PendingWrite {
        assert!(position.is_multiple_of(BLOCK_BYTES));
        let file = self.clone();
        PendingWrite::spawn(async move {
            let direct = file.inner.direct.as_ref().expect("the buffer came from it");
            let dma = buffer.dma.clone().expect("present until dropped");
            let bytes = dma.len();
            match direct.write_rc_at(dma.clone(), position).await.map_err(io::Error::from) {
                Err(error) if direct::is_refused(&error) => {
                    direct::count_fallback();
                    file.write_at(dma.as_bytes().to_vec(), position).await
                }
                written => written_whole(written?, bytes),
            }
        })
    }

    /// Reads up to `bytes` at `position`; shorter only at the end of the file.
    pub async fn read_at(&self, position: u64, bytes: usize) -> io::Result<Block> {
        if let Some(direct) = &self.inner.direct
            && bytes as u64 >= BLOCK_BYTES
        {
            match direct.read_at(position, bytes).await.map_err(io::Error::from) {
                Err(error) if direct::is_refused(&error) => direct::count_fallback(),
                result => return result.map(Block),
            }
        }
        Ok(Block(self.inner.buffered.read_at(position, bytes).await?))
    }

    /// Makes all that was written before this call survive a power cut.
    ///
    /// Callers that come while a sync runs share the next one. After an error what was written
    /// since the last success must be taken as lost, also when a later sync succeeds.
    pub async fn sync_data(&self) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut syncs = self.inner.syncs.borrow_mut();
            syncs.waiting.push(sender);
            !std::mem::replace(&mut syncs.running, true)
        };
        if first {
            // A task of its own: a caller that is dropped must not stop it for the others.
            glommio::spawn_local(serve_syncs(self.clone())).detach();
        }
        receiver.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }
}

async fn serve_syncs(file: File) {
    loop {
        let waiting = std::mem::take(&mut file.inner.syncs.borrow_mut().waiting);
        if waiting.is_empty() {
            file.inner.syncs.borrow_mut().running = false;
            return;
        }
        let result = file.inner.buffered.fdatasync().await.map_err(io::Error::from);
        for sender in waiting {
            let copy = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // A caller that left needs no answer.
            let _ = sender.send(copy);
        }
    }
}

/// A write under way; await it with [`PendingWrite::done`].
pub struct PendingWrite {
    task: JoinHandle<io::Result<()>>,
}

impl PendingWrite {
    fn spawn(write: impl Future<Output = io::Result<()>> + 'static) -> PendingWrite {
        PendingWrite { task: glommio::spawn_local(write).detach() }
    }

    /// Waits for the write's end.
    pub async fn done(self) -> io::Result<()> {
        self.task.await.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
    }
}

/// What was read; derefs to its bytes.
pub struct Block(ReadResult);

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Keeps direct I/O buffers of [`BUFFER_BYTES`] of one executor for reuse.
///
/// It bounds what is kept, not what is lent: the writers bound that.
#[derive(Clone)]
pub struct BufferPool {
    free: Rc<RefCell<Vec<DmaBuffer>>>,
    kept_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `kept_max` idle buffers.
    pub fn new(kept_max: usize) -> BufferPool {
        BufferPool { free: Rc::default(), kept_max }
    }

    /// How many buffers lie idle.
    pub fn idle(&self) -> usize {
        self.free.borrow().len()
    }
}

/// An aligned buffer; goes back to its pool when dropped.
pub struct Buffer {
    dma: Option<Rc<DmaBuffer>>,
    home: Option<BufferPool>,
}

impl Buffer {
    /// The whole buffer, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let dma = self.dma.as_mut().and_then(Rc::get_mut);
        dma.expect("shared only once its write began").as_bytes_mut()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        // One that the kernel may still read (its write was cancelled) is not reused.
        if let Some(dma) = self.dma.take().and_then(Rc::into_inner) {
            let mut free = home.free.borrow_mut();
            if free.len() < home.kept_max {
                free.push(dma);
            }
        }
    }
}

/// Renames within one file system, replacing what `to` names.
pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    Ok(glommio::io::rename(from, to).await?)
}

/// Removes the file; one that is missing is as good as removed.
pub async fn remove(path: &Path) -> io::Result<()> {
    match glommio::io::remove(path).await.map_err(io::Error::from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes the names in a folder survive a power cut.
pub async fn sync_folder(path: &Path) -> io::Result<()> {
    // glommio 0.9.0 opens folders relative to descriptor -1: a relative path meets EBADF.
    let folder = glommio::io::Directory::open(std::path::absolute(path)?).await?;
    let synced = folder.sync().await;
    folder.close().await?;
    Ok(synced?)
}

/// A regular file takes all it is given, unless its disk ran full.
fn written_whole(written: usize, bytes: usize) -> io::Result<()> {
    if written == bytes { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

const FILE_MODE: libc::mode_t = 0o600;
