//! A closed loop: so many uploads at a time, each followed by the next as soon as it is verified.
//!
//! What is not offered while the server is slow is not measured either: latencies of a closed loop
//! tell how the server does under this load, never how it would do at a given rate.

use std::rc::Rc;

use futures_util::stream::{FuturesUnordered, TryStreamExt as _};

use crate::clock::now;
use crate::load::run::Run;
use crate::load::upload::{Sending, Upload, UploadError};

/// One of the lines: uploads until the run is over, the last one to its end.
pub async fn line(run: Rc<Run>, line: u64) {
    let parallel = run.load.parallel as u64;
    while !run.is_over() {
        if let Err(error) = upload(&run, line * parallel).await {
            run.fail(error);
        }
    }
}

async fn upload(run: &Run, lane: u64) -> Result<(), UploadError> {
    let upload = Upload::open(run, lane).await?;
    let all_acked = send_rest(run, &upload, lane, None).await?;
    assert!(all_acked, "nobody else sends chunks of this upload");
    upload.end(run, lane).await
}

/// Sends all chunks that aren't on their way yet, as many at a time as the load says. Each place
/// stays on one connection, so that the connections are used alike at any time. Gives whether the
/// last of the upload's acks came here.
pub async fn send_rest(
    run: &Run,
    upload: &Upload,
    lane: u64,
    timed: Option<bool>,
) -> Result<bool, UploadError> {
    let place = |place: u64| async move {
        let mut all_acked = false;
        while let Some(number) = upload.next_number() {
            let sending = Sending { number, lane: lane + place, started: now(), timed };
            all_acked = upload.send(run, sending).await?;
        }
        Ok::<_, UploadError>(all_acked)
    };
    let mut all_acked = false;
    // Which looks only at places that have an answer, and not at all of them for each.
    let mut places: FuturesUnordered<_> = (0..run.load.parallel as u64).map(place).collect();
    while let Some(was_last) = places.try_next().await? {
        all_acked |= was_last;
    }
    Ok(all_acked)
}
