//! Copying what the server streams to standard output, without holding it.

use serde::Deserialize;

use super::filters::{Limits, Parameter, borrowed};
use crate::client::{Client, ClientError};
use crate::commands::Context;
use crate::progress::{self, Progress};

/// What is asked for and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    /// JSON objects, a line each, that become one array.
    Json,
}

/// The beginning of a page, for the progress.
#[derive(Deserialize)]
struct Counted {
    count: u64,
    #[serde(default)]
    count_capped: bool,
}

/// Copies a list that takes filters, with its progress.
pub(super) async fn copy_list(
    context: &Context,
    path: &[&str],
    mut query: Vec<Parameter>,
    limits: Limits,
    form: Form,
) -> anyhow::Result<()> {
    let client = context.client()?;
    let limit = limits.of_export();
    let total = if progress::is_shown() {
        total(&client, path, &query, limit).await?
    } else {
        None
    };
    query.extend(limit.map(|limit| ("limit", limit.to_string())));
    copy(context, &client, path, &query, form, total).await
}

/// How many rows there will be; none if that is not known.
async fn total(
    client: &Client,
    path: &[&str],
    query: &[Parameter],
    limit: Option<u64>,
) -> Result<Option<u64>, ClientError> {
    let mut query = borrowed(query);
    query.push(("limit", "1"));
    let counted: Counted = client.get_with(path, &query).await?;
    Ok(match limit {
        Some(limit) if counted.count >= limit => Some(limit),
        _ => (!counted.count_capped).then_some(counted.count),
    })
}

pub(super) async fn copy(
    context: &Context,
    client: &Client,
    path: &[&str],
    query: &[Parameter],
    form: Form,
    total: Option<u64>,
) -> anyhow::Result<()> {
    let mut progress = Progress::new(total);
    let media_type = match form {
        Form::Csv => "text/csv",
        Form::Json => "application/x-ndjson",
    };
    let mut download = client.download(path, &borrowed(query), media_type).await?;
    let mut records = Records::default();
    let mut array = Array::default();
    while let Some(piece) = download.piece().await? {
        let piece = piece.as_ref();
        progress.add(match form {
            Form::Csv => records.count(piece),
            Form::Json => piece.iter().map(|byte| u64::from(*byte == b'\n')).sum(),
        });
        match form {
            Form::Csv => context.output.bytes(piece)?,
            Form::Json => context.output.bytes(&array.add(piece))?,
        }
    }
    drop(progress);
    if form == Form::Json {
        context.output.bytes(array.end())?;
    }
    Ok(())
}

/// Counts records of CSV, in which ends of lines may stand between quotation marks.
#[derive(Debug, Default)]
struct Records {
    is_quoted: bool,
}

/// Makes one array of lines, each of which stays a line.
#[derive(Debug, Default)]
struct Array {
    has_begun: bool,
    within_line: bool,
}

// === impl Records ===

impl Records {
    fn count(&mut self, piece: &[u8]) -> u64 {
        let mut count = 0;
        for byte in piece {
            match byte {
                b'"' => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => count += 1,
                _ => {}
            }
        }
        count
    }
}

// === impl Array ===

impl Array {
    fn add(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 32);
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            if !self.within_line {
                out.extend_from_slice(if self.has_begun { b",\n  " } else { b"[\n  " });
                self.has_begun = true;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            out.extend_from_slice(text);
            self.within_line = text.len() == line.len();
        }
        out
    }

    fn end(&self) -> &'static [u8] {
        if self.has_begun { b"\n]\n" } else { b"[]\n" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_an_array_however_they_are_cut() {
        let text = b"{\"a\":1}\n{}\n{\"b\":\"\\n\"}\n";
        let whole = "[\n  {\"a\":1},\n  {},\n  {\"b\":\"\\n\"}\n]\n";
        for size in 1..=text.len() {
            let mut array = Array::default();
            let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| array.add(piece)).collect();
            out.extend_from_slice(array.end());
            assert_eq!(String::from_utf8(out).unwrap(), whole, "{size}");
        }
        assert_eq!(Array::default().end(), b"[]\n");
    }

    #[test]
    fn records_are_counted_and_not_lines() {
        let text = b"a,b\r\n\"x\ny\",\"\"\"\n\"\r\n1,2\r\n";
        for size in 1..=text.len() {
            let mut records = Records::default();
            let count: u64 = text.chunks(size).map(|piece| records.count(piece)).sum();
            assert_eq!(count, 3, "{size}");
        }
    }
}
