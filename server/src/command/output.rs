//! Results on stdout.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints one line. Whoever closed the pipe doesn't want the rest, and that is no error.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}
