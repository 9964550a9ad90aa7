//! From the last chunk to the end, and what is told of it when.

use sluice_proto::{checksum::Sha256State, error::Reason, ids::UploadId};

use super::rig::{Rig, WAIT_MS, config, send, spec};
use crate::{
    Effect, Event,
    effect::{CallReply, StreamReply},
    event::Failure,
    keys::CallId,
    record::{State, Transition, UploadSpec},
};

/// A client that is told COMPLETED may delete its file.
#[test]
fn an_end_is_told_once_it_is_durable() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let call = rig.ask_complete(upload, Some(0));
    while !rig.held.iter().any(is_completed) {
        let effect = rig.held.pop_front().unwrap();
        rig.finish(effect);
    }
    rig.pass_ms(WAIT_MS);
    match &rig.replies[&call] {
        Ok(CallReply::Completed(view)) => assert_eq!(view.record.state, State::Completing),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.state(upload), State::Completing);
    rig.settle();
    assert_eq!(rig.state(upload), State::Completed);
}

fn is_completed(effect: &Effect) -> bool {
    let ends = |step: &Transition| matches!(step, Transition::Completed(_));
    matches!(effect, Effect::Record { steps, .. } if steps.iter().any(ends))
}

fn complete_with(rig: &mut Rig, upload: UploadId, sha256: [u8; 32]) -> Result<State, Reason> {
    let call = CallId(2_000 + rig.replies.len() as u64);
    rig.event(Event::Complete {
        call,
        tenant: "t".to_owned(),
        upload_id: upload,
        total_chunks: None,
        sha256: Some(sha256),
        wait_until_ms: rig.now.mono_ms + WAIT_MS,
    });
    rig.settle();
    match rig.replies[&call].clone() {
        Ok(CallReply::Completed(view)) => Ok(view.record.state),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.reason),
    }
}

/// `is_last` has begun the end before CompleteUpload says what the whole has to be.
#[test]
fn a_sha256_may_be_declared_until_the_object_is_sealed() {
    let data = [7; 20];
    for (sum, end) in [(Sha256State::of(&data), State::Completed), ([0; 32], State::Failed)] {
        let mut rig = Rig::new(config());
        let upload = rig.upload(spec());
        let last = send(0, &data).last();
        let stream = rig.open(upload, &last);
        rig.body(stream, &last);
        let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
        rig.finish(close);
        let result = complete_with(&mut rig, upload, sum);
        assert_eq!(result.is_ok(), end == State::Completed, "{result:?}");
        assert_eq!(rig.state(upload), end);
    }
}

/// Nobody has computed it, so nobody can say that it is another one.
#[test]
fn a_sha256_that_comes_too_late_is_no_mismatch() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[7; 20]).last()).unwrap();
    let sum = Sha256State::of(&[7; 20]);
    assert_eq!(complete_with(&mut rig, upload, sum), Err(Reason::FieldInvalid));
    let hashed = rig.upload(UploadSpec { hash: true, ..spec() });
    rig.chunk(hashed, &send(0, &[7; 20]).last()).unwrap();
    assert_eq!(complete_with(&mut rig, hashed, sum), Ok(State::Completed));
    assert_eq!(complete_with(&mut rig, hashed, [0; 32]), Err(Reason::ObjectMismatch));
}

/// A chunk beyond N would be written into an object that is sealed, or keep it from its end.
#[test]
fn fixing_n_refuses_what_is_on_its_way_beyond_it() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(UploadSpec { chunk_size_bytes: Some(20), ..spec() });
    let beyond = rig.open(upload, &send(3, &[3; 20]));
    let others: Vec<_> = (4..16).map(|number| rig.open(upload, &send(number, &[4; 20]))).collect();
    let waits = others.iter().find(|&&other| rig.told[&other] == [StreamReply::Parked]);
    let waits = *waits.expect("some wait for memory");
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    assert_eq!(rig.answer(beyond), Some(Err(Reason::LastConflict)));
    assert_eq!(rig.answer(waits), Some(Err(Reason::LastConflict)));
    assert_eq!(rig.state(upload), State::Completed);
    assert!(rig.partials.is_empty());
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}

/// A beaten rival that stops sending must not hold the winner's place, and with it the end.
#[test]
fn a_rival_that_stalls_keeps_no_upload_from_its_end() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let stalled = rig.open(upload, &send(0, &[1; 20]));
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    assert_eq!(rig.state(upload), State::Completed);
    assert_eq!(rig.object(upload), [1; 20]);
    assert_eq!(rig.answer(stalled), None);
    rig.body(stalled, &send(0, &[1; 20]));
    rig.settle();
    assert!(rig.answer(stalled).unwrap().unwrap().duplicate);
}

#[test]
fn an_upload_expires_and_gives_all_back() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[0; 20])).unwrap();
    rig.chunk(upload, &send(2, &[2; 20])).unwrap();
    let open = rig.open(upload, &send(1, &[1; 20]));
    rig.pass_ms(config().upload_lifetime_ms);
    rig.settle();
    assert_eq!(rig.state(upload), State::Expired);
    assert_eq!(rig.answer(open), Some(Err(Reason::UploadEnded)));
    assert!(rig.partials.is_empty() && !rig.stored[&upload].record.cleanup_pending);
    assert_eq!(rig.segments_removed, [0]);
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}

/// Its client has done all that it had to: what is left is ours.
#[test]
fn an_upload_whose_chunks_are_all_in_never_expires() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[1; 20]).last()).unwrap();
    let first = send(0, &[0; 20]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    rig.pass_ms(config().upload_lifetime_ms);
    rig.restart(config());
    rig.event(Event::Tick);
    // The record of chunk 0 was lost with the process, so there is a hole again.
    rig.settle();
    assert_eq!(rig.state(upload), State::Expired);

    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let last = send(0, &[0; 20]).last();
    let stream = rig.open(upload, &last);
    rig.body(stream, &last);
    while !rig.held.iter().any(|effect| matches!(effect, Effect::Seal { .. })) {
        let effect = rig.held.pop_front().unwrap();
        rig.finish(effect);
    }
    rig.pass_ms(config().upload_lifetime_ms);
    rig.restart(config());
    rig.event(Event::Tick);
    rig.settle();
    assert_eq!(rig.state(upload), State::Completed);
}

#[test]
fn an_abort_is_refused_once_all_chunks_are_in() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let last = send(0, &[0; 20]).last();
    let stream = rig.open(upload, &last);
    rig.body(stream, &last);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    assert_eq!(rig.abort(upload), Err(Reason::UploadCompleting));
    assert_eq!(rig.state(upload), State::Completed);
    assert_eq!(rig.abort(upload), Err(Reason::UploadEnded));
}

#[test]
fn an_abort_is_told_once_it_is_durable_and_may_be_repeated() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(2, &[2; 20])).unwrap();
    let open = rig.open(upload, &send(0, &[0; 20]));
    rig.abort(upload).unwrap();
    rig.abort(upload).unwrap();
    assert_eq!(rig.answer(open), Some(Err(Reason::UploadEnded)));
    assert_eq!(rig.state(upload), State::Aborted);
    let refusal = rig.complete(upload, Some(3)).unwrap_err();
    assert_eq!(refusal.reason, Reason::UploadEnded);
    assert!(rig.partials.is_empty());
    assert_eq!(rig.segments_removed, [0]);
}

fn is_release(effect: &Effect) -> bool {
    matches!(effect, Effect::Release { .. })
}

/// Whoever hears of it may ask for node, name and request at once.
#[test]
fn an_end_is_told_once_all_that_it_held_is_free() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let open = rig.open(upload, &send(0, &[0; 20]));
    let (first, repeat) = (CallId(1_000), CallId(1_001));
    for call in [first, repeat] {
        rig.event(Event::Abort { call, tenant: "t".to_owned(), upload_id: upload });
    }
    rig.settle_but(is_release);
    assert!(!rig.replies.contains_key(&first) && rig.answer(open).is_none());
    assert_eq!(rig.state(upload), State::Pending);
    let release = rig.pick(is_release);
    rig.finish(release);
    for call in [first, repeat] {
        assert_eq!(rig.replies[&call], Ok(CallReply::Aborted));
    }
    assert_eq!(rig.answer(open), Some(Err(Reason::UploadEnded)));
    assert_eq!(rig.state(upload), State::Aborted);
    rig.settle();
    assert!(!rig.stored[&upload].record.cleanup_pending);
}

/// A client isn't kept waiting for a database that is down, and its repeat hears of the end.
#[test]
fn an_abort_whose_release_fails_may_be_repeated() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let (first, gone, repeat) = (CallId(1_000), CallId(1_001), CallId(1_002));
    let ask = |call| Event::Abort { call, tenant: "t".to_owned(), upload_id: upload };
    rig.event(ask(first));
    rig.event(ask(gone));
    rig.settle_but(is_release);
    rig.event(Event::CallCut { call: gone });
    let release = rig.pick(is_release);
    rig.fail(&release, Failure::Unavailable);
    let refusal = rig.replies[&first].clone().unwrap_err();
    assert!(refusal.reason == Reason::BackendDown && refusal.retry_after_ms.is_some());
    assert!(!rig.replies.contains_key(&gone));
    rig.event(ask(repeat));
    assert!(!rig.replies.contains_key(&repeat));
    rig.pass_ms(60_000);
    rig.settle();
    assert_eq!(rig.replies[&repeat], Ok(CallReply::Aborted));
}

/// A process that dies between the end and its release leaves no claim behind, and no end that was
/// told is taken back.
#[test]
fn a_new_process_gives_back_what_an_ended_upload_held() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.event(Event::Abort { call: CallId(1_000), tenant: "t".to_owned(), upload_id: upload });
    rig.settle_but(is_release);
    rig.restart(config());
    assert_eq!(rig.state(upload), State::Aborted);
    let repeat = CallId(1_001);
    rig.event(Event::Abort { call: repeat, tenant: "t".to_owned(), upload_id: upload });
    assert!(!rig.replies.contains_key(&repeat), "it still holds something");
    let release = rig.pick(is_release);
    assert!(rig.held.is_empty(), "swept once it is given back");
    rig.finish(release);
    assert_eq!(rig.replies[&repeat], Ok(CallReply::Aborted));
    rig.settle();
    assert!(!rig.stored[&upload].record.cleanup_pending);
}
