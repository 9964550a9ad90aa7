//! Records that can't be read. Each is told by its upload's id, counted, and left as it is: somebody
//! may mend it, or want to know what it was. It keeps no other from being served.

use std::{
    fmt::Display,
    sync::atomic::{AtomicU64, Ordering},
};

static MET: AtomicU64 = AtomicU64::new(0);

/// A record was met that can't be read.
pub(super) fn met(upload_id: &dyn Display, why: &dyn Display) {
    MET.fetch_add(1, Ordering::Relaxed);
    tracing::error!(%upload_id, %why, "what is recorded of an upload is damaged: it is left alone");
}

/// How often such a record was met in this process.
pub(crate) fn times_met() -> u64 {
    MET.load(Ordering::Relaxed)
}
