//! All that names glommio.

pub mod executor;
pub mod file;
pub mod kernel;
mod line;
pub mod local;
pub mod mesh;
pub mod net;
pub mod pacer;
pub mod task;
pub mod timer;
