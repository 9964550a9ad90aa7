//! Whether direct I/O works for a file, and how often it did not.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    fs,
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
    process, thread,
};

use glommio::io::{DmaFile, OpenOptions};

use super::{BLOCK_BYTES, FILE_MODE};

thread_local! {
    static FALLBACKS: Cell<u64> = const { Cell::new(0) };
    /// Devices of which glommio knows rightly, on this thread, whether they can be polled.
    static SETTLED: RefCell<HashSet<u64>> = RefCell::default();
}

/// How often direct reads and writes on this executor's thread were refused since it started, and
/// went through the page cache: right, but slow. It should stay 0.
pub fn buffered_fallbacks() -> u64 {
    FALLBACKS.get()
}

pub(super) fn count_fallback() {
    FALLBACKS.set(FALLBACKS.get() + 1);
}

/// Polled I/O is refused so (EOPNOTSUPP) by a device that can't be polled; see [`open`].
pub(super) fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Opens an existing file for direct reads and writes.
///
/// glommio polls for completions where the device can: it finds that out once a thread and
/// device, by reading the first block of the first file that it opens there. But where that file
/// is empty, or its blocks are only reserved, the read never gets to the device and succeeds
/// anywhere. All later reads, and writes over what was written before, are then refused. So it
/// first gets a file to open whose block must be read.
pub(super) async fn open(path: &Path) -> io::Result<DmaFile> {
    let device = fs::metadata(path)?.dev();
    // Where that can't be done (no room for a block, perhaps), the page cache answers what is
    // refused.
    if !SETTLED.with_borrow(|settled| settled.contains(&device)) && settle(path).await.is_ok() {
        SETTLED.with_borrow_mut(|settled| settled.insert(device));
    }
    Ok(OpenOptions::new().read(true).write(true).dma_open(path).await?)
}

/// Lets glommio find out about the device that holds `beside`.
async fn settle(beside: &Path) -> io::Result<()> {
    let folder = beside.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = nameless(folder.unwrap_or(Path::new(".")))?;
    file.write_all(&[1; BLOCK_BYTES as usize])?;
    file.sync_data()?;
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(OpenOptions::new().read(true).dma_open(name).await?.close().await?)
}

/// An empty file that goes with its handle.
fn nameless(folder: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    if let Ok(file) = options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        return Ok(file);
    }
    // Not every file system makes such.
    let name = format!(".probe-{}-{:?}", process::id(), thread::current().id());
    let path = folder.join(name);
    let file = options.create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Asks the kernel, since glommio takes the refusal of O_DIRECT for an error.
pub(super) fn is_supported(path: &Path) -> io::Result<bool> {
    let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    match opened {
        // tmpfs takes the flag on new kernels, and glommio then goes through the cache anyway.
        Ok(file) => Ok(!is_tmpfs(&file)?),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_tmpfs(file: &fs::File) -> io::Result<bool> {
    // SAFETY: plain data, for which all zeroes is a value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and `stat` is ours for the length of the call.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_type == libc::TMPFS_MAGIC)
}
