//! Where files lie below the data directory, and how one gets from partial to final.

use std::io;
use std::path::{Path, PathBuf};

use crate::reactor::file::{self, File};
use crate::reactor::task;

/// A key as one path component: what would leave its folder is escaped, all else stays.
///
/// Keys hold no `%` by their own rules, so no two share a component.
///
/// # Panics
/// When the key is empty or holds `/`, NUL or `%`: keys are checked long before.
pub fn escape(key: &str) -> &str {
    assert!(!key.is_empty() && !key.contains(['/', '\0', '%']), "not a checked key");
    match key {
        "." => "%2E",
        ".." => "%2E%2E",
        plain => plain,
    }
}

/// The preallocated segment `number` of a store.
pub fn segment_path(root: &Path, store: u16, number: u32) -> PathBuf {
    root.join("spool").join(store.to_string()).join(format!("{number:08}.seg"))
}

/// The file that an object is gathered in.
pub fn partial_path(root: &Path, store: u16, name: &str) -> PathBuf {
    root.join("partial").join(store.to_string()).join(escape(name))
}

/// Where an object lies when it is whole: `objects/<a>/<b>/<name>`.
pub fn object_path(root: &Path, folders: [&str; 2], name: &str) -> PathBuf {
    let [outer, inner] = folders.map(escape);
    root.join("objects").join(outer).join(inner).join(escape(name))
}

/// Cuts the partial file to `bytes`, makes it durable and moves it to its final place.
///
/// Safe to repeat after a crash at any point: a file that has moved already is settled by its
/// size. Both paths must be on one file system, the partial file's folder must exist.
///
/// # Errors
/// `NotFound` when neither file is there, `InvalidData` when the sizes disagree.
pub async fn seal(partial: &Path, object: &Path, bytes: u64) -> io::Result<()> {
    let folder = object.parent().expect("objects lie in folders");
    match File::open(partial).await {
        Ok(file) => {
            if file.size().await? < bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "object cut short"));
            }
            file.truncate(bytes).await?;
            file.sync_data().await?;
            make_folders(folder).await?;
            file::rename(partial, object).await?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if File::open(object).await?.size().await? != bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "object of another size"));
            }
        }
        Err(error) => return Err(error),
    }
    // Repeated too: the crash may have come between the rename and these.
    file::sync_folder(folder).await?;
    file::sync_folder(partial.parent().expect("partial files lie in folders")).await
}

/// Whether there is no file of this name.
///
/// # Errors
/// What the file system answers.
pub async fn is_missing(path: &Path) -> io::Result<bool> {
    match File::open(path).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes a file; one that is gone is as good as removed.
///
/// # Errors
/// What the file system answers.
pub async fn remove(path: &Path) -> io::Result<()> {
    file::remove(path).await
}

/// Creates what is missing of `folder`'s path, and makes the new names durable.
async fn make_folders(folder: &Path) -> io::Result<()> {
    // The kernel may wait for a journal commit, which a neighbour's sync has begun.
    let path = folder.to_owned();
    let missing = task::blocking(move || {
        let missing = path.ancestors().take_while(|path| !path.exists()).map(Path::to_owned);
        let missing: Vec<PathBuf> = missing.collect();
        std::fs::create_dir_all(&path).map(|()| missing)
    });
    let missing = missing.await?;
    for made in missing.iter().rev() {
        file::sync_folder(made.parent().unwrap_or(Path::new("/"))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_leave_their_folder() {
        let path = object_path(Path::new("/d"), ["..", "."], "...");
        assert_eq!(path, Path::new("/d/objects/%2E%2E/%2E/..."));
    }
}
