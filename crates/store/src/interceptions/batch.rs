//! Statements on many rows at once. What comes before and after the rows has no parameters of its own, and knows their
//! columns as `column1`, `column2`, ... on both engines.
//!
//! PostgreSQL takes an array for each column, which costs it far less than a parameter for each value. SQLite, which has
//! no arrays, takes a `VALUES` list. There the numbers of rows are powers of two, filled up with rows of NULL that the
//! statement must pass over, so that the number of distinct statements, which are kept prepared, is bounded.
//!
//! What commits a group has further texts, for one row: where a statement costs no trip, row by row is faster, by a
//! third of what a group takes on SQLite. [`Writer`] is what such statements run on.

use std::borrow::Cow;
use std::sync::OnceLock;

use rusqlite::CachedStatement;
use rusqlite::types::{ToSqlOutput, ValueRef};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, FromRow, SqlStr};

use crate::db::Conn;
use crate::fault::Fault;

/// The most rows of one statement on SQLite, which takes at most 32766 parameters; a long statement is slow to prepare.
const MAX_ROWS: usize = 1 << (SIZES - 1);
const SIZES: usize = 7;

/// A statement is ended early at so many bytes of text: drivers copy what they are given.
const MAX_BYTES: usize = 8 << 20;

/// Statements with more are not kept prepared.
const LARGE: usize = 256 << 10;

/// One value of a row. In one column all are of one variant.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
    Bool(Option<bool>),
}

/// A statement on many rows.
#[derive(Debug)]
pub(super) struct ManyRows {
    head: &'static str,
    width: usize,
    tail: &'static str,
    sqlite: [OnceLock<String>; SIZES],
    postgres: OnceLock<String>,
}

/// What writes rows: one statement for as many as there are, or several for each by itself.
#[derive(Debug)]
pub(super) struct WriteRows {
    many: ManyRows,
    /// With the values of a row as `?1`, `?2`, ..., the last of which need not be used. Of what returns rows, the first
    /// finds what is to be returned, and the others are only run if there is something: on SQLite looking first is a good
    /// deal cheaper than RETURNING, for which it copies each page aside.
    each: &'static [&'static str],
}

/// A row that a [`WriteRows`] returns.
pub(super) trait Returned:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self>;
}

/// What a group is written through: sqlx, or SQLite on the calling thread, where nothing ever waits.
pub(super) trait Writer {
    /// Writes all rows, whose values stand one after the other.
    async fn write(&mut self, statement: &'static WriteRows, values: &[Value<'_>]) -> Result<(), Fault>;

    /// As [`Writer::write`], for a statement that returns rows.
    async fn write_returning<R: Returned>(
        &mut self,
        statement: &'static WriteRows,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, Fault>;
}

/// Rows that one statement takes.
struct Chunk<'r, 'a> {
    values: &'r [Value<'a>],
    bytes: usize,
}

/// Runs something with the query for each chunk, which has another type on each engine.
macro_rules! each_chunk {
    ($self:ident, $conn:ident, $values:ident, $query:expr, |$prepared:ident, $c:ident| $run:expr) => {
        match $conn {
            Conn::Sqlite(connection) => {
                for chunk in $self.chunks($values, MAX_ROWS) {
                    let sql = $self.list(chunk.values.len() / $self.width);
                    let $prepared = $query(SqlStr::from_static(sql), chunk.by_value()?);
                    let ($prepared, $c) = ($prepared.persistent(!chunk.is_large()), &mut **connection);
                    $run
                }
            }
            Conn::Postgres(connection) => {
                for chunk in $self.chunks($values, usize::MAX) {
                    let $prepared =
                        $query(SqlStr::from_static($self.arrays()), chunk.by_column($self.width)?);
                    let ($prepared, $c) = ($prepared.persistent(!chunk.is_large()), &mut **connection);
                    $run
                }
            }
        }
    };
}

// === impl Value ===

impl Value<'_> {
    fn bytes(&self) -> usize {
        self.text().map_or(0, str::len)
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => *number,
            _ => None,
        }
    }

    fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(yes) => *yes,
            _ => None,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().into()
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Bool(Some(yes))
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(yes: Option<bool>) -> Self {
        Self::Bool(yes)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Bool(Some(yes)) => ValueRef::Integer(i64::from(*yes)),
            Self::Text(None) | Self::Int(None) | Self::Bool(None) => ValueRef::Null,
        }))
    }
}

// === impl WriteRows ===

impl WriteRows {
    pub(super) const fn new(many: ManyRows, each: &'static [&'static str]) -> Self {
        Self { many, each }
    }

    /// The statements for each row, prepared.
    fn prepare<'c>(
        &self,
        connection: &'c rusqlite::Connection,
    ) -> rusqlite::Result<Vec<CachedStatement<'c>>> {
        self.each
            .iter()
            .map(|text| connection.prepare_cached(text))
            .collect()
    }
}

// === impl Writer ===

impl Writer for Conn {
    async fn write(&mut self, statement: &'static WriteRows, values: &[Value<'_>]) -> Result<(), Fault> {
        statement.many.execute(self, values).await
    }

    async fn write_returning<R: Returned>(
        &mut self,
        statement: &'static WriteRows,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, Fault> {
        statement.many.fetch(self, values).await
    }
}

impl Writer for &rusqlite::Connection {
    async fn write(&mut self, statement: &'static WriteRows, values: &[Value<'_>]) -> Result<(), Fault> {
        if values.is_empty() {
            return Ok(());
        }
        let mut prepared = statement.prepare(self)?;
        for row in values.chunks(statement.many.width) {
            for prepared in &mut prepared {
                let values = parameters(prepared, row);
                prepared.execute(values)?;
            }
        }
        Ok(())
    }

    async fn write_returning<R: Returned>(
        &mut self,
        statement: &'static WriteRows,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, Fault> {
        let mut returned = Vec::new();
        if values.is_empty() {
            return Ok(returned);
        }
        let mut prepared = statement.prepare(self)?;
        let Some((first, others)) = prepared.split_first_mut() else {
            return Ok(returned);
        };
        for row in values.chunks(statement.many.width) {
            let before = returned.len();
            let values = parameters(first, row);
            let mut rows = first.query(values)?;
            while let Some(row) = rows.next()? {
                returned.push(R::read(row)?);
            }
            drop(rows);
            if returned.len() > before {
                for other in &mut *others {
                    let values = parameters(other, row);
                    other.execute(values)?;
                }
            }
        }
        Ok(returned)
    }
}

/// Those of a row that the statement uses.
fn parameters<'r, 'a>(
    statement: &CachedStatement<'_>,
    row: &'r [Value<'a>],
) -> rusqlite::ParamsFromIter<&'r [Value<'a>]> {
    rusqlite::params_from_iter(&row[..statement.parameter_count()])
}

// === impl ManyRows ===

impl ManyRows {
    /// `head` ends and `tail` begins around the rows, which have `width` columns and are called `v`.
    pub(super) const fn new(head: &'static str, width: usize, tail: &'static str) -> Self {
        Self {
            head,
            width,
            tail,
            sqlite: [const { OnceLock::new() }; SIZES],
            postgres: OnceLock::new(),
        }
    }

    /// Runs the statement on all rows, whose values stand one after the other, in as many parts as are needed.
    async fn execute(&'static self, conn: &mut Conn, values: &[Value<'_>]) -> Result<(), Fault> {
        each_chunk!(self, conn, values, sqlx::query_with, |query, c| {
            query.execute(c).await?;
        });
        Ok(())
    }

    /// As [`ManyRows::execute`], for a statement that returns rows.
    pub(super) async fn fetch<R>(
        &'static self,
        conn: &mut Conn,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, Fault>
    where
        R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut rows = Vec::new();
        each_chunk!(self, conn, values, sqlx::query_as_with, |query, c| {
            rows.extend::<Vec<R>>(query.fetch_all(c).await?);
        });
        Ok(rows)
    }

    /// Parts of the rows, none of more than so many or of very much text.
    fn chunks<'r, 'a>(
        &self,
        values: &'r [Value<'a>],
        most: usize,
    ) -> impl Iterator<Item = Chunk<'r, 'a>> + use<'r, 'a> {
        let width = self.width;
        debug_assert!(values.len().is_multiple_of(width), "rows are whole");
        let mut left = values;
        std::iter::from_fn(move || {
            let (mut rows, mut bytes) = (0, 0);
            for row in left.chunks(width).take(most) {
                let more: usize = row.iter().map(Value::bytes).sum();
                if rows > 0 && bytes + more > MAX_BYTES {
                    break;
                }
                (rows, bytes) = (rows + 1, bytes + more);
            }
            let values;
            (values, left) = left.split_at(rows * width);
            (rows > 0).then_some(Chunk { values, bytes })
        })
    }

    /// The statement for SQLite that takes so many rows, and some more to make a power of two.
    fn list(&'static self, rows: usize) -> &'static str {
        let rows = rows.next_power_of_two();
        self.sqlite[rows.ilog2() as usize].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.width].join(", "));
            // With numbers, finding the parameters of a statement takes time quadratic in them.
            let list = vec![row; rows].join(", ");
            format!("{}(VALUES {list}) AS v{}", self.head, self.tail)
        })
    }

    /// The statement for PostgreSQL, whatever the number of rows.
    fn arrays(&'static self) -> &'static str {
        self.postgres.get_or_init(|| {
            let each = |prefix| {
                let numbered = (1..=self.width).map(|number| format!("{prefix}{number}"));
                numbered.collect::<Vec<_>>().join(", ")
            };
            let (arrays, columns) = (each("$"), each("column"));
            format!("{}unnest({arrays}) AS v({columns}){}", self.head, self.tail)
        })
    }
}

// === impl Chunk ===

impl Chunk<'_, '_> {
    /// A prepared statement on SQLite holds its last parameters until it is used again.
    fn is_large(&self) -> bool {
        self.bytes > LARGE
    }

    /// What is missing to the rows of the statement is NULL without being bound.
    fn by_value(&self) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            match value {
                Value::Text(text) => arguments.add(text.as_deref()),
                Value::Int(number) => arguments.add(*number),
                Value::Bool(yes) => arguments.add(*yes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    fn by_column(&self, width: usize) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for (column, first) in self.values.iter().take(width).enumerate() {
            let values = self.values[column..].iter().step_by(width);
            match first {
                Value::Text(_) => arguments.add(values.map(Value::text).collect::<Vec<_>>()),
                Value::Int(_) => arguments.add(values.map(Value::int).collect::<Vec<_>>()),
                Value::Bool(_) => arguments.add(values.map(Value::bool).collect::<Vec<_>>()),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static STATEMENT: ManyRows = ManyRows::new("SELECT * FROM ", 2, " ORDER BY 1");

    #[test]
    fn rows_are_cut_into_statements_of_bounded_size() {
        let sizes = |values: &[Value<'_>]| {
            STATEMENT
                .chunks(values, MAX_ROWS)
                .map(|chunk| chunk.values.len() / 2)
                .collect::<Vec<_>>()
        };
        let rows = |count, text: &'static str| {
            let row = [Value::from(1), Value::from(text)];
            std::iter::repeat_n(row, count).flatten().collect::<Vec<_>>()
        };
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&rows(5, "x")), [5]);
        assert_eq!(sizes(&rows(64, "x")), [64]);
        assert_eq!(sizes(&rows(131, "x")), [64, 64, 3]);
        let long: &'static str = "x".repeat(MAX_BYTES).leak();
        assert_eq!(sizes(&rows(2, long)), [1, 1]);
    }

    #[test]
    fn one_text_but_for_the_rows() {
        for (rows, expected) in [
            (1, "SELECT * FROM (VALUES (?, ?)) AS v ORDER BY 1"),
            (
                3,
                "SELECT * FROM (VALUES (?, ?), (?, ?), (?, ?), (?, ?)) AS v ORDER BY 1",
            ),
        ] {
            assert_eq!(STATEMENT.list(rows), expected);
        }
        assert_eq!(
            STATEMENT.arrays(),
            "SELECT * FROM unnest($1, $2) AS v(column1, column2) ORDER BY 1"
        );
    }
}
