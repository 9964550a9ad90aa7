#![no_main]

#[allow(dead_code, reason = "each target runs one of them")]
#[path = "../bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::chunk::run(input));
