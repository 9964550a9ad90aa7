//! What the pacer is for, under load: beside a CPU hog the executor goes on as a plain thread does.
//! Without it, it doesn't.
//!
//! A thread on the executor's CPU looks each millisecond whether it has gone on, and measures how
//! late it was woken itself: what the kernel does to everybody is no gap of ours.

mod pacer_support;

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use pacer_support::Reader;
use sluice_io::reactor::pacer::Pacer;

/// What the server's executors have.
const PREEMPT: Duration = Duration::from_micros(250);
/// Shorter, so that the executor falls asleep within moments instead of within a minute.
const HASTY: Duration = Duration::from_micros(20);
const LOAD: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);
/// Without a pacer it falls asleep within this, wherever it runs.
const ASLEEP_WITHIN: Duration = Duration::from_secs(180);
/// One that sleeps with work to do sleeps until somebody wakes it, not for moments: a busy machine's
/// scheduler makes gaps of some 60 ms also for one that was woken in time, a slow one longer ones.
const TOLERATED: Duration = Duration::from_secs(5);

/// The longest times without progress, and until the watching thread was woken.
#[derive(Debug, Default, Clone, Copy)]
struct Gaps {
    progress: Duration,
    own: Duration,
}

impl Gaps {
    fn is_stalled(&self) -> bool {
        self.progress > self.own + TOLERATED
    }
}

/// Watches a reader for a while, beside a hog of its CPU; ends early on a stall.
fn watch(reader: &Reader, within: Duration) -> Gaps {
    // Threads of their own, as they are pinned.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let hog = scope.spawn(|| {
            pin_to_first_cpu();
            while !over.load(SeqCst) {
                std::hint::spin_loop();
            }
        });
        let gaps = scope.spawn(|| watch_pinned(reader, within)).join();
        over.store(true, SeqCst);
        hog.join().unwrap();
        gaps.unwrap()
    })
}

#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn watch_pinned(reader: &Reader, within: Duration) -> Gaps {
    pin_to_first_cpu();
    let begun = Instant::now();
    let (mut gaps, mut before) = (Gaps::default(), reader.got_bytes());
    let (mut moved, mut woken) = (begun, begun);
    while begun.elapsed() < within && !gaps.is_stalled() {
        thread::sleep(LOOK);
        let now = Instant::now();
        gaps.own = gaps.own.max(now - woken - LOOK);
        woken = now;
        let bytes = reader.got_bytes();
        if bytes != before {
            (before, moved) = (bytes, now);
        }
        gaps.progress = gaps.progress.max(now - moved);
    }
    gaps
}

fn pin_to_first_cpu() {
    // SAFETY: the set is plain data, and outlives the call.
    let pinned = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    assert_eq!(pinned, 0, "CPU 0 is there");
}

#[test]
fn a_paced_executor_goes_on_beside_a_hog_and_one_without_a_pacer_does_not() {
    let pacer = Pacer::start().unwrap();
    for (preempt, within) in [(PREEMPT, LOAD), (HASTY, LOAD / 6)] {
        let paced = Reader::start(preempt, Some(pacer.handle()));
        let gaps = watch(&paced, within);
        println!("paced, {preempt:?}: {gaps:?}");
        assert!(!gaps.is_stalled(), "paced, {preempt:?}: {gaps:?}");
        paced.stop();
    }
    let unpaced = Reader::start(HASTY, None);
    let gaps = watch(&unpaced, ASLEEP_WITHIN);
    println!("without a pacer: {gaps:?}");
    assert!(gaps.is_stalled(), "is the pacer still needed? {gaps:?}");
}
