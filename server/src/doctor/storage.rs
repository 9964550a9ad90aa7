//! The data directory: direct I/O, a flush that works, and room.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use sluice_proto::units::format_size;

use crate::config::{Config, Spool};
use crate::doctor::Check;

const BLOCK_BYTES: usize = 4096;
/// With less the databases themselves soon fail.
const FREE_BYTES_MIN: u64 = 256 << 20;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let wanted = config.data_dir.as_path();
    // Looking must not make the folder, so its place is probed where it is not there yet.
    let folder = match wanted.ancestors().find(|path| path.exists()) {
        Some(folder) => folder,
        None => Path::new("."),
    };
    let spool_bytes = match config.layers.spool {
        Spool::Disk => config.limits.spool_limit_bytes,
        Spool::Memory | Spool::Redis => 0,
    };
    vec![direct_writes(folder), free_space(free_bytes(folder), folder, spool_bytes)]
}

fn direct_writes(folder: &Path) -> Check {
    let check = |found: String| Check::ok("data directory", found, "O_DIRECT and fdatasync");
    let place = folder.display();
    let flushed = match probe(folder, libc::O_DIRECT) {
        Ok(()) => return check(format!("{place}: both work")),
        // What a file system without direct I/O answers.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => probe(folder, 0),
        Err(error) => Err(error),
    };
    match flushed {
        Ok(()) => check(format!("{place}: no O_DIRECT"))
            .warn("set data_dir to a folder on ext4 or XFS: writes go through the page cache here"),
        Err(error) => check(format!("{place}: {error}")).fail(
            "set data_dir to a folder that this user may write to, on a file system in order",
        ),
    }
}

/// Writes and flushes one block in a file of its own, which is gone afterwards.
fn probe(folder: &Path, flags: i32) -> io::Result<()> {
    #[repr(align(4096))]
    struct Block([u8; BLOCK_BYTES]);

    let path = folder.join(format!(".sluice-doctor-{}-{flags}", std::process::id()));
    let file = OpenOptions::new().write(true).create(true).custom_flags(flags).open(&path);
    let written = file.and_then(|file: File| {
        file.write_all_at(&Block([0; BLOCK_BYTES]).0, 0)?;
        // SAFETY: the descriptor is open.
        match unsafe { libc::fdatasync(file.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    // An open that was refused for its flags may have made the file.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => written.and(Err(error)),
        _ => written,
    }
}

fn free_space(free_bytes: io::Result<u64>, folder: &Path, spool_bytes: u64) -> Check {
    let needed = match spool_bytes {
        0 => format_size(FREE_BYTES_MIN),
        _ => format!("{}, limits.spool_limit_bytes", format_size(spool_bytes)),
    };
    let check = |found: String| Check::ok("free space", found, needed);
    match free_bytes {
        Err(error) => check(error.to_string()).fail("set data_dir to a folder that can be read"),
        Ok(free) => {
            let check = check(format!("{}: {}", folder.display(), format_size(free)));
            match free {
                free if free < FREE_BYTES_MIN => check.fail("free some, or move data_dir"),
                free if free < spool_bytes => {
                    check.warn(format!("free some, or lower it: {}", lowered(free)))
                }
                _ => check,
            }
        }
    }
}

fn lowered(free_bytes: u64) -> String {
    format!("SLUICE_LIMITS__SPOOL_LIMIT_BYTES=\"{}\"", format_size(free_bytes / 2))
}

/// Bytes that this user may still write.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: an all-zero `statvfs` is a valid value.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with NUL and `stats` is writable.
    match unsafe { libc::statvfs(path.as_ptr(), &mut stats) } {
        0 => Ok(stats.f_bavail * stats.f_frsize),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_folder_that_can_be_written_passes_and_is_left_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_ne!(direct_writes(folder.path()).outcome, Outcome::Fail);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_written_fails() {
        let check = direct_writes(Path::new("/proc"));
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.found.starts_with("/proc: "), "{}", check.found);
    }

    #[test]
    fn room_for_less_than_the_spool_warns_and_for_nothing_fails() {
        let outcome = |free, spool| free_space(Ok(free), Path::new("/d"), spool).outcome;
        assert_eq!(outcome(2 << 30, 2 << 30), Outcome::Ok);
        assert_eq!(outcome(1 << 30, 2 << 30), Outcome::Warn);
        assert_eq!(outcome(1 << 30, 0), Outcome::Ok);
        assert_eq!(outcome(1 << 20, 0), Outcome::Fail);
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
    }
}
