//! Random peers that send whatever their windows allow, against the credit's promises.
//!
//! The peers keep their own books from the frames that they are told, and share no arithmetic
//! with what is tested.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use proptest::prelude::*;

use super::*;

const CONTROL: u64 = 100;

/// What a driver may leave neither granted nor parked: control messages that are not whole yet.
const PLAIN_MAX: u64 = FLOOR_BYTES / 2;

/// A stream as the client and the driver together see it.
#[derive(Default)]
struct Flow {
    window: u64,
    /// Of the granted message, still to be sent.
    left: u64,
    held: u64,
    /// Held bytes that belong to no granted message.
    plain: u64,
    state: FlowState,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum FlowState {
    #[default]
    Fresh,
    Parked,
    Granted,
    Dropped,
}

struct Peer {
    credit: ConnectionCredit,
    window: u64,
    flows: BTreeMap<u32, Flow>,
    /// Held bytes of streams that are closed.
    zombies: BTreeMap<u32, u64>,
    next: u32,
}

struct World {
    limits: CreditLimits,
    shard: Rc<RefCell<ShardCredit>>,
    peers: Vec<Peer>,
}

#[derive(Clone, Debug)]
enum Step {
    Connect,
    Disconnect(usize),
    Open(usize),
    Send { peer: usize, flow: usize, bytes: u64 },
    Odd { peer: usize, flow: usize, bytes: u64 },
    Grant { peer: usize, flow: usize, bytes: u64 },
    Park { peer: usize, flow: usize },
    Drain { peer: usize, flow: usize, bytes: u64 },
    Release { peer: usize, flow: usize, bytes: u64 },
    Close { peer: usize, flow: usize, at_once: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, flow) = (0..5_usize, 0..5_usize);
    let bytes = prop_oneof![1..300_u64, 1..100_000_u64, 60_000..3_000_000_u64];
    let triple = (peer, flow, bytes);
    prop_oneof![
        1 => Just(Step::Connect),
        1 => (0..5_usize).prop_map(Step::Disconnect),
        4 => (0..5_usize).prop_map(Step::Open),
        8 => triple.clone().prop_map(|(peer, flow, bytes)| Step::Send { peer, flow, bytes }),
        1 => triple.clone().prop_map(|(peer, flow, bytes)| Step::Odd { peer, flow, bytes }),
        4 => triple.clone().prop_map(|(peer, flow, bytes)| Step::Grant { peer, flow, bytes }),
        2 => triple.clone().prop_map(|(peer, flow, _)| Step::Park { peer, flow }),
        1 => triple.clone().prop_map(|(peer, flow, bytes)| Step::Drain { peer, flow, bytes }),
        6 => triple.clone().prop_map(|(peer, flow, bytes)| Step::Release { peer, flow, bytes }),
        1 => (triple, any::<bool>())
            .prop_map(|((peer, flow, _), at_once)| Step::Close { peer, flow, at_once }),
    ]
}

fn limits() -> impl Strategy<Value = CreditLimits> {
    (2..40_u64, 0..6_u64, 2..20_u64, 1..8_u64).prop_map(|(budget, parked, connection, stream)| {
        CreditLimits {
            window_budget_bytes: budget * FLOOR_BYTES + 1_234,
            parked_reserve_bytes: parked * FLOOR_BYTES + 77,
            connection_ceiling_bytes: connection * FLOOR_BYTES + 99,
            stream_ceiling_bytes: stream * FLOOR_BYTES,
        }
    })
}

impl Peer {
    /// The `nth` stream, if any.
    fn pick(&self, nth: usize) -> Option<u32> {
        self.flows.keys().nth(nth % self.flows.len().max(1)).copied()
    }

    fn send(&mut self, id: u32, bytes: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let bytes = bytes.min(flow.window).min(self.window);
        flow.window -= bytes;
        self.window -= bytes;
        let arrival = self.credit.received(id, bytes as usize).expect("within the windows");
        assert_eq!(arrival == Arrival::Drop, flow.state == FlowState::Dropped);
        if arrival == Arrival::Keep {
            flow.held += bytes;
        }
        let beyond = bytes.saturating_sub(flow.left);
        flow.left -= bytes - beyond;
        if arrival == Arrival::Keep && flow.state != FlowState::Parked {
            flow.plain += beyond;
        }
        // The driver doesn't sit on what nobody admitted: another message has begun.
        if self.flows.values().map(|f| f.plain).sum::<u64>() > PLAIN_MAX {
            self.park(id);
        }
    }

    /// A padded frame, which h2 takes; half of it is payload.
    fn send_odd(&mut self, id: u32, bytes: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let bytes = bytes.min(flow.window).min(self.window);
        flow.window -= bytes;
        self.window -= bytes;
        self.credit.h2_consumed(id, bytes as usize).expect("within the windows");
        if flow.state == FlowState::Granted && flow.left > 0 {
            let left = flow.left.saturating_sub(bytes / 2);
            self.grant(id, left);
        }
    }

    fn park(&mut self, id: u32) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.state == FlowState::Dropped {
            return;
        }
        if self.credit.park(id).is_ok() {
            (flow.state, flow.left, flow.plain) = (FlowState::Parked, 0, 0);
        } else {
            self.drain(id, 0);
        }
    }

    fn grant(&mut self, id: u32, bytes: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.state == FlowState::Dropped {
            return;
        }
        if self.credit.grant(id, bytes).is_ok() {
            (flow.state, flow.left, flow.plain) = (FlowState::Granted, bytes, 0);
        } else {
            assert!(flow.state != FlowState::Parked, "a parked stream is always granted");
            self.drain(id, 0);
        }
    }

    fn drain(&mut self, id: u32, bytes: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        self.credit.drain(id, bytes);
        self.credit.release(id, flow.held as usize);
        *flow = Flow { window: flow.window, state: FlowState::Dropped, ..Flow::default() };
    }

    fn release(&mut self, id: u32, bytes: u64) {
        if let Some(held) = self.zombies.get_mut(&id) {
            let bytes = bytes.min(*held);
            self.credit.release(id, bytes as usize);
            *held -= bytes;
        } else if let Some(flow) = self.flows.get_mut(&id) {
            let bytes = bytes.min(flow.held);
            self.credit.release(id, bytes as usize);
            flow.held -= bytes;
            flow.plain = flow.plain.min(flow.held);
        }
    }

    fn close(&mut self, id: u32, at_once: bool) {
        let Some(flow) = self.flows.remove(&id) else { return };
        self.credit.close(id);
        if at_once || flow.plain > 0 {
            self.credit.release_all(id);
        } else {
            self.zombies.insert(id, flow.held);
        }
    }

    /// Takes in what the credit tells.
    fn hear(&mut self) -> bool {
        let mut told = Vec::new();
        self.credit.updates(&mut told);
        for update in &told {
            assert!(update.increment > 0);
            let window = match update.stream {
                0 => &mut self.window,
                id => &mut self.flows.get_mut(&id).expect("a stream that is open").window,
            };
            *window += u64::from(update.increment);
            assert!(*window <= WINDOW_BYTES_MAX);
        }
        !told.is_empty()
    }

    fn held(&self) -> u64 {
        self.zombies.values().chain(self.flows.values().map(|f| &f.held)).sum()
    }
}

impl World {
    fn new(limits: CreditLimits) -> Self {
        Self { limits, shard: ShardCredit::shared(limits), peers: Vec::new() }
    }

    fn apply(&mut self, step: &Step) {
        let count = self.peers.len();
        match *step {
            Step::Connect if count < 5 => {
                let Ok(credit) = ConnectionCredit::accept(&self.shard) else {
                    assert!(!self.shard.borrow().has_room());
                    return;
                };
                let (flows, zombies) = (BTreeMap::new(), BTreeMap::new());
                self.peers.push(Peer { credit, window: FLOOR_BYTES, flows, zombies, next: 1 });
            }
            _ if count == 0 => {}
            Step::Connect => {}
            Step::Disconnect(peer) => {
                let mut peer = self.peers.swap_remove(peer % count);
                peer.credit.disconnect();
                assert_eq!(peer.credit.held_bytes(), peer.held());
            }
            Step::Open(peer) => {
                let peer = &mut self.peers[peer % count];
                peer.credit.open(peer.next);
                peer.flows.insert(peer.next, Flow { window: FLOOR_BYTES, ..Flow::default() });
                peer.next += 2;
            }
            Step::Send { peer, flow, bytes } => {
                let peer = &mut self.peers[peer % count];
                if let Some(id) = peer.pick(flow) {
                    peer.send(id, bytes);
                }
            }
            Step::Odd { peer, flow, bytes } => {
                let peer = &mut self.peers[peer % count];
                if let Some(id) = peer.pick(flow) {
                    peer.send_odd(id, bytes);
                }
            }
            Step::Grant { peer, flow, bytes } => self.with(peer, flow, |p, id| p.grant(id, bytes)),
            Step::Park { peer, flow } => self.with(peer, flow, Peer::park),
            Step::Drain { peer, flow, bytes } => self.with(peer, flow, |p, id| p.drain(id, bytes)),
            Step::Release { peer, flow, bytes } => {
                let zombie = self.peers[peer % count].zombies.keys().nth(flow).copied();
                if let Some(id) = zombie {
                    self.peers[peer % count].release(id, bytes);
                }
                self.with(peer, flow, |p, id| p.release(id, bytes));
            }
            Step::Close { peer, flow, at_once } => {
                self.with(peer, flow, |p, id| p.close(id, at_once));
            }
        }
    }

    fn with(&mut self, peer: usize, flow: usize, act: impl FnOnce(&mut Peer, u32)) {
        let count = self.peers.len();
        let peer = &mut self.peers[peer % count];
        if let Some(id) = peer.pick(flow) {
            act(peer, id);
        }
    }

    /// All that must hold after every round.
    fn check(&mut self) {
        let (mut windows, mut held) = (0, 0);
        for peer in &mut self.peers {
            peer.hear();
            assert_eq!(peer.window, peer.credit.window_bytes());
            assert_eq!(peer.held(), peer.credit.held_bytes());
            // A control message may be sent now, whatever else is parked or at work.
            assert!(peer.window >= CONTROL, "a control message would starve");
            let (parked, ceiling) =
                (self.shard.borrow().parked_bytes(), self.limits.connection_ceiling_bytes);
            assert!(peer.window + peer.held() <= ceiling + parked);
            windows += peer.window;
            held += peer.held();
            let low = peer.credit.low_water(0, 1) as u64;
            let most: u64 = peer.flows.values().map(|f| f.left.min(f.window)).sum();
            assert!(low == 1 || low <= most.min(peer.window));
        }
        let shard = self.shard.borrow();
        assert!(shard.charged_bytes() <= self.limits.window_budget_bytes);
        assert!(shard.parked_bytes() <= self.limits.parked_reserve_bytes);
        // The parked part of what is held has its own reserve.
        assert!(windows + held <= shard.charged_bytes() + shard.parked_bytes());
    }

    /// One after the other sends what was granted and has it released, while the others hold what
    /// they have: all messages must end.
    fn finish(&mut self) {
        for peer in &mut self.peers {
            let mut moved = true;
            while moved {
                moved = false;
                let ids: Vec<u32> = peer.flows.keys().copied().collect();
                for id in ids {
                    let left = peer.flows[&id].left;
                    if peer.flows[&id].state == FlowState::Granted && left > 0 {
                        peer.send(id, left);
                        moved |= peer.flows[&id].left < left;
                    }
                    if peer.flows[&id].state != FlowState::Parked {
                        peer.release(id, u64::MAX);
                    }
                }
                moved |= peer.hear();
            }
            assert!(peer.flows.values().all(|f| f.left == 0), "a granted message can't finish");
        }
    }

    /// All streams over and all released: an idle connection has its floor and what cut messages
    /// left behind, no more.
    fn rest(&mut self) {
        for peer in &mut self.peers {
            let ids: Vec<u32> = peer.flows.keys().copied().collect();
            ids.into_iter().for_each(|id| peer.close(id, true));
            let ids: Vec<u32> = peer.zombies.keys().copied().collect();
            ids.into_iter().for_each(|id| peer.release(id, u64::MAX));
            peer.hear();
            assert_eq!(peer.credit.held_bytes(), 0);
            assert_eq!(peer.window.saturating_sub(FLOOR_BYTES), peer.credit.surplus_bytes());
        }
        assert_eq!(self.shard.borrow().parked_bytes(), 0);
        self.peers.clear();
        let shard = self.shard.borrow();
        assert_eq!((shard.charged_bytes(), shard.connections()), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_kept_as_they_would_be_added_up_anew(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(limits);
        world.apply(&Step::Connect);
        for step in &steps {
            world.apply(step);
            world.peers.iter().for_each(|peer| peer.credit.streams().check());
            world.check();
            world.peers.iter().for_each(|peer| peer.credit.streams().check());
        }
    }

    #[test]
    fn promises_hold_whatever_peers_do(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut world = World::new(limits);
        world.apply(&Step::Connect);
        for step in &steps {
            world.apply(step);
            world.check();
        }
        world.finish();
        world.check();
        world.rest();
    }
}
