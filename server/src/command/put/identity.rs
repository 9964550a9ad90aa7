//! What makes the same command find its upload again, without a file of its own.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sluice_proto::checksum::Sha256State;
use sluice_proto::client::UploadOptions;

use crate::command::output::hex;

/// The request id of putting the file at `path` with these options.
///
/// It is made of the file's path, size and time of change, so a changed file is a new upload; and
/// of all that the server would refuse to see changed under one request id.
///
/// # Errors
/// When the file can't be looked at.
pub(super) fn request_id(path: &Path, options: &UploadOptions) -> io::Result<String> {
    let path = fs::canonicalize(path)?;
    let file = fs::metadata(&path)?;
    let mut sum = Sum(Sha256State::new());
    sum.add(path.as_os_str().as_bytes());
    for number in [file.size() as i64, file.mtime(), file.mtime_nsec()] {
        sum.add(&number.to_be_bytes());
    }
    for text in [&options.drive_id, &options.filename, &options.mime_type] {
        sum.add(text.as_bytes());
    }
    let mut pairs: Vec<_> = options.metadata.iter().collect();
    pairs.sort();
    for (key, value) in pairs {
        sum.add(key.as_bytes());
        sum.add(value.as_bytes());
    }
    sum.add(&[u8::from(options.if_not_exists), options.ack_level as u8]);
    sum.add(&options.chunk_bytes.unwrap_or_default().to_be_bytes());
    let digest = sum.0.finish();
    Ok(format!("put-{}", hex(&digest[..16])))
}

struct Sum(Sha256State);

impl Sum {
    /// With its length in front: so no two lists of fields give the same bytes.
    fn add(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_command_has_the_same_id_and_every_change_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let options = UploadOptions { drive_id: "d".into(), ..Default::default() };
        let id = request_id(&path, &options).unwrap();
        assert_eq!(id, request_id(&folder.path().join("./a"), &options).unwrap());
        let smaller = UploadOptions { chunk_bytes: Some(1), ..options.clone() };
        assert_ne!(id, request_id(&path, &smaller).unwrap());
        let metadata = [("k".to_owned(), "v".to_owned())].into();
        let more = UploadOptions { metadata, ..options.clone() };
        assert_ne!(id, request_id(&path, &more).unwrap());
        fs::write(&path, "three").unwrap();
        assert_ne!(id, request_id(&path, &options).unwrap());
    }
}
