//! Whoever watches an upload hears of each change once, and of its end.

use sluice_proto::{error::Reason, ids::UploadId};

use super::rig::{Rig, config, send, spec};
use crate::{
    Event,
    effect::{CallReply, Progress},
    keys::CallId,
    record::State,
};

const FIRST: CallId = CallId(5_001);
const SECOND: CallId = CallId(5_002);

fn watch(rig: &mut Rig, call: CallId, upload_id: UploadId, seen: Option<Progress>) {
    rig.event(Event::Watch { call, tenant: "t".to_owned(), upload_id, seen });
}

fn heard(rig: &mut Rig, call: CallId) -> Option<Result<Progress, Reason>> {
    rig.replies.remove(&call).map(|reply| match reply {
        Ok(CallReply::Watched(view)) => Ok(view.progress()),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.reason),
    })
}

#[test]
fn each_change_is_told_to_all_who_wait_and_to_nobody_twice() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    watch(&mut rig, FIRST, upload, None);
    let now = heard(&mut rig, FIRST).unwrap().unwrap();
    assert_eq!((now.state, now.received_bytes), (State::Pending, 0));

    watch(&mut rig, FIRST, upload, Some(now));
    watch(&mut rig, SECOND, upload, Some(now));
    assert_eq!(heard(&mut rig, FIRST), None, "nothing has changed");
    rig.chunk(upload, &send(0, &[1; 30])).unwrap();
    for call in [FIRST, SECOND] {
        let heard = heard(&mut rig, call).unwrap().unwrap();
        assert_eq!((heard.state, heard.received_bytes), (State::Uploading, 30));
    }
    rig.chunk(upload, &send(1, &[1; 30])).unwrap();
    assert_eq!(heard(&mut rig, FIRST), None, "it waits no more");
}

#[test]
fn the_end_is_told_at_once_and_again_to_whoever_asks() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 30]).last()).unwrap();
    rig.settle();
    for _ in 0..2 {
        watch(&mut rig, FIRST, upload, None);
        let end = heard(&mut rig, FIRST).unwrap().unwrap();
        assert_eq!((end.state, end.stored_bytes), (State::Completed, 30));
        watch(&mut rig, FIRST, upload, Some(end));
        assert_eq!(heard(&mut rig, FIRST), Some(Ok(end)));
    }
}

#[test]
fn who_is_gone_or_drained_leaves_nothing_behind() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let now = {
        watch(&mut rig, FIRST, upload, None);
        heard(&mut rig, FIRST).unwrap().unwrap()
    };
    watch(&mut rig, FIRST, upload, Some(now));
    rig.event(Event::CallCut { call: FIRST });
    rig.chunk(upload, &send(0, &[1; 30])).unwrap();
    assert_eq!(heard(&mut rig, FIRST), None);

    let now = Progress { received_bytes: 30, received_count: 1, state: State::Uploading, ..now };
    watch(&mut rig, SECOND, upload, None);
    let now =
        Progress { stored_bytes: heard(&mut rig, SECOND).unwrap().unwrap().stored_bytes, ..now };
    watch(&mut rig, SECOND, upload, Some(now));
    assert_eq!(heard(&mut rig, SECOND), None);
    rig.event(Event::Drain);
    assert_eq!(heard(&mut rig, SECOND), Some(Err(Reason::Draining)));
    watch(&mut rig, SECOND, upload, Some(now));
    assert_eq!(heard(&mut rig, SECOND), Some(Err(Reason::Draining)));
    assert!(rig.shard.cx.watching.is_empty());
}

#[test]
fn an_unknown_upload_is_not_waited_for() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let stranger =
        Event::Watch { call: FIRST, tenant: "u".to_owned(), upload_id: upload, seen: None };
    rig.event(stranger);
    assert_eq!(heard(&mut rig, FIRST), Some(Err(Reason::UploadUnknown)));
}
