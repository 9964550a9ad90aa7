//! How an upload comes to be, or doesn't.

use sluice_proto::error::Reason;

use super::rig::{Rig, config, spec};
use crate::{
    Effect, Event,
    effect::CallReply,
    event::{Failure, Initiate},
    keys::CallId,
    record::{State, Transition},
};

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
    let asked = Initiate { call: again, upload_id: upload, spec: spec() };
    rig.event(Event::Initiate(Box::new(asked)));
    assert_eq!(rig.replies[&again].as_ref().unwrap_err().reason, Reason::BackendDown);
    rig.pass_ms(60_000);
    let release = rig.pick(is_release);
    rig.finish(release);
    assert!(rig.held.is_empty() && rig.stored.is_empty());
    assert_eq!(rig.shard.in_flight(), 0);
}

/// The repeat of a request is asked of the upload that the first one may have made.
#[test]
fn a_claim_of_an_upload_that_is_there_is_not_given_back() {
    let mut rig = Rig::new(config());
    let (upload, first) = rig.initiate(spec());
    let second = CallId(1_000);
    let asked = Initiate { call: second, upload_id: upload, spec: spec() };
    rig.event(Event::Initiate(Box::new(asked)));
    let claim = rig.pick(is_claim);
    rig.fail(&claim, Failure::Unavailable);
    assert!(!rig.held.iter().any(is_release), "the second claim may be granted");
    rig.settle();
    assert!(rig.replies[&first].is_err());
    assert!(matches!(rig.replies[&second], Ok(CallReply::Initiated { duplicate: false, .. })));
    let third = CallId(1_001);
    let asked = Initiate { call: third, upload_id: upload, spec: spec() };
    rig.event(Event::Initiate(Box::new(asked)));
    let claim = rig.pick(is_claim);
    rig.fail(&claim, Failure::Unavailable);
    assert!(rig.held.is_empty(), "{:?}", rig.held);
    assert_eq!(rig.state(upload), State::Pending);
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
