//! How clients reach the shards: through whoever owns the upload.

use bytes::Bytes;
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::{
    Event,
    event::{ChunkOpen, Initiate},
    keys::{CallId, StreamKey},
    record::UploadSpec,
};

use crate::world::{Owed, World};

impl World {
    /// An id that was never used, in any store.
    pub(crate) fn fresh_upload_id(&mut self) -> UploadId {
        let store = StoreId(self.rng.below(self.plan.stores.into()) as u16);
        let mut random = [0; 15];
        random[..8].copy_from_slice(&self.fresh().to_be_bytes());
        UploadId::new(1, store, random)
    }

    pub(crate) fn initiate(
        &mut self,
        client: usize,
        upload_id: UploadId,
        spec: UploadSpec,
    ) -> Option<CallId> {
        self.call(client, upload_id, |call| {
            Event::Initiate(Box::new(Initiate { call, upload_id, spec }))
        })
    }

    /// Asks the upload's owner. `None`: it can't be reached.
    pub(crate) fn call(
        &mut self,
        client: usize,
        upload: UploadId,
        event: impl FnOnce(CallId) -> Event,
    ) -> Option<CallId> {
        let life = self.owner_of(&upload)?;
        let call = CallId(self.fresh());
        let owed = Owed { client, life, upload, number: 0, sum: (0, 0), is_last: false };
        self.calls.insert(call, owed);
        self.apply(life, event(call));
        Some(call)
    }

    pub(crate) fn cut_call(&mut self, call: CallId) {
        if let Some(owed) = self.calls.remove(&call) {
            self.apply(owed.life, Event::CallCut { call });
        }
    }

    /// Begins to send a chunk; `sum` is of what the client says that it sends. With `whole` all of
    /// it is there at once.
    pub(crate) fn open(
        &mut self,
        client: usize,
        sum: (u64, u64),
        whole: Option<Bytes>,
        open: impl FnOnce(StreamKey) -> ChunkOpen,
    ) -> Option<StreamKey> {
        let key = StreamKey(self.fresh());
        let open = open(key);
        let life = self.owner_of(&open.upload_id)?;
        let ChunkOpen { upload_id: upload, number, is_last, .. } = open;
        let owed = Owed { client, life, upload, number, sum, is_last };
        self.streams.insert(key, owed);
        let open = Box::new(open);
        let event = match whole {
            Some(bytes) => Event::ChunkWhole { open, bytes },
            None => Event::ChunkOpen(open),
        };
        self.apply(life, event);
        Some(key)
    }

    /// Goes on with a chunk, if its shard still lives.
    pub(crate) fn go_on(&mut self, stream: StreamKey, event: Event) {
        if let Some(owed) = self.streams.get(&stream) {
            self.apply(owed.life, event);
        }
    }

    pub(crate) fn cut(&mut self, stream: StreamKey) {
        if let Some(owed) = self.streams.remove(&stream) {
            self.apply(owed.life, Event::ChunkCut { stream });
        }
    }
}
