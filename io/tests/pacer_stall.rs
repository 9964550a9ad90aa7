//! Why there is a pacer: without it glommio 0.9.0 goes to sleep for good on work that is there.
//!
//! When the preempt timer fires between the poll of the rings and the first task, the executor
//! takes it that nothing was left to run, and sleeps in the kernel with its queues full. At our
//! 250 µs that takes seconds of load; here the timer fires each 20 µs, and it takes a moment.

mod pacer_support;

use std::{thread, time::Duration};

use pacer_support::Reader;
use sluice_io::reactor::pacer::Pacer;

const PREEMPT: Duration = Duration::from_micros(20);
const LOOK: Duration = Duration::from_millis(5);
/// No sign of life in so many looks, 5 s at least: it sleeps. While the machine stands still, nobody
/// looks.
const LOOKS_ASLEEP: u32 = 1_000;

/// Waits until it has read so much, or sleeps; whether it has.
fn reads(reader: &Reader, until_bytes: u64) -> bool {
    let (mut before, mut looks) = (reader.got_bytes(), 0);
    while before < until_bytes {
        thread::sleep(LOOK);
        let now = reader.got_bytes();
        looks = if now > before { 0 } else { looks + 1 };
        before = now;
        if looks == LOOKS_ASLEEP {
            return false;
        }
    }
    true
}

#[test]
fn an_executor_falls_asleep_on_its_work_unless_it_is_paced() {
    // Far more than it reads before it sleeps: some 100 MB.
    let enough_bytes = 100 << 30;
    let unpaced = Reader::start(PREEMPT, None);
    assert!(!reads(&unpaced, enough_bytes), "glommio sleeps no more: is the pacer still needed?");
    let asleep_bytes = unpaced.got_bytes();

    let pacer = Pacer::start().unwrap();
    let paced = Reader::start(PREEMPT, Some(pacer.handle()));
    let much_bytes = 10 * asleep_bytes + (1 << 30);
    assert!(reads(&paced, much_bytes), "asleep after {} bytes", paced.got_bytes());

    // And the one that sleeps does so no longer once a thread outside has woken it. A signal may have
    // done that meanwhile, and then it sleeps again.
    assert!(!reads(&unpaced, enough_bytes));
    let asleep_bytes = unpaced.got_bytes();
    unpaced.waker.get().unwrap().wake_by_ref();
    assert!(reads(&unpaced, asleep_bytes + 1));
}
