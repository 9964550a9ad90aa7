//! Each effect that an object store is needed for.

use sluice_io::reactor::task;
use sluice_proto::{checksum::Sha256State, ids::UploadId};
use sluice_shard::{
    Effect, Event,
    effect::Slice,
    event::{Failure, Outcome},
    keys::OpId,
};

use super::{ObjectStore, SliceError, complete, ended::Stop, send::Sending, unstore::Leaving};
use crate::{boundary::boundary, serve::perform::Performer};

impl Performer {
    /// In a task of its own; its end comes back as an event.
    pub(in crate::serve) fn perform_stored(&self, effect: Effect) {
        let store = self.s3().clone();
        match effect {
            Effect::BeginMultipart { op, record } => {
                self.spawn_stored(["s3.begin.before", "s3.begin.after"], op, async move {
                    let multipart_id = store.begin(&record).await?;
                    Ok(Outcome::Begun { multipart_id })
                });
            }
            Effect::SendPart { op, record, part, slices, sums, .. } => {
                self.spawn_stored(["s3.part.before", "s3.part.after"], op, async move {
                    let sending = Sending { slices, sums };
                    store.send_part(&record, part, sending).await.map(Outcome::Stored)
                });
            }
            Effect::PutObject { op, record, object, slices } => {
                self.spawn_stored(["s3.put.before", "s3.put.after"], op, async move {
                    let sending = Sending { slices, sums: None };
                    store.put(&record, &object, sending).await.map(Outcome::Stored)
                });
            }
            Effect::CompleteMultipart { op, record, object, parts } => {
                let names = ["s3.complete.before", "s3.complete.after"];
                self.spawn_stored(names, op, async move {
                    store.complete(&record, &object, &parts).await
                });
            }
            Effect::Unstore { op, record, multipart_ids, object, strays } => {
                self.spawn_stored(["s3.unstore.before", "s3.unstore.after"], op, async move {
                    let leaving = Leaving { multipart_ids, object, strays };
                    store.unstore(&record, leaving).await.map(|()| Outcome::Done)
                });
            }
            _ => unreachable!("done without an object store"),
        }
    }

    fn spawn_stored(
        &self,
        [before, after]: [&'static str; 2],
        op: OpId,
        doing: impl Future<Output = Result<Outcome, Stop>> + 'static,
    ) {
        let me = self.clone();
        let task = async move {
            boundary(before);
            let result: Result<Outcome, Failure> = match doing.await {
                Ok(outcome) => Ok(outcome),
                Err(Stop::Failed(failure)) => Err(failure),
                Err(Stop::Refused(error)) => Ok(complete::refused(error)),
            };
            boundary(after);
            me.0.switch.post_here(Event::Done { op, result });
        };
        task::spawn_local(task).detach();
    }

    /// Goes on with the SHA-256 over slices.
    pub(in crate::serve) async fn hash_slices(
        &self,
        upload_id: UploadId,
        mut state: Sha256State,
        slices: &[Slice],
    ) -> Result<Sha256State, SliceError> {
        let mut reader = self.s3().0.slices.read(upload_id, slices);
        while let Some(piece) = reader.next().await? {
            state = self.0.hasher.hash(state, piece).await;
        }
        Ok(state)
    }

    fn s3(&self) -> &ObjectStore {
        self.0.object_store.as_ref().expect("objects in S3 have a store there")
    }
}
