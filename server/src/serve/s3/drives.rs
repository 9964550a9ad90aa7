//! Where drives are: a bucket and what its keys begin with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use sluice_io::disk;
use sluice_proto::{
    ids::{DriveId, NodeId, UploadId},
    limits::{NODE_ID_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX},
};

use super::ended::Stop;
use crate::metadata::{self, Drive, PageLimit};

/// Where a drive's objects lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Target {
    pub(in crate::serve) bucket: Arc<str>,
    /// Without slashes around.
    pub(in crate::serve) prefix: Arc<str>,
}

/// All drives, as every thread knows them: they never change. Clones share them.
#[derive(Clone, Default)]
pub(in crate::serve) struct Drives(Arc<Mutex<HashMap<DriveId, Target>>>);

impl Drives {
    /// All that the metadata has.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let drives = Self::default();
        let limit = PageLimit { items_max: PAGE_ITEMS_MAX as usize, bytes_max: PAGE_BYTES_MAX };
        let mut after = String::new();
        loop {
            let page = metadata::list_drives(conn, &after, limit)?;
            page.items.iter().for_each(|drive| drives.add(drive));
            match page.items.last().filter(|_| !page.is_last) {
                Some(last) => after = last.drive_id.as_str().to_owned(),
                None => return Ok(drives),
            }
        }
    }

    /// One that was made.
    pub(in crate::serve) fn add(&self, drive: &Drive) {
        let target = Target {
            bucket: drive.bucket.as_str().into(),
            prefix: drive.prefix.trim_matches('/').into(),
        };
        self.lock().insert(drive.drive_id.clone(), target);
    }

    /// Where one is.
    pub(in crate::serve) fn get(&self, drive_id: &DriveId) -> Option<Target> {
        self.lock().get(drive_id).cloned()
    }

    /// Every bucket and prefix, each once.
    pub(super) fn all(&self) -> Vec<Target> {
        let mut targets: Vec<_> = self.lock().values().cloned().collect();
        targets.sort_by(|a, b| (&a.bucket, &a.prefix).cmp(&(&b.bucket, &b.prefix)));
        targets.dedup();
        targets
    }

    /// Where a drive is that an upload was let into.
    pub(super) fn target(&self, drive_id: &DriveId) -> Result<Target, Stop> {
        self.get(drive_id).ok_or_else(|| {
            tracing::error!(%drive_id, "an upload is of a drive that isn't known");
            Stop::UNAVAILABLE
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DriveId, Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of an upload's object: nothing that a client chose freely is in it.
pub(in crate::serve) fn key(prefix: &str, node_id: &NodeId, upload_id: &UploadId) -> String {
    let node = disk::escape(node_id.as_str());
    match prefix {
        "" => format!("{node}/{upload_id}"),
        _ => format!("{prefix}/{node}/{upload_id}"),
    }
}

/// The upload whose object a key is, if it is of our form.
pub(super) fn upload_of(prefix: &str, key: &str) -> Option<UploadId> {
    let below = match prefix {
        "" => key,
        _ => key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    let (node, upload) = below.split_once('/')?;
    if node.is_empty() || node.len() > NODE_ID_BYTES_MAX {
        return None;
    }
    UploadId::parse(upload).ok()
}

#[cfg(test)]
mod tests {
    use sluice_proto::ids::StoreId;

    use super::*;

    #[test]
    fn keys_of_our_form_name_their_upload_and_others_name_none() {
        let upload_id = UploadId::new(7, StoreId(3), [1; 15]);
        for prefix in ["", "a", "a/b c"] {
            let made = key(prefix, &NodeId::parse("node.1").unwrap(), &upload_id);
            assert!(!made.starts_with('/') && made.len() < 1024);
            assert_eq!(upload_of(prefix, &made), Some(upload_id), "{made}");
            assert_eq!(upload_of(prefix, &format!("x{made}")).is_some(), prefix.is_empty());
        }
        for other in ["", "/", "a/b", "a/b/c", "node", &format!("/{upload_id}")] {
            assert_eq!(upload_of("", other), None, "{other}");
        }
        assert_eq!(upload_of("a", &format!("ab/node/{upload_id}")), None);
    }

    #[test]
    fn no_node_makes_a_key_that_stores_refuse() {
        let upload_id = UploadId::new(7, StoreId(3), [1; 15]);
        for node in [".", ".."] {
            let made = key("", &NodeId::parse(node).unwrap(), &upload_id);
            assert!(made.split('/').all(|part| part != "." && part != ".."), "{made}");
        }
    }
}
