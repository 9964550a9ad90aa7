//! The fuzz targets' bodies on their seeds, whole, cut short, and with a byte changed.

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use std::path::Path;

/// Runs a body on every seed of its target, and on what is near it.
fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let seeds = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for seed in seeds {
        let path = seed.unwrap().path();
        println!("{}", path.display());
        let mut seed = std::fs::read(&path).unwrap();
        body(&seed);
        for end in 0..seed.len() {
            body(&seed[..end]);
            seed[end] ^= 1 << (end % 8);
            body(&seed);
            seed[end] ^= 1 << (end % 8);
        }
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", folder.display());
}

#[test]
fn frames_hold_on_their_seeds() {
    run("frame", bodies::frame::run);
}

#[test]
fn ropes_hold_on_their_seeds() {
    run("rope", bodies::rope::run);
}

#[test]
fn chunks_hold_on_their_seeds() {
    run("chunk", bodies::chunk::run);
}

#[test]
fn initiates_hold_on_their_seeds() {
    run("initiate", bodies::initiate::run);
}

#[test]
fn checksums_hold_on_their_seeds() {
    run("checksum", bodies::checksum::run);
}
