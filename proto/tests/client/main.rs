//! The client library against a small server that refuses, forgets and lies.

mod fake;
mod upload;
mod watch;
mod ways;
