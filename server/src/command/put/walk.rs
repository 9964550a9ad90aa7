//! The files below a folder, in the order of their names, in bounded memory.
//!
//! Of a folder only so many of the smallest names are held that weren't seen yet; then it is read
//! again for the next ones. So one of a million files costs some megabytes, and the order is the
//! same each time.

use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Names held, of all open folders together.
const NAMES_MAX: usize = 64 << 10;
/// Names held of each open folder at least; there are no more of these than a path has parts.
const NAMES_MIN: usize = 64;

/// What lies below a folder.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, and its path from the folder's parent on, with `/` between the parts.
    File { path: PathBuf, name: String },
    /// Neither a file nor a folder.
    Skipped { path: PathBuf, why: &'static str },
    /// What can't be read, or has no name that could be sent.
    Broken { path: PathBuf, error: io::Error },
}

/// Walks a folder, deepest first, never through a symbolic link.
#[derive(Debug)]
pub(super) struct Walk {
    open: Vec<Folder>,
    names_max: usize,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// What the names of its files begin with.
    prefix: String,
    /// The smallest names that weren't seen yet, the next one last.
    names: Vec<OsString>,
    seen: Option<OsString>,
    /// There may be more names than these.
    has_more: bool,
}

impl Walk {
    /// Of a folder as the user named it. Its own name is what all names below it begin with; `.`
    /// and the like have none.
    pub fn new(folder: &Path) -> Self {
        let prefix = match folder.file_name() {
            Some(name) => format!("{}/", name.to_string_lossy()),
            None => String::new(),
        };
        Self { open: vec![Folder::new(folder.to_owned(), prefix)], names_max: NAMES_MAX }
    }

    /// What comes next. Blocks on the file system.
    pub fn next(&mut self) -> Option<Found> {
        loop {
            let held: usize = self.open.iter().map(|folder| folder.names.len()).sum();
            let room = (self.names_max.saturating_sub(held) / 2).max(NAMES_MIN);
            let folder = self.open.last_mut()?;
            match folder.next_name(room) {
                Ok(Some(name)) => {
                    if let Some(found) = self.look_at(&name) {
                        return Some(found);
                    }
                }
                Ok(None) => drop(self.open.pop()),
                Err(error) => {
                    let path = self.open.pop()?.path;
                    return Some(Found::Broken { path, error });
                }
            }
        }
    }

    /// What has this name in the innermost folder; a folder is opened, and comes to nothing yet.
    fn look_at(&mut self, name: &OsStr) -> Option<Found> {
        let folder = self.open.last()?;
        let path = folder.path.join(name);
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return Some(Found::Broken { path, error }),
        };
        if kind.is_symlink() {
            return Some(Found::Skipped { path, why: "a symbolic link, which is not followed" });
        }
        if !kind.is_dir() && !kind.is_file() {
            return Some(Found::Skipped { path, why: "no plain file" });
        }
        let Some(name) = name.to_str() else {
            let error = io::Error::other("its name is not UTF-8");
            return Some(Found::Broken { path, error });
        };
        let name = format!("{}{name}", folder.prefix);
        if kind.is_file() {
            return Some(Found::File { path, name });
        }
        self.open.push(Folder::new(path, name + "/"));
        None
    }
}

impl Folder {
    fn new(path: PathBuf, prefix: String) -> Self {
        Self { path, prefix, names: Vec::new(), seen: None, has_more: true }
    }

    fn next_name(&mut self, room: usize) -> io::Result<Option<OsString>> {
        if self.names.is_empty() && self.has_more {
            self.read(room)?;
        }
        self.seen = self.names.pop();
        Ok(self.seen.clone())
    }

    /// Takes in the `room` smallest names after the last one that was seen.
    fn read(&mut self, room: usize) -> io::Result<()> {
        let after = match &self.seen {
            Some(seen) => Bound::Excluded(seen.clone()),
            None => Bound::Unbounded,
        };
        let mut smallest = BinaryHeap::new();
        self.has_more = false;
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if matches!(&after, Bound::Excluded(seen) if name <= *seen) {
                continue;
            }
            smallest.push(name);
            if smallest.len() > room {
                smallest.pop();
                self.has_more = true;
            }
        }
        self.names = smallest.into_sorted_vec();
        self.names.reverse();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    fn names(mut walk: Walk) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(found) = walk.next() {
            names.push(match found {
                Found::File { name, .. } => name,
                Found::Skipped { path, why } => format!("{}: {why}", path.display()),
                Found::Broken { path, error } => format!("{}: {error}", path.display()),
            });
        }
        names
    }

    #[test]
    fn files_come_in_the_order_of_their_names_however_few_are_held() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("top");
        let mut made: Vec<String> = (0..700).map(|number| format!("{}", number * 7919)).collect();
        fs::create_dir_all(folder.join("3 more/empty")).unwrap();
        for name in &made {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::write(folder.join("3 more/b"), "").unwrap();
        fs::write(folder.join("3 more/a \u{e9}"), "").unwrap();
        made.extend(["3 more/a \u{e9}".to_owned(), "3 more/b".to_owned()]);
        made.sort();
        let made: Vec<String> = made.iter().map(|name| format!("top/{name}")).collect();
        let few = Walk { names_max: 0, ..Walk::new(&folder) };
        assert_eq!(names(few), made);
        assert_eq!(names(Walk::new(&folder)), made);
    }

    #[test]
    fn what_is_no_file_is_said_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("top");
        fs::create_dir(&folder).unwrap();
        symlink(".", folder.join("loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        fs::write(folder.join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let told = names(Walk::new(&folder));
        assert!(told[0].ends_with("top/loop: a symbolic link, which is not followed"), "{told:?}");
        assert!(told[1].ends_with("top/socket: no plain file"), "{told:?}");
        assert!(told[2].ends_with(": its name is not UTF-8"), "{told:?}");
        let gone = names(Walk::new(&root.path().join("gone")));
        assert!(gone.len() == 1 && gone[0].contains("No such file"), "{gone:?}");
    }

    #[test]
    fn a_folder_without_a_name_of_its_own_adds_none() {
        for (folder, prefix) in [(".", ""), ("..", ""), ("/", ""), ("a/b/", "b/"), ("a/.", "a/")] {
            assert_eq!(Walk::new(Path::new(folder)).open[0].prefix, prefix, "{folder}");
        }
    }
}
