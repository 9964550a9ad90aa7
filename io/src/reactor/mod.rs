//! All that names glommio.

pub mod executor;
pub mod file;
pub mod mesh;
pub mod pacer;
pub mod task;
pub mod timer;
