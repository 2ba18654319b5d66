//! Long lists in pages.

use askama::Template;
use askama::filters::HtmlSafe;

/// How many rows are on one page.
const ROWS: usize = 25;

/// Which page of a list is shown, and the way to the others. Shows nothing if there is only one.
#[derive(Template)]
#[template(path = "parts/pager.html")]
pub(super) struct Pager {
    /// Without the number, and with all else that is to stay as it is.
    address: String,
    /// From 1.
    number: usize,
    pages: usize,
}

impl HtmlSafe for Pager {}

// === impl Pager ===

impl Pager {
    /// `address` ends where the number belongs. A number that is too large stands for the last page.
    pub(super) fn new(rows: usize, wanted: Option<usize>, address: impl Into<String>) -> Self {
        let pages = rows.div_ceil(ROWS).max(1);
        Self {
            address: address.into(),
            number: wanted.unwrap_or(1).clamp(1, pages),
            pages,
        }
    }

    /// The rows of a page, as the store takes them: how many, and how many to leave out before them.
    pub(super) fn window(number: usize) -> (u32, u32) {
        let before = u32::try_from(number.saturating_sub(1).saturating_mul(ROWS)).unwrap_or(u32::MAX);
        (u32::try_from(ROWS).unwrap_or(u32::MAX), before)
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// What is on this page.
    pub(super) fn slice<'a, T>(&self, rows: &'a [T]) -> &'a [T] {
        let start = (self.number - 1) * ROWS;
        &rows[start.min(rows.len())..(start + ROWS).min(rows.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let rows: Vec<usize> = (0..60).collect();
        let slice = |wanted| Pager::new(rows.len(), wanted, "/x?page=").slice(&rows).to_vec();
        assert_eq!(slice(None), rows[..25]);
        assert_eq!(slice(Some(0)), rows[..25]);
        assert_eq!(slice(Some(3)), rows[50..]);
        assert_eq!(slice(Some(usize::MAX)), rows[50..]);
        assert_eq!(Pager::new(0, Some(7), "").slice(&rows[..0]).len(), 0);
        assert_eq!(Pager::window(1), (25, 0));
        assert_eq!(Pager::window(3), (25, 50));
        assert_eq!(Pager::window(usize::MAX), (25, u32::MAX));
    }
}
