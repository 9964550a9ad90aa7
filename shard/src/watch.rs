//! Whoever waits to hear of an upload's next change.
//!
//! All who wait for one upload have seen the same of it: a change answers every one of them.

use sluice_proto::{error::Refusal, ids::UploadId};

use crate::{
    context::Context,
    effect::{CallReply, Progress},
    keys::CallId,
    refuse,
    shard::Shard,
    upload::Upload,
};

/// Callers that wait for one upload; each shard sends one, for all that it serves.
const WATCHERS_MAX: usize = 4096;

/// Answers at the next change; at once if the caller hasn't seen how it stands now, or has seen
/// the end.
pub(crate) fn watch(
    shard: &mut Shard,
    call: CallId,
    tenant: &str,
    upload_id: &UploadId,
    seen: Option<Progress>,
) {
    let waits = judge(shard, tenant, upload_id, seen);
    match waits {
        Ok(None) => {
            let upload = shard.uploads.get_mut(upload_id).expect("it was looked at");
            upload.watchers.push(call);
            shard.cx.watching.insert(call, *upload_id);
        }
        Ok(Some(reply)) => shard.cx.reply(call, Ok(reply)),
        Err(refusal) => shard.cx.reply(call, Err(refusal)),
    }
}

fn judge(
    shard: &mut Shard,
    tenant: &str,
    upload_id: &UploadId,
    seen: Option<Progress>,
) -> Result<Option<CallReply>, Refusal> {
    let (upload, cx) = shard.find(tenant, upload_id)?;
    let view = upload.view();
    let progress = view.progress();
    if seen != Some(progress) || progress.state.ended() {
        return Ok(Some(CallReply::Watched(Box::new(view))));
    }
    if cx.draining {
        return Err(refuse::draining());
    }
    if upload.watchers.len() >= WATCHERS_MAX {
        return Err(refuse::budget());
    }
    upload.watched = Some(progress);
    Ok(None)
}

/// Answers all who wait, if something has changed.
pub(crate) fn tell(upload: &mut Upload, cx: &mut Context) {
    if upload.watchers.is_empty() {
        return;
    }
    let view = upload.view();
    if Some(view.progress()) == upload.watched {
        return;
    }
    for call in std::mem::take(&mut upload.watchers) {
        cx.watching.remove(&call);
        cx.reply(call, Ok(CallReply::Watched(Box::new(view.clone()))));
    }
}

/// The caller is gone; whether it waited here.
pub(crate) fn cut(shard: &mut Shard, call: CallId) -> bool {
    let Some(upload_id) = shard.cx.watching.remove(&call) else { return false };
    if let Some(upload) = shard.uploads.get_mut(&upload_id) {
        upload.watchers.retain(|waiting| *waiting != call);
    }
    true
}

/// Whoever watches would else hold up the end of the process.
pub(crate) fn drain(shard: &mut Shard) {
    for (call, upload_id) in std::mem::take(&mut shard.cx.watching) {
        if let Some(upload) = shard.uploads.get_mut(&upload_id) {
            upload.watchers.clear();
        }
        shard.cx.reply(call, Err(refuse::draining()));
    }
}
