//! Where an upload's bytes are on disk, and the files that are open.

use std::{cell::RefCell, collections::HashMap, io, ops::Range, path::PathBuf, rc::Rc};

use sluice_io::{
    disk,
    reactor::{
        file::{BufferPool, File},
        task,
    },
};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::{
    extents::Holes,
    record::{Extent, UploadRecord},
};

/// More open files than this are closed when their last user is done.
const OPEN_FILES_MAX: usize = 512;

/// Idle write buffers that a shard keeps.
const BUFFERS_KEPT: usize = 16;

/// The data directory as one shard sees it. Clones share it.
#[derive(Clone)]
pub(crate) struct Files(Rc<Inner>);

struct Inner {
    root: PathBuf,
    segment_bytes: u64,
    partials: RefCell<HashMap<UploadId, File>>,
    segments: RefCell<HashMap<(u16, u32), File>>,
    buffers: BufferPool,
}

impl Files {
    pub(crate) fn new(root: PathBuf, segment_bytes: u64) -> Self {
        Self(Rc::new(Inner {
            root,
            segment_bytes,
            partials: RefCell::default(),
            segments: RefCell::default(),
            buffers: BufferPool::new(BUFFERS_KEPT),
        }))
    }

    pub(crate) fn buffers(&self) -> BufferPool {
        self.0.buffers.clone()
    }

    pub(crate) fn partial_path(&self, upload_id: &UploadId) -> PathBuf {
        disk::partial_path(&self.0.root, upload_id.store().0, &upload_id.to_string())
    }

    pub(crate) fn object_path(&self, record: &UploadRecord) -> PathBuf {
        let folders = [record.spec.drive_id.as_str(), record.spec.node_id.as_str()];
        disk::object_path(&self.0.root, folders, &record.upload_id.to_string())
    }

    pub(crate) fn segment_path(&self, store: StoreId, segment: u32) -> PathBuf {
        disk::segment_path(&self.0.root, store.0, segment)
    }

    /// The partial object to write to, made if it isn't there.
    pub(crate) async fn partial(&self, upload_id: &UploadId) -> io::Result<File> {
        if let Some(file) = self.0.partials.borrow().get(upload_id) {
            return Ok(file.clone());
        }
        let path = self.partial_path(upload_id);
        let file = match File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::create(&path).await?,
            opened => opened?,
        };
        let mut open = self.0.partials.borrow_mut();
        // Another body may have opened it in the meantime: both see the same file.
        Ok(open.entry(*upload_id).or_insert(file).clone())
    }

    /// The bytes of an upload to read: the partial object, or the whole one if a crash came
    /// between the rename and its record.
    pub(crate) async fn readable(&self, record: &UploadRecord) -> io::Result<File> {
        if let Some(file) = self.0.partials.borrow().get(&record.upload_id) {
            return Ok(file.clone());
        }
        match File::open(&self.partial_path(&record.upload_id)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                File::open(&self.object_path(record)).await
            }
            opened => opened,
        }
    }

    /// The segment that holds an extent, made and preallocated if it isn't there.
    pub(crate) async fn segment(&self, store: StoreId, extent: Extent) -> io::Result<File> {
        let key = (store.0, extent.segment);
        if let Some(file) = self.0.segments.borrow().get(&key) {
            return Ok(file.clone());
        }
        let path = self.segment_path(store, extent.segment);
        let file = match File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = File::create(&path).await?;
                file.preallocate(self.0.segment_bytes).await?;
                file
            }
            opened => opened?,
        };
        Ok(self.keep_segment(key, file))
    }

    /// A segment that was written.
    pub(crate) async fn written_segment(&self, store: StoreId, segment: u32) -> io::Result<File> {
        let key = (store.0, segment);
        if let Some(file) = self.0.segments.borrow().get(&key) {
            return Ok(file.clone());
        }
        let file = File::open(&self.segment_path(store, segment)).await?;
        Ok(self.keep_segment(key, file))
    }

    /// Keeps it open, in the place of another if many are: who uses that one has it still.
    fn keep_segment(&self, key: (u16, u32), file: File) -> File {
        let mut segments = self.0.segments.borrow_mut();
        let any = segments.keys().next().copied();
        if let Some(other) = any.filter(|_| segments.len() >= OPEN_FILES_MAX) {
            segments.remove(&other);
        }
        segments.entry(key).or_insert(file).clone()
    }

    /// Removes a segment. What stays is found again at the next start.
    pub(crate) fn remove_segment(&self, store: StoreId, segment: u32) {
        self.0.segments.borrow_mut().remove(&(store.0, segment));
        let path = self.segment_path(store, segment);
        task::spawn_local(async move { drop(disk::remove(&path).await) }).detach();
    }

    /// Gives the disk back what nothing names. What stays goes with its segment.
    pub(crate) fn punch_segment(&self, store: StoreId, holes: Holes) {
        let me = self.clone();
        let punching = async move {
            let Holes { segment, ranges } = holes;
            if let Err(error) = me.punch(store, segment, ranges).await {
                let store = store.0;
                tracing::warn!(store, segment, %error, "a spool segment keeps what it could give back");
            }
        };
        task::spawn_local(punching).detach();
    }

    async fn punch(&self, store: StoreId, segment: u32, ranges: Vec<Range<u64>>) -> io::Result<()> {
        let file = self.written_segment(store, segment).await?;
        for range in ranges {
            file.punch(range).await?;
        }
        Ok(())
    }

    /// The upload's partial object isn't written any more.
    pub(crate) fn close_partial(&self, upload_id: &UploadId) {
        self.0.partials.borrow_mut().remove(upload_id);
    }

    /// A body of the upload ended; keeps its file open unless too many are.
    pub(crate) fn used_partial(&self, upload_id: &UploadId) {
        let mut partials = self.0.partials.borrow_mut();
        if partials.len() > OPEN_FILES_MAX {
            partials.remove(upload_id);
        }
    }
}
