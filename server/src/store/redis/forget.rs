//! Ended uploads, after the time that they stay readable.

use sluice_io::redis::{RedisError, cmd, read};
use sluice_proto::ids::{StoreId, UploadId};

use super::{RedisStores, UploadKeys};
use crate::store::StoreError;

impl RedisStores {
    /// Removes some of what ended and was swept before `before_ms`, Unix ms: at most
    /// `uploads_max`. `false` once there is nothing left to do.
    ///
    /// # Errors
    /// [`StoreError`]: then some may be removed.
    pub async fn forget_ended(
        &self,
        store: StoreId,
        before_ms: u64,
        uploads_max: u32,
    ) -> Result<bool, StoreError> {
        let keys = self.store_keys(store);
        let mut ask = cmd("ZRANGE");
        ask.arg(&keys.ended).arg("-inf").arg(format!("({before_ms}")).arg("BYSCORE");
        ask.arg("LIMIT").arg(0).arg(uploads_max);
        let old: Vec<String> = read(self.run(&keys.ended, &ask).await?)?;
        for member in &old {
            if let Ok(upload_id) = UploadId::parse(member) {
                self.may_write()?;
                self.remove(&upload_id).await?;
            }
        }
        if old.is_empty() {
            return Ok(false);
        }
        // Last, so that whoever dies before finds them again.
        for list in [&keys.made, &keys.ended] {
            self.may_write()?;
            let mut remove = cmd("ZREM");
            remove.arg(list).arg(&old);
            self.run(list, &remove).await?;
        }
        Ok(true)
    }

    async fn remove(&self, upload_id: &UploadId) -> Result<(), RedisError> {
        let keys = UploadKeys::new(upload_id);
        let mut unlink = cmd("UNLINK");
        unlink.arg(&keys.all());
        self.run(&keys.state, &unlink).await.map(drop)
    }
}
