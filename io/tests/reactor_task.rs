//! Tasks and timers of an executor keep what their docs promise.

#![expect(clippy::disallowed_methods, reason = "a test takes the time itself")]

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sluice_io::reactor::executor::Executors;
use sluice_io::reactor::{task, timer};

fn on_executor<Fut: Future<Output = ()> + 'static>(
    test: impl Fn() -> Fut + Clone + Send + 'static,
) {
    Executors::spawn(&[0], move |_, _| test()).unwrap().join().unwrap();
}

#[test]
fn a_dropped_handle_lets_the_task_run_and_a_dropped_guard_ends_it() {
    on_executor(|| async {
        let ran = Rc::new(Cell::new(0));
        let add = |n: u32| {
            let ran = Rc::clone(&ran);
            async move {
                timer::sleep(Duration::from_millis(5)).await;
                ran.set(ran.get() + n);
            }
        };
        task::spawn_local(add(1)).detach();
        drop(task::spawn_local(add(10)));
        let guard = task::spawn_local(add(100)).cancel_on_drop();
        task::yield_now().await;
        drop(guard);
        let held = task::spawn_local(add(1000)).cancel_on_drop();
        assert_eq!(held.await, Some(()));
        assert_eq!(task::spawn_background(async { 7 }).await, Some(7));
        timer::sleep(Duration::from_millis(20)).await;
        assert_eq!(ran.get(), 1011);
        // The guard's task holds a clone until it is really dropped.
        assert_eq!(Rc::strong_count(&ran), 1);
    });
}

#[test]
fn guards_that_outlive_the_first_task_are_dropped_with_the_executor() {
    on_executor(|| async {
        let idle = task::spawn_local(std::future::pending::<()>()).cancel_on_drop();
        task::spawn_local(async move {
            idle.await;
        })
        .detach();
        task::yield_now().await;
    });
}

#[test]
fn background_work_leaves_the_core_to_the_rest() {
    const ROUNDS: u64 = 20_000;
    /// A machine that stands still is time that one of them took, for the executor; hardly always.
    const TRIES: usize = 5;
    async fn count(rounds: Rc<Cell<u64>>, is_over: impl Fn(u64) -> bool) {
        while !is_over(rounds.get()) {
            let spin = Instant::now() + Duration::from_micros(20);
            while Instant::now() < spin {
                std::hint::spin_loop();
            }
            rounds.set(rounds.get() + 1);
            task::yield_if_needed().await;
        }
    }
    on_executor(|| async {
        let mut tried = Vec::new();
        for _ in 0..TRIES {
            let (front, back) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let seen = Rc::clone(&front);
            let is_over = move |_| seen.get() >= ROUNDS;
            let behind = task::spawn_background(count(Rc::clone(&back), is_over));
            task::spawn_local(count(front, |rounds| rounds >= ROUNDS)).await;
            let back = back.get();
            behind.await;
            tried.push(back);
            // 5 to 1 on a quiet machine; what others take of the core blurs it.
            if back > 0 && 2 * ROUNDS > 3 * back {
                return;
            }
        }
        panic!("{tried:?} rounds behind, {ROUNDS} in front each time");
    });
}

#[test]
fn sleeps_last_as_long_as_they_say() {
    on_executor(|| async {
        let before_ms = timer::now_ms();
        timer::sleep(Duration::from_millis(20)).await;
        let after_ms = timer::now_ms();
        assert!((19..60_000).contains(&(after_ms - before_ms)));
        timer::sleep_until(after_ms + 20).await;
        assert!(timer::now_ms() >= after_ms + 20);
        timer::sleep_until(0).await;
        drop(timer::sleep(Duration::MAX));
    });
}

#[test]
fn a_deadline_drops_the_work_that_misses_it() {
    on_executor(|| async {
        let held = Rc::new(());
        let clone = Rc::clone(&held);
        let never = async move {
            std::future::pending::<()>().await;
            drop(clone);
        };
        let missed = timer::deadline(never, Duration::from_millis(10)).await;
        assert_eq!(missed, Err(timer::Elapsed));
        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!(timer::deadline(async { 3 }, Duration::ZERO).await, Ok(3));
        let later = async {
            timer::sleep(Duration::from_millis(5)).await;
            4
        };
        assert_eq!(timer::deadline(later, Duration::from_secs(60)).await, Ok(4));
    });
}
