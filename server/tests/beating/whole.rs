//! The whole beating on one server, one attack after the other: its memory stays within its limit
//! all the time, and in the end every budget is whole.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::harness::{Options, root};
use crate::scene::Scene;
use crate::wire::Target;
use crate::{crowd, floods, frames, messages, slow};

type Attack = (&'static str, fn(&Target));

const ATTACKS: [Attack; 20] = [
    ("rapid resets", floods::rapid_resets),
    ("made-you resets", floods::made_resets),
    ("endless header blocks", floods::endless_header_blocks),
    ("pings and settings", floods::pings_and_settings),
    ("pings with answers unread", floods::pings_whose_answers_nobody_reads),
    ("frames of one byte", frames::tiny_frames),
    ("255 bytes of padding", frames::padding),
    ("long header lists", frames::header_lists_beyond_the_limit),
    ("frames after a reset", frames::frames_after_a_reset),
    ("GOAWAY in mid-upload", frames::goaway_in_mid_upload),
    ("garbage", frames::garbage),
    ("messages that lie", messages::lies),
    ("unknown fields", messages::unknown_fields),
    ("deadlines passed", messages::deadlines),
    ("cancelled anywhere", messages::cancels),
    ("other protocols", messages::other_protocols),
    ("5000 abandoned streams", crowd::abandoned_streams),
    ("1000 lingering connections", crowd::connections_that_linger),
    ("slow: 100 of each", |target| slow::all_at_once(target, &slow::SLOW, 100)),
    ("very slow: 50 of each", |target| slow::all_at_once(target, &slow::VERY_SLOW, 50)),
];

const LIMIT_BYTES: u64 = 512 << 20;
/// What a shard may have beside the limit.
const SHARD_BYTES: u64 = 48 << 20;
/// Each attack is repeated for so long, if it doesn't take longer by itself.
const ATTACK: Duration = Duration::from_secs(5);

#[test]
#[ignore = "long: make beating"]
fn memory_stays_within_its_limit_over_the_whole_beating() {
    let mut scene = Scene::start(Options { memory_limit: "512M", ..Options::default() });
    let shards = scene.server.options.cpus.split(',').count() as u64;
    let allowed_bytes = LIMIT_BYTES + shards * SHARD_BYTES;
    let (at, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let status = format!("/proc/{}/status", scene.server.pid());
    let samples = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let (began, mut samples) = (Instant::now(), Vec::new());
            while !is_over.load(SeqCst) {
                samples.push((began.elapsed(), at.load(SeqCst), resident_bytes(&status)));
                std::thread::sleep(Duration::from_millis(100));
            }
            samples
        });
        for (number, (what, attack)) in ATTACKS.into_iter().enumerate() {
            println!("{what}");
            at.store(number, SeqCst);
            let began = Instant::now();
            scene.beside(|target| {
                attack(target);
                // The honest upload is over long before.
                while began.elapsed() < ATTACK {
                    attack(target);
                }
            });
        }
        is_over.store(true, SeqCst);
        sampler.join().unwrap()
    });
    report(&samples, allowed_bytes);
    let peak_bytes = scene.server.memory_bytes("VmHWM");
    println!("peak {} MiB of {} MiB allowed", peak_bytes >> 20, allowed_bytes >> 20);
    assert!(peak_bytes <= allowed_bytes, "{peak_bytes} bytes were held, {allowed_bytes} allowed");
    scene.end();
}

fn resident_bytes(status: &str) -> u64 {
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_matches([' ', '\t', 'k', 'B']).parse::<u64>().unwrap() << 10
}

/// The curve as CSV, and what each attack came to as a table of docs/BEATING.md.
fn report(samples: &[(Duration, usize, u64)], allowed_bytes: u64) {
    let mut csv = String::from("seconds,attack,rss_bytes\n");
    for (elapsed, at, bytes) in samples {
        writeln!(csv, "{:.1},{},{bytes}", elapsed.as_secs_f64(), ATTACKS[*at].0).unwrap();
    }
    let path = root().join("target/beating-rss.csv");
    std::fs::write(&path, csv).unwrap();
    println!("the curve is in {}; {} MiB are allowed", path.display(), allowed_bytes >> 20);
    println!("| attack | seconds | RSS at most, MiB | RSS at its end, MiB |\n|---|---|---|---|");
    for (number, (what, _)) in ATTACKS.iter().enumerate() {
        let of: Vec<_> = samples.iter().filter(|(_, at, _)| *at == number).collect();
        let (Some(first), Some(last)) = (of.first(), of.last()) else { continue };
        let most = of.iter().map(|(_, _, bytes)| bytes >> 20).max().unwrap_or(0);
        let seconds = (last.0 - first.0).as_secs_f64();
        println!("| {what} | {seconds:.0} | {most} | {} |", last.2 >> 20);
    }
}
