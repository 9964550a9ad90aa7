//! How an upload comes to be, or doesn't.

use sluice_proto::error::Reason;

use super::rig::{Rig, config, spec};
use crate::{Effect, Event, effect::CallReply, event::Failure, keys::CallId, record::Transition};

fn is_claim(effect: &Effect) -> bool {
    matches!(effect, Effect::Claim { .. })
}

fn is_release(effect: &Effect) -> bool {
    matches!(effect, Effect::Release { .. })
}

/// Node and name would be taken for ever by an upload that nobody knows.
#[test]
fn a_claim_that_may_have_been_granted_is_given_back() {
    let mut rig = Rig::new(config());
    let (upload, call) = rig.initiate(spec());
    let claim = rig.pick(is_claim);
    rig.fail(&claim, Failure::Unavailable);
    assert_eq!(rig.replies[&call].as_ref().unwrap_err().reason, Reason::BackendDown);
    let release = rig.pick(is_release);
    rig.fail(&release, Failure::Unavailable);
    // The metadata may still tell the request's repeat of this upload.
    let again = CallId(1_000);
    rig.event(Event::InitiateAgain { call: again, upload_id: upload });
    assert_eq!(rig.replies[&again].as_ref().unwrap_err().reason, Reason::BackendDown);
    rig.pass_ms(60_000);
    let release = rig.pick(is_release);
    rig.finish(release);
    assert!(rig.held.is_empty() && rig.stored.is_empty());
    assert_eq!(rig.shard.in_flight(), 0);
}

#[test]
fn a_repeated_request_is_told_of_its_upload_and_never_begins_it_anew() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let again = |rig: &mut Rig, call| {
        rig.event(Event::InitiateAgain { call: CallId(call), upload_id: upload });
        rig.settle();
        rig.replies[&CallId(call)].clone().map_err(|refusal| refusal.reason)
    };
    match again(&mut rig, 1_000) {
        Ok(CallReply::Initiated { upload: view, duplicate }) => {
            assert_eq!((view.record.upload_id, duplicate), (upload, true));
        }
        other => panic!("{other:?}"),
    }
    rig.abort(upload).unwrap();
    rig.restart(config());
    rig.stored.clear();
    assert_eq!(again(&mut rig, 1_001), Err(Reason::BackendDown));
    assert!(rig.stored.is_empty());
}

#[test]
fn an_upload_is_told_of_once_its_record_is_durable() {
    let mut rig = Rig::new(config());
    let (_, call) = rig.initiate(spec());
    let claim = rig.pick(is_claim);
    rig.finish(claim);
    assert!(!rig.replies.contains_key(&call));
    let record = rig.pick(|effect| {
        matches!(effect, Effect::Record { steps, .. } if matches!(steps[..], [Transition::Create(_)]))
    });
    rig.finish(record);
    assert!(matches!(rig.replies[&call], Ok(CallReply::Initiated { duplicate: false, .. })));
}
