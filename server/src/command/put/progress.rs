//! Progress on stderr: a bar on a terminal, now and then a line elsewhere.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};
use sluice_proto::client::Progress;
use sluice_proto::units::format_size;

use crate::command::output;

/// Without a size a line comes every so many bytes.
const LINE_BYTES: u64 = 256 << 20;
/// With one, every so many parts of a hundred.
const LINE_PERCENT: u64 = 10;
/// Of a folder, also every so many files.
const LINE_FILES: u64 = 1000;
/// Longer names lose their beginning, so that the bar stays on one line.
const NAME_CHARS_MAX: usize = 30;

const WITH_SIZE: &str = "{msg} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  \
                         {binary_bytes_per_sec}  ETA {eta}{prefix}";
const WITHOUT_SIZE: &str = "{msg}  {binary_bytes}  {binary_bytes_per_sec}{prefix}";

/// Shows how one file gets on.
pub(super) struct Display {
    name: String,
    how: How,
    told_resume: bool,
}

enum How {
    Quiet,
    Bar(ProgressBar),
    /// The step of the last line.
    Lines(u64),
}

impl Display {
    /// For a file of `size_bytes`, if that is known.
    pub fn new(name: &str, size_bytes: Option<u64>, quiet: bool) -> Self {
        let name = short(name);
        let how = How::new(quiet, || bar(&name, size_bytes));
        Self { name, how, told_resume: false }
    }

    /// Shows what was acknowledged by now.
    pub fn show(&mut self, progress: &Progress) {
        let first_resume = progress.resumed_bytes > 0 && !self.told_resume;
        self.told_resume |= first_resume;
        if first_resume && !matches!(self.how, How::Quiet) {
            let resumed = format_size(progress.resumed_bytes);
            let line = format!("{}: resumed at {resumed}", self.name);
            self.how.beside(|| output::note(line));
        }
        match &mut self.how {
            How::Quiet => {}
            How::Bar(bar) => {
                bar.set_prefix(tail(progress.in_flight, progress.retries));
                bar.set_position(progress.acked_bytes);
                if first_resume {
                    // What an earlier try sent says nothing of this one's speed.
                    bar.reset_eta();
                }
            }
            How::Lines(last) => {
                let step = step(progress);
                if step > *last {
                    *last = step;
                    output::note(format_args!("{}: {}", self.name, line(progress)));
                }
            }
        }
    }

    /// Takes the bar away, so that what is printed next stands alone.
    pub fn end(self) {
        self.how.end();
    }
}

/// Shows how all files of a folder get on.
pub(super) struct FolderDisplay {
    name: String,
    how: How,
}

impl FolderDisplay {
    pub fn new(name: &str, quiet: bool) -> Self {
        let name = short(name);
        let how = How::new(quiet, || bar(&name, None));
        Self { name, how }
    }

    /// Shows what is stored by now, and what is under way.
    pub fn show(&mut self, files: u64, acked_bytes: u64, in_flight: usize) {
        match &mut self.how {
            How::Quiet => {}
            How::Bar(bar) => {
                bar.set_message(format!("{}  {files} files", self.name));
                bar.set_prefix(format!(" \u{b7} {in_flight} parallel"));
                bar.set_position(acked_bytes);
            }
            How::Lines(last) => {
                let step = acked_bytes / LINE_BYTES + files / LINE_FILES;
                if step > *last {
                    *last = step;
                    let acked = format_size(acked_bytes);
                    output::note(format_args!("{}: {files} files, {acked}", self.name));
                }
            }
        }
    }

    /// Prints something that stays, above the bar.
    pub fn beside(&self, print: impl FnOnce()) {
        self.how.beside(print);
    }

    /// As [`Display::end`].
    pub fn end(self) {
        self.how.end();
    }
}

impl How {
    fn new(quiet: bool, bar: impl FnOnce() -> ProgressBar) -> Self {
        match quiet {
            true => Self::Quiet,
            false if can_redraw() => Self::Bar(bar()),
            false => Self::Lines(0),
        }
    }

    fn beside(&self, print: impl FnOnce()) {
        match self {
            Self::Bar(bar) => bar.suspend(print),
            Self::Quiet | Self::Lines(_) => print(),
        }
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn can_redraw() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// The end of a long name, which tells more than its beginning.
fn short(name: &str) -> String {
    let name = output::printable(name);
    let surplus = name.chars().count().saturating_sub(NAME_CHARS_MAX);
    match surplus {
        0 => name.into_owned(),
        _ => format!("\u{2026}{}", name.chars().skip(surplus + 1).collect::<String>()),
    }
}

fn tail(in_flight: usize, retries: u64) -> String {
    format!(" \u{b7} {in_flight} parallel \u{b7} {retries} retries")
}

fn bar(name: &str, size_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match size_bytes {
        Some(size) => (ProgressBar::new(size), WITH_SIZE),
        None => (ProgressBar::no_length(), WITHOUT_SIZE),
    };
    let style = ProgressStyle::with_template(template).expect("the template is fixed");
    bar.with_style(style).with_message(name.to_owned())
}

fn step(progress: &Progress) -> u64 {
    match progress.size_bytes {
        Some(size) => percent(progress.acked_bytes, size) / LINE_PERCENT,
        None => progress.acked_bytes / LINE_BYTES,
    }
}

fn line(progress: &Progress) -> String {
    let acked = format_size(progress.acked_bytes);
    match progress.size_bytes {
        Some(size) => {
            format!("{} %, {acked} of {}", percent(progress.acked_bytes, size), format_size(size))
        }
        None => acked,
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 100,
        _ => (u128::from(part) * 100 / u128::from(whole)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_of_what() {
        let half = Progress { acked_bytes: 512, size_bytes: Some(1024), ..Default::default() };
        assert_eq!((line(&half), step(&half)), ("50 %, 512 B of 1.0 KiB".to_owned(), 5));
        let open = Progress { acked_bytes: 3 << 28, ..Default::default() };
        assert_eq!((line(&open), step(&open)), ("768.0 MiB".to_owned(), 3));
        assert_eq!((percent(0, 0), percent(u64::MAX, u64::MAX)), (100, 100));
    }

    #[test]
    fn both_templates_are_valid() {
        for size in [Some(1), None] {
            bar("name", size).finish_and_clear();
        }
    }

    #[test]
    fn a_long_name_stays_on_the_line() {
        assert_eq!(short("a.iso"), "a.iso");
        let long = short(&format!("{}end", "\u{e9}".repeat(300)));
        assert_eq!(long.chars().count(), NAME_CHARS_MAX);
        assert!(long.starts_with('\u{2026}') && long.ends_with("\u{e9}end"), "{long}");
    }
}
