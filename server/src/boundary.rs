//! The named places between two effects at which a test build can die.
//!
//! With the feature `failpoints`, `FAILPOINTS=record.after=panic` kills the process the first
//! time it is between recording and what follows. In a release build this is nothing.

/// Every boundary. The crash matrix goes through all of them.
pub const BOUNDARIES: &[&str] = &[
    "reply.before",
    "body.before",
    "record.before",
    "record.after",
    "claim.before",
    "claim.after",
    "finish.before",
    "finish.after",
    "release.before",
    "release.after",
    "place.before",
    "place.after",
    "seal.before",
    "seal.after",
    "remove.before",
    "remove.after",
];

/// Those that only bodies in Redis come by.
pub const REDIS_BOUNDARIES: &[&str] = &["free.before", "sweep.before", "sweep.after"];

/// Dies here if a test wants it.
#[cfg(feature = "failpoints")]
pub(crate) fn boundary(name: &str) {
    debug_assert!(
        BOUNDARIES.contains(&name) || REDIS_BOUNDARIES.contains(&name),
        "{name} isn't listed"
    );
    // Only panics are set, and panics abort.
    let _ = fail::eval(name, |_| ());
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn boundary(_name: &str) {}
