//! One upload against a model that knows chunks by number and nothing of parts, places, spools or
//! records: any sizes, order, repeats and `force`, any N, and restarts in between.

mod model;
mod parts;
mod service;

use proptest::prelude::*;
use sluice_proto::error::Reason;
use sluice_shard::{config::Spool, record::State};

use model::{Model, Promise};
use service::Service;

/// One chunk as a client sends it.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    pub number: u32,
    pub data: Vec<u8>,
    pub is_last: bool,
    pub force: bool,
    /// Whether the header tells the checksums.
    pub summed: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct In {
    pub duplicate: bool,
    pub received_bytes: u64,
    pub received_count: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Send),
    Complete(Option<u32>),
    Restart,
}

/// Longest chunk, bytes.
const CHUNK_BYTES_MAX: u64 = 48;

/// Few contents, so that repeats come often.
fn sends() -> impl Strategy<Value = Send> {
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.3), any::<bool>());
    let bytes = prop_oneof![3 => Just(16), 2 => 1..=CHUNK_BYTES_MAX, 1 => 0..=CHUNK_BYTES_MAX + 1];
    (0u32..7, bytes, 0u8..3, flags).prop_map(|(number, bytes, fill, (is_last, force, summed))| {
        Send { number, data: vec![fill; bytes as usize], is_last, force, summed }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => sends().prop_map(Step::Send),
        1 => prop::option::of(0u32..8).prop_map(Step::Complete),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..40)
}

fn promises() -> impl Strategy<Value = Promise> {
    let chunk_bytes = prop_oneof![Just(None), Just(Some(16)), (1..=CHUNK_BYTES_MAX).prop_map(Some)];
    let size_bytes = prop_oneof![2 => Just(None), 1 => (0u64..120).prop_map(Some)];
    (chunk_bytes, size_bytes)
        .prop_map(|(chunk_bytes, size_bytes)| Promise { chunk_bytes, size_bytes })
}

/// Sends what is missing, in an order given by `turn`, and asks for the end.
fn finish(model: &mut Model, service: &mut Service, turn: usize) -> Result<(), TestCaseError> {
    let total = model.total.or(model.highest().map(|highest| highest + 1)).unwrap_or(2);
    let mut missing: Vec<u32> = (0..total).filter(|number| !model.has(*number)).collect();
    if !missing.is_empty() {
        let turn = turn % missing.len();
        missing.rotate_left(turn);
    }
    for number in missing {
        let data = vec![9; model.fitting_bytes(number, total) as usize];
        let send = Send { number, data, is_last: false, force: false, summed: true };
        prop_assert_eq!(service.send(&send), model.send(&send), "{:?}", send);
    }
    prop_assert_eq!(service.complete(Some(total)), model.complete(Some(total)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_upload_does_what_its_chunks_say(
        promise in promises(),
        spool in prop_oneof![Just(Spool::Disk), Just(Spool::Redis)],
        steps in steps(),
        turn in any::<prop::sample::Index>(),
    ) {
        let mut model = Model::new(promise);
        let mut service = Service::new(promise, spool);
        for step in steps {
            match step {
                Step::Send(send) => {
                    prop_assert_eq!(service.send(&send), model.send(&send), "{:?}", send);
                }
                Step::Complete(total) => {
                    prop_assert_eq!(service.complete(total), model.complete(total), "{:?}", total);
                }
                Step::Restart => service.restart(),
            }
            prop_assert_eq!(service.state(), model.state());
        }
        finish(&mut model, &mut service, turn.index(100))?;
        match model.state() {
            State::Completed => prop_assert_eq!(service.object(), Some(&model.bytes()[..])),
            State::Failed => prop_assert_eq!(service.object(), None),
            // Some length that was declared can't be reached any more.
            state => prop_assert!(state <= State::Uploading && promise.size_bytes.is_some()),
        }
    }
}

#[test]
fn the_model_refuses_what_the_contract_refuses() {
    let send = |number, bytes| Send {
        number,
        data: vec![1; bytes],
        is_last: false,
        force: false,
        summed: false,
    };
    let mut model = Model::new(Promise { chunk_bytes: Some(16), size_bytes: Some(40) });
    assert_eq!(model.send(&send(0, 15)), Err(Reason::ChunkSizeBroken));
    assert_eq!(model.send(&send(3, 16)), Err(Reason::LastConflict));
    assert_eq!(model.send(&send(2, 9)), Err(Reason::ChunkSizeBroken));
    assert!(model.send(&send(2, 8)).is_ok());
    assert_eq!(model.complete(Some(2)), Err(Reason::LastConflict));
    assert_eq!(model.complete(None), Err(Reason::MissingChunks));
}
