//! SHA-256 of a shard's uploads, several side by side: together they take about half of the time
//! that they take one after the other.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ops::Deref,
    rc::Rc,
};

use sluice_io::reactor::{
    local::{self, OneshotSender},
    task,
};
use sluice_proto::checksum::Sha256State;

/// Whoever hashes looks whether others want the core after so many bytes, of all lanes together.
const QUANTUM_BYTES: usize = 128 << 10;

/// One who hashes: a background task while there is something to hash. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Hasher(Rc<Inner>);

#[derive(Default)]
struct Inner {
    /// What waits for a lane, the oldest first. Each asker waits for its answer, so it is bounded by
    /// those who write and read bodies.
    asked: RefCell<VecDeque<Lane>>,
    is_at_work: Cell<bool>,
}

struct Lane {
    state: Sha256State,
    bytes: Box<dyn Deref<Target = [u8]>>,
    hashed_bytes: usize,
    answer: OneshotSender<Sha256State>,
}

impl Lane {
    fn left(&self) -> &[u8] {
        &self.bytes[self.hashed_bytes..]
    }
}

impl Hasher {
    /// The state after these bytes. They are let go before it answers.
    pub(super) async fn hash(
        &self,
        state: Sha256State,
        bytes: impl Deref<Target = [u8]> + 'static,
    ) -> Sha256State {
        let (answer, told) = local::oneshot();
        let lane = Lane { state, bytes: Box::new(bytes), hashed_bytes: 0, answer };
        self.0.asked.borrow_mut().push_back(lane);
        if !self.0.is_at_work.replace(true) {
            task::spawn_background(self.clone().work()).detach();
        }
        told.await.expect("whoever hashes answers all")
    }

    fn fill(&self, lanes: &mut Vec<Lane>) {
        let mut asked = self.0.asked.borrow_mut();
        let some = asked.len().min(Sha256State::LANES_MAX - lanes.len());
        lanes.extend(asked.drain(..some));
    }

    async fn work(self) {
        let mut lanes = Vec::with_capacity(Sha256State::LANES_MAX);
        loop {
            let pending = self.0.asked.borrow().len() + lanes.len();
            match pending < Sha256State::LANES_MAX {
                // Those who are about to ask make this step cheaper for all.
                true => task::yield_now().await,
                false => task::yield_if_needed().await,
            }
            self.fill(&mut lanes);
            if lanes.is_empty() {
                self.0.is_at_work.set(false);
                return;
            }
            step(&mut lanes);
            for lane in lanes.extract_if(.., |lane| lane.left().is_empty()) {
                let Lane { state, bytes, answer, .. } = lane;
                drop(bytes);
                // Who doesn't wait any more was dropped with its upload.
                drop(answer.send(state));
            }
        }
    }
}

/// Feeds all lanes as many bytes as the shortest has, a quantum at most.
fn step(lanes: &mut [Lane]) {
    let shortest = lanes.iter().map(|lane| lane.left().len()).min().unwrap_or_default();
    // In whole blocks of the hash, which then needn't hold a part of one.
    let bytes = shortest.min((QUANTUM_BYTES / lanes.len()).next_multiple_of(64));
    let mut fed: Vec<_> = lanes
        .iter_mut()
        .map(|lane| {
            let all = &lane.bytes;
            (&mut lane.state, &all[lane.hashed_bytes..lane.hashed_bytes + bytes])
        })
        .collect();
    Sha256State::update_each(&mut fed);
    for lane in lanes {
        lane.hashed_bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use sluice_io::reactor::executor::Executors;

    use super::*;

    fn run<F: Future<Output = ()> + 'static>(test: impl Fn() -> F + Clone + Send + 'static) {
        Executors::spawn(&[0], move |_, _| test()).unwrap().join().unwrap();
    }

    #[test]
    fn all_are_answered_whatever_their_lengths_and_however_many() {
        run(async || {
            let hasher = Hasher::default();
            let pieces: Vec<Vec<u8>> = (0..23u8)
                .map(|nth| vec![nth; usize::from(nth % 7) * 50_000 + usize::from(nth)])
                .collect();
            let tasks: Vec<_> = pieces
                .iter()
                .map(|piece| {
                    let (hasher, piece) = (hasher.clone(), piece.clone());
                    task::spawn_local(async move {
                        let mut state = Sha256State::new();
                        for part in piece.chunks(70_001) {
                            state = hasher.hash(state, part.to_vec()).await;
                        }
                        state.finish()
                    })
                })
                .collect();
            for (task, piece) in tasks.into_iter().zip(&pieces) {
                assert_eq!(task.await, Some(Sha256State::of(piece)));
            }
        });
    }
}
