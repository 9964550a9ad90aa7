//! Who gets memory, who waits for it, and when it is given back.

use super::rig::{Rig, config, send, spec};
use crate::Effect;

/// A body that is given up may hold memory until its last write has ended.
#[test]
fn a_beaten_rival_pays_until_its_writes_have_ended() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let slow = send(0, &[1; 80]);
    let rival = rig.open(upload, &slow);
    let quick = rig.open(upload, &slow);
    rig.body(quick, &slow);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    let drop_place = rig.pick(|effect| matches!(effect, Effect::DropBody { .. }));
    rig.body(rival, &slow);
    rig.settle();
    assert!(rig.answer(rival).unwrap().unwrap().duplicate);
    assert_eq!(rig.shard.stats().budget_used_bytes, 50);
    rig.finish(drop_place);
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}
