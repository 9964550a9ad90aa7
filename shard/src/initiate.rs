//! InitiateUpload: claim, record, reply.

use sluice_proto::{
    error::{Reason, Refusal},
    ids::UploadId,
    limits::CHUNKS_PER_UPLOAD_MAX,
};

use crate::{
    config::{Objects, ShardConfig},
    context::{Op, OpKind},
    effect::{CallReply, Effect},
    event::{Claimed, Failure, Initiate, Outcome},
    keys::CallId,
    record::{EndError, State, StoredUpload, Transition, UploadRecord, UploadSpec},
    refuse,
    shard::Shard,
    steps, storing,
    timers::Timer,
    upload::{Then, Upload},
};

pub(crate) fn initiate(shard: &mut Shard, request: Box<Initiate>) {
    let call = request.call;
    let refusal = if shard.cx.draining {
        Some(refuse::draining())
    } else if !shard.loaded.contains(&request.upload_id.store()) {
        Some(refuse::loading())
    } else if !shard.has_room() && !shard.uploads.contains_key(&request.upload_id) {
        Some(refuse::too_many_uploads(shard.cx.config.uploads_max))
    } else if is_unclaiming(shard, &request.upload_id) {
        Some(refuse::backend_down())
    } else {
        check(&request.spec, &shard.cx.config).err()
    };
    if let Some(refusal) = refusal {
        return shard.cx.reply(call, Err(refusal));
    }
    // The claim also says whether an upload that is there already was made by this request.
    let (upload_id, spec) = (request.upload_id, Box::new(request.spec.clone()));
    let create_ms = shard.cx.now.wall_ms;
    let op = shard.cx.begin(upload_id, OpKind::Claim(request));
    shard.cx.emit(Effect::Claim { op, upload_id, spec, create_ms });
}

/// The metadata has matched the request, so the upload is the caller's. It may be on its way to
/// be made, or have gone since: the next repeat of the request finds out.
pub(crate) fn again(shard: &mut Shard, call: CallId, upload_id: &UploadId) {
    match shard.uploads.get_mut(upload_id) {
        // Its claims are on their way back; then the request begins anew.
        Some(upload) if upload.state() > State::Completed => {
            shard.cx.reply(call, Err(refuse::backend_down()));
        }
        Some(upload) => steps::then(upload, Then::Initiated { call, duplicate: true }),
        None if shard.loaded.contains(&upload_id.store()) => {
            shard.cx.reply(call, Err(refuse::backend_down()));
        }
        None => shard.cx.reply(call, Err(refuse::loading())),
    }
    shard.advance(upload_id);
}

pub(crate) fn claimed(shard: &mut Shard, request: Box<Initiate>, result: Result<Outcome, Failure>) {
    let call = request.call;
    match result {
        Ok(Outcome::Claimed(Claimed::Granted)) => begin(shard, *request),
        Ok(Outcome::Claimed(Claimed::Known { upload_id, node_id })) => {
            shard.cx.reply(call, Ok(CallReply::Known { upload_id, node_id }));
        }
        Ok(Outcome::Claimed(Claimed::Refused(refusal))) => shard.cx.reply(call, Err(refusal)),
        Err(_) => {
            shard.cx.reply(call, Err(refuse::backend_down()));
            unclaim(shard, *request);
        }
        Ok(outcome) => unreachable!("a claim ended with {outcome:?}"),
    }
}

fn begin(shard: &mut Shard, request: Initiate) {
    let Initiate { call, upload_id, spec } = request;
    if let Some(upload) = shard.uploads.get_mut(&upload_id) {
        steps::then(upload, Then::Initiated { call, duplicate: true });
        return;
    }
    let record = new_record(shard, upload_id, spec);
    shard.cx.timers.set(record.expire_ms, Timer::Expire(upload_id));
    let create = Transition::Create(Box::new(record.clone()));
    let stored = StoredUpload::new(record, 0);
    let mut upload = Upload::new(stored, 0, shard.cx.now.mono_ms);
    steps::take(&mut upload, &mut shard.cx, create);
    steps::then(&mut upload, Then::Initiated { call, duplicate: false });
    shard.insert(upload);
}

fn new_record(shard: &Shard, upload_id: UploadId, mut spec: UploadSpec) -> UploadRecord {
    let now_ms = shard.cx.now.wall_ms;
    let schedule = storing::schedule(&shard.cx, spec.expected_size_bytes);
    if let Some(schedule) = &schedule {
        let limit_bytes = shard.cx.config.plan.upload_bytes_max(schedule);
        spec.max_size_bytes = spec.max_size_bytes.min(limit_bytes);
    }
    UploadRecord {
        upload_id,
        state: State::Pending,
        total_chunks: known_total(spec.expected_size_bytes, spec.chunk_size_bytes),
        create_ms: now_ms,
        update_ms: now_ms,
        expire_ms: now_ms + shard.cx.config.upload_lifetime_ms,
        object: None,
        error: None,
        cleanup_pending: false,
        schedule,
        multipart_id: None,
        spec,
    }
}

/// Whether a claim that failed was granted isn't known. Nobody was told of its upload, so what it
/// may have taken is given back, unless the upload came to be by a repeat of the request.
fn unclaim(shard: &mut Shard, request: Initiate) {
    let upload_id = request.upload_id;
    let is_claiming = |op: &Op| op.upload_id == upload_id && matches!(op.kind, OpKind::Claim(_));
    if shard.uploads.contains_key(&upload_id) || shard.cx.ops.values().any(is_claiming) {
        return;
    }
    let message = "the claim's answer was lost".to_owned();
    let error = Some(EndError { reason: Reason::BackendDown, message });
    let record = new_record(shard, upload_id, request.spec);
    let record = Box::new(UploadRecord { state: State::Failed, error, ..record });
    let op = shard.cx.begin(upload_id, OpKind::Unclaim(record.clone()));
    shard.cx.emit(Effect::Release { op, record });
}

fn is_unclaiming(shard: &Shard, upload_id: &UploadId) -> bool {
    let gives_back = |op: &Op| op.upload_id == *upload_id && matches!(op.kind, OpKind::Unclaim(_));
    shard.cx.ops.values().any(gives_back)
}

/// What can never work is refused before anything is claimed.
fn check(spec: &UploadSpec, config: &ShardConfig) -> Result<(), Refusal> {
    let size = spec.expected_size_bytes;
    if let Some(size) = size.filter(|&size| size > spec.max_size_bytes) {
        return Err(refuse::size_mismatch(size, spec.max_size_bytes).field("expected_size_bytes"));
    }
    if config.objects == Objects::S3 && config.plan.schedule(size).is_none() {
        let largest = config.plan.object_bytes_max();
        return Err(
            refuse::size_mismatch(size.unwrap_or_default(), largest).field("expected_size_bytes")
        );
    }
    if let Some(chunk) = spec.chunk_size_bytes {
        let largest = size.map_or(chunk, |size| size.min(chunk));
        if largest > config.max_chunk_bytes {
            let refusal = refuse::chunk_too_large(chunk, config.max_chunk_bytes);
            return Err(refusal.field("chunk_size_bytes"));
        }
        let chunks = size.map_or(0, |size| size.div_ceil(chunk));
        if chunks > u64::from(CHUNKS_PER_UPLOAD_MAX) {
            let message = format!("{chunks} chunks; an upload has at most {CHUNKS_PER_UPLOAD_MAX}");
            return Err(Refusal::invalid("chunk_size_bytes", message)
                .with("chunks", chunks)
                .with("limit", CHUNKS_PER_UPLOAD_MAX));
        }
    }
    if spec.sha256.is_some() && config.objects == Objects::Discard {
        let message = "with objects = discard there is nothing to take a SHA-256 of";
        return Err(Refusal::invalid("sha256", message));
    }
    Ok(())
}

/// N, where size and chunk length promise it. An empty object has no chunks.
fn known_total(size_bytes: Option<u64>, chunk_bytes: Option<u64>) -> Option<u32> {
    match (size_bytes, chunk_bytes) {
        (Some(0), _) => Some(0),
        (Some(size), Some(chunk)) => u32::try_from(size.div_ceil(chunk)).ok(),
        _ => None,
    }
}
