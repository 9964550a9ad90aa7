//! From the last chunk to the end, and what is told of it when.

use super::rig::{Rig, WAIT_MS, config, send, spec};
use sluice_proto::error::Reason;

use crate::{
    Effect,
    effect::CallReply,
    record::{State, Transition},
};

fn is_forget(effect: &Effect) -> bool {
    matches!(effect, Effect::Record { steps, .. } if steps.contains(&Transition::Forget))
}

/// Until the last step is durable the upload is still in memory: a call that came then was kept
/// waiting for a step that never followed.
#[test]
fn an_upload_on_its_way_out_is_gone_for_whoever_asks() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    rig.pass_ms(config().ended_kept_ms);
    assert!(rig.held.iter().any(is_forget));
    let asked = rig.ask_complete(upload, Some(1));
    let stream = rig.open(upload, &send(0, &[1; 20]));
    let reason = |rig: &Rig, call| rig.replies[&call].as_ref().unwrap_err().reason;
    assert_eq!(reason(&rig, asked), Reason::UploadUnknown);
    assert_eq!(rig.answer(stream), Some(Err(Reason::UploadUnknown)));
    assert_eq!(rig.view(upload).unwrap_err(), Reason::UploadUnknown);
    rig.settle();
    assert!(rig.stored.is_empty());
}

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
