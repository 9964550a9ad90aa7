//! Uploads that are open and get nothing: what they cost a server is its memory.

use std::time::Duration;

use futures_util::stream::{self, TryStreamExt as _};

use crate::load::Mark;
use crate::load::run::Run;
use crate::load::upload::{UploadError, initiate};

/// Long enough for a server to come to rest, and for whoever watches it to look.
const REST: Duration = Duration::from_millis(300);
const OPENED_AT_A_TIME: usize = 64;

/// Opens as many as the load says, spread over the connections, and leaves them open.
///
/// # Errors
/// When one can't be opened.
pub async fn open(run: &Run, on: &mut dyn FnMut(Mark)) -> Result<(), UploadError> {
    if run.load.idle_uploads == 0 {
        return Ok(());
    }
    tokio::time::sleep(REST).await;
    on(Mark::BeforeIdle);
    tokio::time::sleep(REST).await;
    stream::iter((0..run.load.idle_uploads as u64).map(Ok))
        .try_for_each_concurrent(OPENED_AT_A_TIME, |lane| async move {
            let (nth, payload) = run.next_upload();
            let lanes = run.links.to(run.home(nth)).await?;
            initiate(run, nth, &payload, lanes.lane(lane)).await.map(drop)
        })
        .await?;
    tokio::time::sleep(REST).await;
    on(Mark::Idle);
    tokio::time::sleep(REST).await;
    Ok(())
}
