//! The only place that prints: results to standard output, everything else to standard error.

use std::io::{self, Write as _};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use gateway_api_types::Time;
use serde::Serialize;

/// Where results and notes go. A value, so that what prints says so in its signature.
#[derive(Debug)]
pub(crate) struct Output {
    results: io::Stdout,
    notes: io::Stderr,
}

/// Whoever read standard output has closed it. Not a failure of the command.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct OutputClosed;

/// `-o` of commands that show a list or an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
}

/// `-o` of commands that also export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    #[default]
    Table,
    Json,
    Csv,
}

/// `-o` of commands that show one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    #[default]
    Text,
    Json,
}

/// The columns of a table: each variant is one, in the order in which they are shown.
pub(crate) trait Column: ValueEnum + Copy + Ord {
    type Row;

    fn cell(self, row: &Self::Row) -> String;

    /// Numbers stand at the right.
    fn is_number(self) -> bool {
        false
    }

    /// The name as it is given to `-c`.
    fn title(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

// === impl Output ===

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            results: io::stdout(),
            notes: io::stderr(),
        }
    }

    /// A result, as it is.
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// A piece of a result, as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = self.results.lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
            Err(error) => Err(anyhow::Error::new(error).context("cannot write to standard output")),
        }
    }

    /// A result of one line.
    pub(crate) fn line(&self, line: &str) -> anyhow::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// A result as JSON, indented by two spaces.
    pub(crate) fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string_pretty(value)?)
    }

    pub(crate) fn table<C: Column>(&self, columns: &[C], rows: &[C::Row]) -> anyhow::Result<()> {
        self.text(&table(columns, rows))
    }

    /// Something that is not the result. That it cannot be written is nobody's loss.
    pub(crate) fn note(&self, note: &str) {
        let _ = writeln!(self.notes.lock(), "{note}");
    }

    /// The beginning of a line on which the answer to a question is typed.
    pub(crate) fn question(&self, question: &str) {
        let mut stderr = self.notes.lock();
        let _ = write!(stderr, "{question} ").and_then(|()| stderr.flush());
    }
}

/// Upper-case headers, no borders, two blanks between columns. Columns stand in the table's own order.
pub(crate) fn table<C: Column>(columns: &[C], rows: &[C::Row]) -> String {
    let mut columns = columns.to_vec();
    columns.sort_unstable();
    columns.dedup();
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty()
        .set_header(columns.iter().map(|column| column.title().to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|column| visible(&column.cell(row))));
    }
    for (shown, column) in table.column_iter_mut().zip(&columns) {
        shown.set_padding((0, 2));
        if column.is_number() {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// A time for people: RFC 3339 in UTC, whole seconds.
pub(crate) fn time(time: Time) -> String {
    if time.is_never() {
        return "never".to_owned();
    }
    format!("{:.0}", time.as_jiff())
}

/// The beginning of a text, in one line: blanks and ends of lines are one blank.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        for c in (length > 0).then_some(' ').into_iter().chain(word.chars()) {
            if length == longest {
                line.push('…');
                return line;
            }
            line.push(c);
            length += 1;
        }
    }
    line
}

/// A text of several lines, each of them indented.
pub(crate) fn paragraph(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.lines() {
        shown.push_str(format!("  {}", visible(&line.replace('\t', "    "))).trim_end());
        shown.push('\n');
    }
    shown
}

/// The text with everything escaped that could move the cursor, hide, or turn around other text on a terminal.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Zero-width and bidirectional format characters, and line separators.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
    enum Fruit {
        #[value(name = "name")]
        Name,
        #[value(name = "how many")]
        Count,
    }

    impl Column for Fruit {
        type Row = (&'static str, u32);

        fn cell(self, row: &Self::Row) -> String {
            match self {
                Self::Name => row.0.to_owned(),
                Self::Count => row.1.to_string(),
            }
        }

        fn is_number(self) -> bool {
            self == Self::Count
        }
    }

    #[test]
    fn a_table_keeps_its_own_order_and_escapes_what_moves_the_cursor() {
        let rows = [("apple", 3), ("e\u{1b}[2Jvil\n", 10)];
        assert_eq!(
            table(&[Fruit::Count, Fruit::Name, Fruit::Count], &rows),
            "NAME             HOW MANY\napple                   3\ne\\u{1b}[2Jvil\\n        10\n"
        );
    }

    #[test]
    fn a_long_text_becomes_one_short_line() {
        assert_eq!(one_line("  a\n\tb  ", 10), "a b");
        assert_eq!(one_line("ääää ööö", 4), "ääää…");
        assert_eq!(one_line("ääää", 4), "ääää");
        assert_eq!(one_line(" \n", 4), "");
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("käse 🧀"), "käse 🧀");
        assert_eq!(visible("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }

    #[test]
    fn times_are_whole_seconds() {
        let then: Time = serde_json::from_str("\"2026-01-02T03:04:05.999999Z\"").unwrap();
        assert_eq!(time(then), "2026-01-02T03:04:05Z");
        assert_eq!(time(Time::NEVER), "never");
    }
}
