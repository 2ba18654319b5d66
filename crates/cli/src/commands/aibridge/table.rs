//! Tables of lists that come in pages.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::filters::{Filters, Limits, borrowed};
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::Column;

/// A page of a list.
pub(super) trait Page: DeserializeOwned {
    type Row;

    /// How many match altogether, as far as was counted.
    fn count(&self) -> u64;

    /// With as much of long texts as a table shows: it needs all its rows at once.
    fn rows(self) -> Vec<Self::Row>;

    fn id(row: &Self::Row) -> Uuid;
}

/// As many as the server gives at once.
const PAGE: u64 = 1000;

/// Prints as many rows as are wanted, and says if there are more.
pub(super) async fn print<P: Page, C: Column<Row = P::Row>>(
    context: &Context,
    path: &[&str],
    filters: &Filters,
    limits: Limits,
    columns: &[C],
) -> anyhow::Result<Exit> {
    let client = context.client()?;
    let limit = limits.of_table();
    let mut rows: Vec<P::Row> = Vec::new();
    let has_more = loop {
        let wanted = limit.map_or(PAGE, |limit| PAGE.min(limit - rows.len() as u64));
        let mut query = filters.query();
        query.push(("limit", wanted.to_string()));
        query.extend(rows.last().map(|row| ("after_id", P::id(row).to_string())));
        let page: P = client.get_with(path, &borrowed(&query)).await?;
        let count = page.count();
        let before = rows.len();
        rows.extend(page.rows());
        if rows.len() == before {
            break false;
        }
        if limit.is_some_and(|limit| rows.len() as u64 >= limit) {
            break count > rows.len() as u64;
        }
    };
    if rows.is_empty() {
        context.output.note("Nothing found.");
        return Ok(Exit::Success);
    }
    context.output.table(columns, &rows)?;
    if has_more {
        let count = rows.len();
        context
            .output
            .note(&format!("There are more than these {count}; `--all` shows all."));
    }
    Ok(Exit::Success)
}
