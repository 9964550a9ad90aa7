//! kill -9 at any moment, again and again, under parallel uploads: everything ends whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Options, Pace, Random, Server, audit, seed, work_until};

const KILLS: u64 = 50;
const UPLOADS_AT_ONCE: u64 = 8;
/// Slow enough that a kill comes amid chunks, and that the disk isn't filled.
const PACE: Pace = Pace(Duration::from_millis(25));

#[test]
fn fifty_kills_under_eight_parallel_uploads_lose_nothing() {
    let seed = seed("kill_anywhere");
    let mut random = Random::new(seed);
    let mut server = Server::start(Options::default());
    let stop = Arc::new(AtomicBool::new(false));
    let uploaders: Vec<_> = (0..UPLOADS_AT_ONCE)
        .map(|number| {
            let (address, stop) = (server.address(), stop.clone());
            thread::spawn(move || work_until(&stop, &address, seed ^ (number << 32), PACE))
        })
        .collect();
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(random.within(1..400)));
        server.kill();
        // One that is killed while it starts must do no harm either.
        if random.within(0..4) == 0 {
            server.spawn();
            thread::sleep(Duration::from_millis(random.within(0..300)));
            server.kill();
        }
        server.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = Vec::new();
    for uploader in uploaders {
        outcomes.extend(uploader.join().expect("an uploader"));
    }
    println!("{} uploads through {KILLS} kills", outcomes.len());
    audit(server, &outcomes);
}
