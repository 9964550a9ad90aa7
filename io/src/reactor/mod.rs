//! All that names glommio.

pub mod executor;
pub mod file;
pub mod pacer;
