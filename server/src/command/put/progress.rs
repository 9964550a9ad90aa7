//! Progress on stderr: a bar on a terminal, now and then a line elsewhere.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};
use sluice_proto::client::Progress;

use sluice_proto::units::format_size;

/// Without a size a line comes every so many bytes.
const LINE_BYTES: u64 = 256 << 20;
/// With one, every so many parts of a hundred.
const LINE_PERCENT: u64 = 10;

const WITH_SIZE: &str =
    "{msg} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}";
const WITHOUT_SIZE: &str = "{msg} {binary_bytes}  {binary_bytes_per_sec}";

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
        let how = match quiet {
            true => How::Quiet,
            false if io::stderr().is_terminal() => How::Bar(bar(name, size_bytes)),
            false => How::Lines(0),
        };
        Self { name: name.to_owned(), how, told_resume: false }
    }

    /// Shows what was acknowledged by now.
    pub fn show(&mut self, progress: &Progress) {
        let first_resume = progress.resumed_bytes > 0 && !self.told_resume;
        self.told_resume |= first_resume;
        match &mut self.how {
            How::Quiet => {}
            How::Bar(bar) => {
                bar.set_position(progress.acked_bytes);
                if first_resume {
                    // What an earlier try sent says nothing of this one's speed.
                    bar.reset_eta();
                }
            }
            How::Lines(last) => {
                if first_resume {
                    eprintln!("{}: resumed at {}", self.name, format_size(progress.resumed_bytes));
                }
                let step = step(progress);
                if step > *last {
                    *last = step;
                    eprintln!("{}: {}", self.name, line(progress));
                }
            }
        }
    }

    /// Takes the bar away, so that what is printed next stands alone.
    pub fn end(self) {
        if let How::Bar(bar) = self.how {
            bar.finish_and_clear();
        }
    }
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
}
