//! All that names glommio.

pub mod file;
