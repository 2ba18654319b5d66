//! How far a long export has come, drawn on standard error if that is a terminal.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What takes less is not long.
const SHORT: Duration = Duration::from_secs(1);

const KNOWN: &str = "{bar:30} {human_pos} of {human_len} rows, {eta} left";
const UNKNOWN: &str = "{spinner} {human_pos} rows, {elapsed}";

/// Counts rows; appears once that has taken a while.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    total: Option<u64>,
    rows: u64,
    bar: Option<ProgressBar>,
}

/// Whether anybody would see it.
pub(crate) fn is_shown() -> bool {
    stderr().is_terminal()
}

// === impl Progress ===

impl Progress {
    pub(crate) fn new(total: Option<u64>) -> Self {
        Self {
            begun: Instant::now(),
            total,
            rows: 0,
            bar: None,
        }
    }

    pub(crate) fn add(&mut self, rows: u64) {
        self.rows += rows;
        if self.bar.is_none() && is_shown() && self.begun.elapsed() > SHORT {
            self.bar = Some(bar(self.total).with_elapsed(self.begun.elapsed()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.rows);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// On standard error, as indicatif's bars are.
fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), KNOWN),
        None => (ProgressBar::new_spinner(), UNKNOWN),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the templates are right"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_right() {
        for total in [None, Some(3)] {
            bar(total).finish_and_clear();
        }
    }
}
