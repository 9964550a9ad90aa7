//! Which shard runs where and which stores it owns.
//!
//! The number of stores is fixed at first start and recorded in the data directory; stores are
//! dealt to shards at boot (`store mod shards`). So the CPU list may change between two starts
//! and every upload keeps a home: its id names the store, never the shard.

use sluice_proto::ids::{StoreId, UploadId};

/// Stores made at first start, at least: one for each CPU of the machine, if there are more. A
/// node can't use more shards than it has stores. Each costs a database and its thread.
pub const STORES_DEFAULT: u16 = 16;

/// The dealing of stores to shards, the same on every shard of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    node: u64,
    shards: u16,
    stores: u16,
}

impl Placement {
    /// Deals `stores` to `shards`.
    ///
    /// # Panics
    /// When there is no shard, or there are more shards than stores: config refuses both before.
    pub fn new(node: u64, shards: u16, stores: u16) -> Self {
        assert!(shards > 0 && shards <= stores, "{shards} shards can't share {stores} stores");
        Self { node, shards, stores }
    }

    /// This node's identity.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// How many stores there are.
    pub fn stores(&self) -> u16 {
        self.stores
    }

    /// The shard whose store holds the upload; `None` if the id was never ours.
    pub fn owner(&self, upload_id: &UploadId) -> Option<u16> {
        let store = upload_id.store();
        let is_ours = upload_id.node() == self.node && store.0 < self.stores;
        is_ours.then(|| self.shard_of(store))
    }

    /// The shard that a store is dealt to.
    pub fn shard_of(&self, store: StoreId) -> u16 {
        store.0 % self.shards
    }

    /// One of the stores that a shard owns, by chance.
    pub fn pick(&self, shard: u16, chance: u16) -> StoreId {
        let owned = (self.stores - shard).div_ceil(self.shards);
        StoreId(shard + chance % owned * self.shards)
    }

    /// The stores that a shard owns.
    pub fn stores_of(&self, shard: u16) -> impl Iterator<Item = StoreId> + use<> {
        (shard..self.stores).step_by(usize::from(self.shards)).map(StoreId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_has_exactly_one_owner_whatever_the_shard_count() {
        for shards in 1..=STORES_DEFAULT {
            let placement = Placement::new(7, shards, STORES_DEFAULT);
            let mut owners = vec![0; usize::from(STORES_DEFAULT)];
            for shard in 0..shards {
                for (nth, store) in placement.stores_of(shard).enumerate() {
                    assert_eq!(placement.pick(shard, nth as u16), store);
                    owners[usize::from(store.0)] += 1;
                    let id = UploadId::new(7, store, [3; 15]);
                    assert_eq!(placement.owner(&id), Some(shard));
                }
            }
            assert!(owners.iter().all(|&owners| owners == 1));
        }
    }

    #[test]
    fn ids_of_another_node_or_of_no_store_have_no_owner() {
        let placement = Placement::new(7, 2, 8);
        assert_eq!(placement.owner(&UploadId::new(8, StoreId(0), [0; 15])), None);
        assert_eq!(placement.owner(&UploadId::new(7, StoreId(8), [0; 15])), None);
    }
}
