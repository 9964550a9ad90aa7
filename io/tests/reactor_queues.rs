//! Queues within a shard and between shards: bounded, in order, and nobody waits for ever.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;

use futures_lite::future::{block_on, zip};
use sluice_io::reactor::executor::Executors;
use sluice_io::reactor::local::{TrySendError, oneshot, queue};
use sluice_io::reactor::mesh::{MeshEnd, mesh};
use sluice_io::reactor::task;

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_queue_refuses_and_those_who_wait_go_first() {
    let (sender, mut receiver) = queue(2);
    sender.try_send(0).unwrap();
    sender.try_send(1).unwrap();
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
    let mut second = Box::pin(sender.send(2));
    let mut dropped = Box::pin(sender.send(8));
    let mut third = Box::pin(sender.send(3));
    assert!(poll(&mut second).is_pending() && poll(&mut dropped).is_pending());
    assert!(poll(&mut third).is_pending());
    assert_eq!(receiver.try_recv(), Some(0));
    // There is room, but it is the waiting one's.
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
    assert!(poll(&mut third).is_pending());
    drop(dropped);
    assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Some(1));
    drop(second);
    assert_eq!(poll(&mut third), Poll::Ready(Ok(())));
    drop(third);
    sender.try_send(4).unwrap_err();
    assert_eq!([receiver.try_recv(), receiver.try_recv()], [Some(2), Some(3)]);
    sender.try_send(4).unwrap();
    assert_eq!(receiver.try_recv(), Some(4));
}

#[test]
fn many_senders_and_a_slow_receiver_all_come_through() {
    Executors::spawn(&[0], |_, _| async {
        let (sender, mut receiver) = queue(3);
        for from in 0..20 {
            let sender = sender.clone();
            let send = async move {
                for n in 0..50 {
                    sender.send((from, n)).await.unwrap();
                }
            };
            task::spawn_local(send).detach();
        }
        drop(sender);
        let mut next = [0; 20];
        while let Some((from, n)) = receiver.recv().await {
            assert_eq!(next[from], n);
            next[from] += 1;
            assert!(receiver.len() <= 3);
            task::yield_now().await;
        }
        assert_eq!(next, [50; 20]);
    })
    .unwrap()
    .join()
    .unwrap();
}

#[test]
fn a_queue_without_a_receiver_gives_values_back() {
    Executors::spawn(&[0], |_, _| async {
        let (sender, receiver) = queue(1);
        let value = Rc::new(());
        sender.try_send(Rc::clone(&value)).unwrap();
        let waits = |n: u32| {
            let (sender, value) = (sender.clone(), Rc::clone(&value));
            task::spawn_local(async move { (n, sender.send(value).await.is_err()) })
        };
        let waiting = [waits(0), waits(1), waits(2)];
        task::yield_now().await;
        drop(receiver);
        assert!(sender.is_closed());
        for (n, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await, Some((n as u32, true)));
        }
        assert_eq!(Rc::strong_count(&value), 1);
    })
    .unwrap()
    .join()
    .unwrap();
}

#[test]
fn a_oneshot_gives_its_value_or_says_that_none_will_come() {
    let (sender, receiver) = oneshot();
    assert_eq!(block_on(zip(receiver, async { sender.send(5) })), (Some(5), Ok(())));
    let (sender, receiver) = oneshot::<u32>();
    assert_eq!(block_on(zip(receiver, async { drop(sender) })).0, None);
    let (sender, receiver) = oneshot();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(5), Err(5));
}

#[test]
fn two_shards_that_fill_each_other_s_queues_all_get_through() {
    const MESSAGES: u64 = 20_000;
    let ends = mesh::<u64>(2, 4);
    let run = |shard: usize, end: MeshEnd<u64>| {
        let (sender, mut receiver) = end.split();
        let again = sender.clone();
        let send = async {
            for n in 0..MESSAGES {
                // Two that wait for the same room, and the own queue now and then.
                let both = zip(sender.send(1 - shard, 2 * n), again.send(1 - shard, 2 * n + 1));
                assert_eq!(both.await, (Ok(()), Ok(())));
                if n % 100 == 0 {
                    sender.send(shard, n).await.unwrap();
                }
            }
        };
        let recv = async {
            let mut next = [0, 0];
            while next[1 - shard] < 2 * MESSAGES || next[shard] < MESSAGES {
                let (from, n) = receiver.recv().await;
                assert_eq!(n, next[from], "from {from}");
                next[from] += if from == shard { 100 } else { 1 };
            }
        };
        block_on(zip(send, recv));
    };
    thread::scope(|scope| {
        for (shard, end) in ends.into_iter().enumerate() {
            scope.spawn(move || run(shard, end));
        }
    });
}

#[test]
fn a_full_mesh_queue_says_so_and_a_shard_that_is_gone_gives_messages_back() {
    let mut ends = mesh::<u32>(2, 4);
    let (_, receiver) = ends.pop().unwrap().split();
    let (sender, _own) = ends.pop().unwrap().split();
    (0..4).for_each(|n| sender.try_send(1, n).unwrap());
    assert_eq!(sender.try_send(1, 4), Err(TrySendError::Full(4)));
    let gone = thread::scope(|scope| {
        scope.spawn(move || {
            let mut receiver = receiver;
            assert_eq!(block_on(receiver.recv()), (0, 0));
        });
        block_on(async {
            let mut n = 5;
            loop {
                match sender.send(1, n).await {
                    Ok(()) => n += 1,
                    Err(back) => break back,
                }
            }
        })
    });
    assert!(gone >= 5);
    assert_eq!(sender.try_send(1, 7), Err(TrySendError::Closed(7)));
}

#[test]
fn executors_wake_each_other_through_the_mesh() {
    const ROUNDS: u32 = 2_000;
    let ends = std::sync::Arc::new(std::sync::Mutex::new(mesh::<u32>(2, 2)));
    Executors::spawn(&[0, 0], move |_, pacer| {
        let end = ends.lock().unwrap().pop().unwrap();
        async move {
            let _busy = pacer.begin();
            let (sender, mut receiver) = end.split();
            let turns = Rc::new(Cell::new(0));
            let counted = Rc::clone(&turns);
            let echo = async move {
                while counted.get() < ROUNDS {
                    let (from, _) = receiver.recv().await;
                    counted.set(counted.get() + 1);
                    assert!(from < 2);
                }
                assert!(receiver.try_recv().is_none());
            };
            let send = async {
                for n in 0..ROUNDS / 2 {
                    sender.send(0, n).await.unwrap();
                    sender.send(1, n).await.unwrap();
                }
            };
            zip(echo, send).await;
        }
    })
    .unwrap()
    .join()
    .unwrap();
}
