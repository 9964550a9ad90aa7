//! What is printed: results on stdout, everything else on stderr.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints one line of the result. `false`: whoever closed the pipe doesn't want the rest, and that
/// is no error.
pub(super) fn line(text: impl Display) -> bool {
    text_block(&format!("{text}\n"))
}

/// Prints text as it is; as [`line`].
pub(super) fn text_block(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// Says something on stderr. Nobody may be there to read it, which `eprintln` dies of.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says what went wrong.
pub(super) fn problem(text: impl Display) {
    note(format_args!("sluice: {text}"));
}

/// A name as it can be shown: one with control characters could steer the terminal.
pub(super) fn printable(name: &str) -> Cow<'_, str> {
    match name.chars().any(char::is_control) {
        true => Cow::Owned(name.escape_debug().to_string()),
        false => Cow::Borrowed(name),
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_steers_the_terminal() {
        assert_eq!(printable("r\u{e9}sum\u{e9} 1.txt"), "r\u{e9}sum\u{e9} 1.txt");
        assert_eq!(printable("\u{1b}[2J\n"), "\\u{1b}[2J\\n");
    }
}
