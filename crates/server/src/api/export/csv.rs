//! CSV as in RFC 4180, safe to open in a spreadsheet.
//!
//! Spreadsheets take a cell that begins with certain characters for a formula, and prompts are written by anybody. So
//! a text that begins with one of them, or with an apostrophe, gets an apostrophe in front, which spreadsheets do not
//! show. Whoever reads with a program gets the text back by taking one leading apostrophe off. Numbers, times and ids
//! of the server's own making begin with none of these.

use std::fmt::Display;

use csv::{StringRecord, Terminator, WriterBuilder};
use gateway_api_types::TokenSums;

/// Something that is a line of CSV.
pub(in crate::api) trait Columns {
    /// What there are many of: the name of the file.
    const NAME: &'static str;

    const COLUMNS: &'static [&'static str];

    /// Writes as many cells as there are columns, in their order.
    fn cells(&self, line: &mut Line);
}

/// A line in the making.
#[derive(Debug, Default)]
pub(in crate::api) struct Line(StringRecord);

/// What a formula can begin with, in some spreadsheet or other; and the apostrophe, so that it can be undone.
const FIRST: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];

// === impl Line ===

impl Line {
    /// A text from outside.
    pub(in crate::api) fn text(&mut self, text: &str) {
        if text.starts_with(FIRST) {
            self.0.push_field(&format!("'{text}"));
        } else {
            self.0.push_field(text);
        }
    }

    /// Nothing if there is none.
    pub(in crate::api) fn maybe_text(&mut self, text: Option<&str>) {
        self.text(text.unwrap_or_default());
    }

    /// Something of the server's own making.
    pub(in crate::api) fn value(&mut self, value: impl Display) {
        self.0.push_field(&value.to_string());
    }

    pub(in crate::api) fn maybe(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.value(value),
            None => self.0.push_field(""),
        }
    }

    pub(in crate::api) fn tokens(&mut self, tokens: &TokenSums) {
        for count in [
            tokens.input_tokens,
            tokens.output_tokens,
            tokens.cache_read_input_tokens,
            tokens.cache_write_input_tokens,
            tokens.reasoning_tokens,
        ] {
            self.value(count);
        }
    }
}

pub(super) fn write_header<R: Columns>(bytes: &mut Vec<u8>) {
    write(bytes, &StringRecord::from(R::COLUMNS));
}

pub(super) fn write_row<R: Columns>(bytes: &mut Vec<u8>, row: &R) {
    let mut line = Line::default();
    row.cells(&mut line);
    debug_assert_eq!(line.0.len(), R::COLUMNS.len(), "of {}", R::NAME);
    write(bytes, &line.0);
}

fn write(bytes: &mut Vec<u8>, record: &StringRecord) {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .buffer_capacity(1024)
        .from_writer(bytes);
    writer
        .write_record(record)
        .and_then(|()| writer.flush().map_err(Into::into))
        .expect("memory takes everything, and one record cannot be unlike the others");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(&'static str);

    impl Columns for Text {
        const NAME: &'static str = "texts";
        const COLUMNS: &'static [&'static str] = &["text"];

        fn cells(&self, line: &mut Line) {
            line.text(self.0);
        }
    }

    #[test]
    fn no_text_is_a_formula_and_each_can_be_got_back() {
        for text in [
            "plain",
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "'=1",
            "＝1",
            "a,b \"c\"\r\nd",
            " =1",
            "ü",
        ] {
            let mut bytes = Vec::new();
            write_header::<Text>(&mut bytes);
            write_row(&mut bytes, &Text(text));
            assert!(bytes.ends_with(b"\r\n"));
            let mut reader = csv::Reader::from_reader(bytes.as_slice());
            let read = reader.records().next().unwrap().unwrap();
            assert!(!read[0].starts_with(&FIRST[..7]), "{text:?}");
            assert_eq!(read[0].strip_prefix('\'').unwrap_or(&read[0]), text);
        }
    }
}
