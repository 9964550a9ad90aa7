//! How lists are shown, page by page as they come.

use std::io::{self, IsTerminal as _};

use prost_types::Timestamp;
use serde_json::{Value, json};
use sluice_proto::client::ClientError;
use sluice_proto::pb::ObjectInfo;
use sluice_proto::units::format_size;

use crate::command::output::hex;
use crate::command::{Exit, output};

/// Items of a page: few enough that the first lines come at once.
pub(super) const PAGE_ITEMS: i32 = 500;
const GAP: &str = "  ";

/// One line of a list.
pub(super) trait Item {
    /// What the columns are called. The last one may be of any width.
    const HEADINGS: &'static [&'static str];

    /// The columns: for people, or as they are, for programs.
    fn cells(&self, style: Style) -> Vec<String>;

    /// All of it; names as in the contract.
    fn json(&self) -> Value;
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A table for people.
    Table,
    /// Lines of cells with tabs between them.
    Tabs,
    /// One JSON object a line.
    Json,
}

impl Style {
    /// JSON if asked for, a table on a terminal, else tabs.
    pub fn of(json: bool) -> Self {
        match json {
            true => Self::Json,
            false if io::stdout().is_terminal() => Self::Table,
            false => Self::Tabs,
        }
    }

    /// A size in bytes.
    pub fn size(self, bytes: i64) -> String {
        match self {
            Self::Table => format_size(u64::try_from(bytes).unwrap_or_default()),
            Self::Tabs | Self::Json => bytes.to_string(),
        }
    }

    /// A moment in UTC, as RFC 3339 writes it.
    pub fn time(self, time: Option<&Timestamp>) -> String {
        let seconds = |time: &Timestamp| Timestamp { seconds: time.seconds, nanos: 0 }.to_string();
        match self {
            Self::Table => time.map(seconds).unwrap_or_default(),
            Self::Tabs | Self::Json => time.map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// Prints all pages. `page` gets the token of a page, empty for the first, and gives its items and
/// the next token.
///
/// # Errors
/// What the server answered.
pub(super) async fn print<I: Item>(
    style: Style,
    mut page: impl AsyncFnMut(String) -> Result<(Vec<I>, String), ClientError>,
) -> Result<Exit, ClientError> {
    let (mut rows, mut token) = (Rows::new(style), String::new());
    loop {
        let (items, next) = page(token.clone()).await?;
        // Whoever closed the pipe has seen enough.
        if !output::text_block(&rows.page(&items)) || next.is_empty() {
            return Ok(Exit::Done);
        }
        if next == token {
            output::problem("the server tells the same page for ever");
            return Ok(Exit::Failed);
        }
        token = next;
    }
}

struct Rows {
    style: Style,
    /// Of the columns until now, in characters; empty before the first line.
    widths: Vec<usize>,
}

impl Rows {
    fn new(style: Style) -> Self {
        Self { style, widths: Vec::new() }
    }

    fn page<I: Item>(&mut self, items: &[I]) -> String {
        match self.style {
            Style::Json => items.iter().map(|item| format!("{}\n", item.json())).collect(),
            Style::Tabs => {
                items.iter().map(|item| item.cells(self.style).join("\t") + "\n").collect()
            }
            Style::Table => self.table(items),
        }
    }

    fn table<I: Item>(&mut self, items: &[I]) -> String {
        let shown = |cell: String| output::printable(&cell).into_owned();
        let cells = |item: &I| item.cells(self.style).into_iter().map(shown).collect();
        let mut lines: Vec<Vec<String>> = items.iter().map(cells).collect();
        if self.widths.is_empty() && !lines.is_empty() {
            self.widths = vec![0; I::HEADINGS.len()];
            lines.insert(0, I::HEADINGS.iter().map(ToString::to_string).collect());
        }
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        lines.iter().map(|line| self.line(line)).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let padded: Vec<String> = cells
            .iter()
            .zip(&self.widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        padded.join(GAP).trim_end().to_owned() + "\n"
    }
}

/// An object for programs.
pub(super) fn object_json(object: Option<&ObjectInfo>) -> Value {
    object.map_or(Value::Null, |object| {
        json!({
            "bucket": object.bucket,
            "key": object.key,
            "etag": object.etag,
            "size_bytes": object.size_bytes,
            "sha256": hex(&object.sha256),
            "crc64nvme": hex(&object.crc64nvme),
            "version_id": object.version_id,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair(i64, &'static str);

    impl Item for Pair {
        const HEADINGS: &'static [&'static str] = &["SIZE", "NAME"];

        fn cells(&self, style: Style) -> Vec<String> {
            vec![style.size(self.0), self.1.to_owned()]
        }

        fn json(&self) -> Value {
            json!({ "size_bytes": self.0, "filename": self.1 })
        }
    }

    #[test]
    fn a_table_is_aligned_over_its_pages_and_has_one_heading() {
        let mut rows = Rows::new(Style::Table);
        let first = rows.page(&[Pair(1024, "a"), Pair(5, "b c")]);
        assert_eq!(first, "SIZE     NAME\n1.0 KiB  a\n5 B      b c\n");
        assert_eq!(rows.page(&[Pair(7, "d\u{1b}")]), "7 B      d\\u{1b}\n");
        assert_eq!(Rows::new(Style::Table).page::<Pair>(&[]), "");
    }

    #[test]
    fn programs_get_exact_figures() {
        let pairs = [Pair(1024, "a b"), Pair(0, "c")];
        assert_eq!(Rows::new(Style::Tabs).page(&pairs), "1024\ta b\n0\tc\n");
        let lines = Rows::new(Style::Json).page(&pairs);
        let read: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read[0], json!({ "size_bytes": 1024, "filename": "a b" }));
    }

    #[test]
    fn times_are_told_to_the_second_or_as_they_are() {
        let time = Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 };
        assert_eq!(Style::Table.time(Some(&time)), "2023-11-14T22:13:20Z");
        assert_eq!(Style::Json.time(Some(&time)), "2023-11-14T22:13:20.005Z");
        assert_eq!(Style::Tabs.time(None), "");
    }
}
