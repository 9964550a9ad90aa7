//! How a repeat ends before its time: it failed, or someone pressed Ctrl-C.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a repeat is no figure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It is kept as one that failed, and the next runs.
    #[error("{0}")]
    Failed(String),
    /// Nothing more is to run.
    #[error("interrupted")]
    Interrupted,
}

impl Ended {
    /// For what failed.
    pub const fn failed(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Whether someone wants it to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Notices SIGINT and SIGTERM from now on; a second one ends this process at once, and with it
    /// all that it started.
    ///
    /// # Errors
    /// When signals can't be had.
    pub fn on_signal() -> io::Result<Self> {
        let interrupt = Self::default();
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let flag = interrupt.0.clone();
            signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
            signal_hook::flag::register(signal, flag)?;
        }
        Ok(interrupt)
    }

    /// Goes on.
    ///
    /// # Errors
    /// When it shall end.
    pub fn check(&self) -> Result<(), Ended> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Ended::Interrupted),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_noticed() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.check(), Ok(()));
        interrupt.0.store(true, Ordering::Relaxed);
        assert_eq!(interrupt.check(), Err(Ended::Interrupted));
    }
}
