//! Why there is a pacer: without it glommio 0.9.0 goes to sleep for good on work that is there.
//!
//! When the preempt timer fires between the poll of the rings and the first task, the executor
//! takes it that nothing was left to run, and sleeps in the kernel with its queues full. At our
//! 250 µs that takes seconds of load; here the timer fires each 20 µs, and it takes a moment.

mod pacer_support;

use std::{thread, time::Duration};

use pacer_support::{ASLEEP_MS, Reader};
use sluice_io::reactor::{pacer::Pacer, timer};

const PREEMPT: Duration = Duration::from_micros(20);

/// Waits until it has read so much, or sleeps; whether it has.
fn reads(reader: &Reader, until_bytes: u64) -> bool {
    let (mut before, mut since_ms) = (reader.got_bytes(), timer::now_ms());
    while before < until_bytes {
        thread::sleep(Duration::from_millis(5));
        let now = reader.got_bytes();
        if now > before {
            (before, since_ms) = (now, timer::now_ms());
        } else if timer::now_ms() - since_ms > ASLEEP_MS {
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

    // And the one that sleeps does so no longer once a thread outside has woken it.
    assert_eq!(unpaced.got_bytes(), asleep_bytes);
    unpaced.waker.get().unwrap().wake_by_ref();
    assert!(reads(&unpaced, asleep_bytes + 1));
}
