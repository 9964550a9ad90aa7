use std::{cell::RefCell, rc::Rc};

use super::*;

const F: u64 = FLOOR_BYTES;
const MIB: u64 = 1 << 20;
const LIMITS: CreditLimits = CreditLimits {
    window_budget_bytes: 128 * MIB,
    parked_reserve_bytes: 4 * F,
    connection_ceiling_bytes: 64 * MIB,
    stream_ceiling_bytes: 16 * MIB,
};
/// Pays for two connections and one grant.
const TINY: CreditLimits = CreditLimits { window_budget_bytes: 3 * F, ..LIMITS };

fn one(limits: CreditLimits) -> (Rc<RefCell<ShardCredit>>, ConnectionCredit) {
    let shard = ShardCredit::shared(limits);
    let connection = ConnectionCredit::accept(&shard).unwrap();
    (shard, connection)
}

fn told(connection: &mut ConnectionCredit) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    connection.updates(&mut out);
    out.into_iter().map(|update| (update.stream, update.increment)).collect()
}

fn receive(connection: &mut ConnectionCredit, stream: u32, bytes: u64) {
    connection.open(stream);
    assert_eq!(connection.received(stream, bytes as usize), Ok(Arrival::Keep));
}

#[test]
fn a_message_gets_its_credit_in_one_go_and_the_connection_falls_back_to_its_floor() {
    let (shard, mut connection) = one(LIMITS);
    receive(&mut connection, 1, 1_000);
    connection.grant(1, 10 * MIB).unwrap();
    let increment = 10 * MIB - (F - 1_000);
    assert_eq!(told(&mut connection), [(0, (10 * MIB + 1_000) as u32), (1, increment as u32)]);
    assert_eq!(connection.low_water(0, 1), 2 * MIB as usize);
    for piece in 1..=10 {
        receive(&mut connection, 1, MIB);
        connection.release(1, MIB as usize);
        if piece == 10 {
            connection.ended(1);
        }
        assert_eq!(told(&mut connection), []);
    }
    connection.release(1, 1_000);
    connection.close(1);
    assert_eq!(told(&mut connection), []);
    assert_eq!((connection.window_bytes(), connection.low_water(0, 1)), (F, 1));
    assert_eq!((shard.borrow().charged_bytes(), connection.surplus_bytes()), (F, 0));
    drop(connection);
    assert_eq!(shard.borrow().charged_bytes(), 0);
}

#[test]
fn lots_shrink_as_calls_grow_and_leave_the_client_window_to_go_on_with() {
    let (_shard, mut connection) = one(LIMITS);
    receive(&mut connection, 1, 1_000);
    connection.grant(1, 10 * MIB).unwrap();
    told(&mut connection);
    let lots = [12, 16, 24, 1_000].map(|calls| connection.low_water(0, calls) as u64);
    assert_eq!(lots, [2 * MIB, 3 * MIB / 2, MIB, MIB]);
    receive(&mut connection, 1, 7 * MIB);
    let left = connection.window_bytes();
    assert!(left < 4 * MIB, "{left}");
    assert_eq!(connection.low_water(0, 1) as u64, left / 2);
    receive(&mut connection, 1, 2 * MIB);
    assert_eq!(connection.low_water(0, 1) as u64, MIB);
}

#[test]
fn credit_beyond_the_streams_ceiling_waits_for_releases_and_comes_in_big_steps() {
    let (_shard, mut connection) = one(LIMITS);
    connection.open(1);
    connection.grant(1, 40 * MIB).unwrap();
    let ceiling = 16 * MIB;
    assert_eq!(told(&mut connection)[1], (1, (ceiling - F) as u32));
    receive(&mut connection, 1, ceiling);
    assert_eq!(told(&mut connection), []);
    // A client that can't go on is told of every release, one that can of the half.
    connection.release(1, MIB as usize);
    assert_eq!(told(&mut connection), [(0, MIB as u32), (1, MIB as u32)]);
    connection.release(1, MIB as usize / 2);
    assert_eq!(told(&mut connection), []);
    connection.release(1, MIB as usize / 2);
    assert_eq!(told(&mut connection), [(0, MIB as u32), (1, MIB as u32)]);
}

#[test]
fn the_last_credit_of_a_message_waits_for_nothing() {
    let (_shard, mut connection) = one(LIMITS);
    connection.open(1);
    connection.grant(1, 17 * MIB).unwrap();
    told(&mut connection);
    receive(&mut connection, 1, 8 * MIB);
    // Far less than what the client has, but a client that sends whole frames may need it.
    connection.release(1, 8 * MIB as usize);
    assert_eq!(told(&mut connection), [(0, MIB as u32), (1, MIB as u32)]);
}

#[test]
fn connections_beyond_the_floor_capacity_are_refused() {
    let (shard, first) = one(TINY);
    let mut others: Vec<_> = (0..2).map(|_| ConnectionCredit::accept(&shard).unwrap()).collect();
    assert_eq!(ConnectionCredit::accept(&shard).unwrap_err(), WindowBudgetFull);
    drop(first);
    others.push(ConnectionCredit::accept(&shard).unwrap());
    assert_eq!(shard.borrow().connections(), 3);
}

#[test]
fn the_target_shrinks_as_busy_connections_come() {
    let (shard, mut first) = one(LIMITS);
    let mut connections = vec![];
    let mut before = shard.borrow().target_bytes();
    assert_eq!(before, 64 * MIB);
    first.open(1);
    first.grant(1, 100 * MIB).unwrap();
    told(&mut first);
    for _ in 0..8 {
        let mut next = ConnectionCredit::accept(&shard).unwrap();
        next.open(1);
        next.grant(1, 100 * MIB).unwrap();
        told(&mut next);
        let now = shard.borrow().target_bytes();
        assert!(now <= before && now > F);
        before = now;
        connections.push(next);
    }
    assert!(before < 14 * MIB);
}

#[test]
fn parked_streams_leave_the_connections_floor_open_until_the_reserve_is_used_up() {
    let (shard, mut connection) = one(LIMITS);
    for stream in [1, 3, 5, 7] {
        receive(&mut connection, stream, F);
        assert_eq!(told(&mut connection), []);
        connection.park(stream).unwrap();
        assert_eq!(told(&mut connection), [(0, F as u32)]);
    }
    receive(&mut connection, 9, F);
    assert_eq!(connection.park(9), Err(NoCredit));
    connection.drain(9, 0);
    connection.release_all(9);
    assert_eq!(told(&mut connection), [(0, F as u32)]);
    assert_eq!(shard.borrow().parked_bytes(), 4 * F);
    assert_eq!(shard.borrow().charged_bytes(), F);
    // What is granted leaves the reserve, and so does what is refused.
    connection.grant(1, 0).unwrap();
    connection.drain(3, 0);
    connection.release(3, F as usize);
    assert_eq!(shard.borrow().parked_bytes(), 2 * F);
    assert_eq!(shard.borrow().charged_bytes(), 2 * F);
    drop(connection);
    assert_eq!((shard.borrow().parked_bytes(), shard.borrow().charged_bytes()), (0, 0));
}

#[test]
fn a_slow_sink_does_not_shut_the_floor() {
    let (_shard, mut connection) = one(TINY);
    receive(&mut connection, 1, F);
    connection.grant(1, 10 * MIB).unwrap();
    while let Some(&(_, increment)) = told(&mut connection).iter().find(|u| u.0 == 1) {
        receive(&mut connection, 1, u64::from(increment));
    }
    // Nothing was released, and the budget is used up.
    assert_eq!(connection.window_bytes(), F);
    receive(&mut connection, 3, 100);
    connection.release(3, 100);
}

#[test]
fn a_grant_without_budget_trickles_through_the_reserve_and_is_promoted_later() {
    let (shard, mut first) = one(TINY);
    first.open(1);
    first.grant(1, F).unwrap();
    told(&mut first);
    let mut second = ConnectionCredit::accept(&shard).unwrap();
    second.open(1);
    second.grant(1, MIB).unwrap();
    assert_eq!(shard.borrow().parked_bytes(), F);
    receive(&mut second, 1, F);
    second.release(1, 60_000);
    assert_eq!(told(&mut second), [(0, F as u32), (1, 60_000)]);
    drop(first);
    told(&mut second);
    assert_eq!((shard.borrow().parked_bytes(), shard.borrow().charged_bytes()), (0, 2 * F));
}

#[test]
fn padding_and_what_h2_takes_do_not_leak_window() {
    let (_shard, mut connection) = one(LIMITS);
    connection.open(1);
    let (mut connection_window, mut stream_window) = (F, F);
    for _ in 0..1_000 {
        connection.h2_consumed(1, 300).unwrap();
        (connection_window, stream_window) = (connection_window - 300, stream_window - 300);
        for (stream, increment) in told(&mut connection) {
            let window = if stream == 0 { &mut connection_window } else { &mut stream_window };
            *window += u64::from(increment);
            assert!(u64::from(increment) >= F / 2 && *window <= F);
        }
    }
    connection.close(1);
    connection.h2_consumed(1, 300).unwrap();
    assert_eq!(connection.received(1, 300), Ok(Arrival::Drop));
}

#[test]
fn a_client_that_sends_beyond_its_windows_is_told_apart() {
    let (_shard, mut connection) = one(LIMITS);
    receive(&mut connection, 1, F);
    told(&mut connection);
    assert_eq!(connection.received(1, 1), Err(FlowViolation { stream: 1 }));
    connection.open(3);
    assert_eq!(connection.received(3, 1), Err(FlowViolation { stream: 0 }));
}

#[test]
fn what_a_cut_message_left_behind_serves_the_next_one() {
    let (shard, mut connection) = one(LIMITS);
    connection.open(1);
    connection.grant(1, 8 * MIB).unwrap();
    told(&mut connection);
    connection.close(1);
    assert_eq!(connection.surplus_bytes(), 8 * MIB);
    connection.open(3);
    connection.grant(3, 8 * MIB).unwrap();
    assert_eq!(told(&mut connection), [(3, (8 * MIB - F) as u32)]);
    assert_eq!((connection.surplus_bytes(), shard.borrow().charged_bytes()), (0, F + 8 * MIB));
}

#[test]
fn a_drained_stream_is_let_in_as_far_as_was_said() {
    let (shard, mut connection) = one(LIMITS);
    receive(&mut connection, 1, 5_000);
    connection.drain(1, 200_000);
    connection.release_all(1);
    let (mut window, mut came) = (F - 5_000, 0);
    while window > 0 {
        assert_eq!(connection.received(1, window as usize), Ok(Arrival::Drop));
        came += window;
        let given = told(&mut connection);
        window = given.iter().filter(|u| u.0 == 1).map(|u| u64::from(u.1)).sum();
    }
    assert_eq!((came, shard.borrow().charged_bytes()), (200_000, F));
}

#[test]
fn bytes_of_a_gone_client_stay_charged_until_they_leave() {
    let (shard, mut connection) = one(LIMITS);
    receive(&mut connection, 1, 1_000);
    connection.grant(1, MIB).unwrap();
    told(&mut connection);
    connection.disconnect();
    connection.disconnect();
    assert_eq!((shard.borrow().charged_bytes(), shard.borrow().connections()), (1_000, 0));
    connection.release(1, 1_000);
    connection.release(1, 1_000);
    assert_eq!(told(&mut connection), []);
    drop(connection);
    assert_eq!(shard.borrow().charged_bytes(), 0);
}

#[test]
fn a_stream_that_nobody_serves_is_forgotten_at_its_end() {
    let (_shard, mut connection) = one(LIMITS);
    receive(&mut connection, 1, 1_000);
    connection.drain(1, 0);
    connection.ended(1);
    receive(&mut connection, 3, 1_000);
    connection.ended(3);
    connection.drain(3, 0);
    for stream in [1, 3] {
        connection.release(stream, 1_000);
        // Known streams would panic: they hold nothing.
        connection.release(stream, 1_000);
    }
}
