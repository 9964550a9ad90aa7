//! One page of a list.

use rusqlite::{Row, Rows};

/// How much one page takes; one item fits always.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Items.
    pub items_max: usize,
    /// Bytes of all items, about: the page ends with the item that reaches them.
    pub bytes_max: usize,
}

/// The next items of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In their order.
    pub items: Vec<T>,
    /// Nothing comes after them.
    pub is_last: bool,
}

impl PageLimit {
    /// Takes rows, each with its bytes, until the page is full. What comes after is looked for and
    /// not read.
    pub(super) fn take<T>(
        self,
        mut rows: Rows<'_>,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<(T, usize)>,
    ) -> rusqlite::Result<Page<T>> {
        let (mut items, mut page_bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            if items.len() >= self.items_max || page_bytes >= self.bytes_max {
                return Ok(Page { items, is_last: false });
            }
            let (item, bytes) = read(row)?;
            items.push(item);
            page_bytes += bytes;
        }
        Ok(Page { items, is_last: true })
    }
}
