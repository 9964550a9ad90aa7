//! Peers that send whatever hurts, against whole servers: nothing that one of them does harms the
//! others. Each module is named for the harm; `docs/TESTING.md` tells more.

#![expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock")]

#[allow(dead_code, unused_imports, reason = "the system tests use the rest")]
#[path = "../system/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "the edge's own tests use the rest")]
#[path = "../../../io/tests/edge_support/raw.rs"]
mod raw;
mod scene;
mod wire;

mod crowd;
mod cut;
mod floods;
mod frames;
mod h2spec;
mod messages;
mod slow;
mod storms;
mod whole;
