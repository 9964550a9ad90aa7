//! The named places between two effects at which a test build can die.
//!
//! With the feature `failpoints`, `FAILPOINTS=record.after=panic` kills the process the first
//! time it is between recording and what follows. In a release build this is nothing.
//!
//! There, too, days can be had in seconds: `FAILPOINTS=redis.forgets=return(9000)`.

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

/// After so long Redis forgets an upload that nobody renews.
pub(crate) const FORGETS: &str = "redis.forgets";
/// So often that is put off for what is open.
pub(crate) const RENEWS: &str = "redis.renews";

/// A period, ms: `usual_ms`, unless a test shortens it.
#[cfg(feature = "failpoints")]
pub(crate) fn period_ms(name: &str, usual_ms: u64) -> u64 {
    debug_assert!([FORGETS, RENEWS].contains(&name), "{name} isn't listed");
    fail::eval(name, |ms| ms?.parse().ok()).flatten().unwrap_or(usual_ms)
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn period_ms(_name: &str, usual_ms: u64) -> u64 {
    usual_ms
}
/// Those that only objects in an S3 store come by.
pub const S3_BOUNDARIES: &[&str] = &[
    "s3.begin.before",
    "s3.begin.after",
    "s3.part.before",
    "s3.part.after",
    "s3.put.before",
    "s3.put.after",
    "s3.complete.before",
    "s3.complete.after",
    "s3.unstore.before",
    "s3.unstore.after",
];

/// Dies here if a test wants it.
#[cfg(feature = "failpoints")]
pub(crate) fn boundary(name: &str) {
    let listed = [BOUNDARIES, REDIS_BOUNDARIES, S3_BOUNDARIES];
    debug_assert!(listed.iter().any(|names| names.contains(&name)), "{name} isn't listed");
    // Only panics are set, and panics abort.
    let _ = fail::eval(name, |_| ());
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn boundary(_name: &str) {}
