//! Statements on many rows at once, each row a line of one `VALUES` list.
//!
//! The numbers of rows are powers of two, filled up with rows of NULL that the statement must pass over, so that the
//! number of distinct statements, which are kept prepared, is bounded. What comes before and after the list has no
//! parameters of its own. The columns of the list are called `column1`, `column2`, ... on both engines.
//!
//! What commits a group has a second text, for one row: where a statement costs no trip, row by row is faster, by a
//! third of what a group takes on SQLite. [`Writer`] is what such statements run on.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

use rusqlite::types::{ToSqlOutput, ValueRef};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, SqlStr};

use crate::db::{Conn, on};
use crate::fault::Fault;
use crate::target::Engine;

/// The most rows of one statement. SQLite takes at most 32766 parameters, and a long statement is slow to prepare.
const MAX_ROWS: usize = 1 << (SIZES - 1);
const SIZES: usize = 7;

/// A statement is ended early at so many bytes of text: drivers copy what they are given.
const MAX_BYTES: usize = 8 << 20;

/// A prepared statement on SQLite holds its last parameters until it is used again, so large ones are not kept.
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
    postgres: [OnceLock<String>; SIZES],
}

/// A statement that writes rows, as many at once as there are, or each by itself.
#[derive(Debug)]
pub(super) struct WriteRows {
    many: ManyRows,
    /// With the values of a row as `?1`, `?2`, ...
    one: &'static str,
    /// Where `one` only finds what is to be returned: what is done to it.
    then: Option<&'static str>,
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
    sql: &'static str,
    values: &'r [Value<'a>],
    /// How many rows of NULL are to follow.
    missing: usize,
    is_large: bool,
}

/// Binds the values of a chunk, and on PostgreSQL the missing rows too: there a NULL has a type.
macro_rules! bound {
    ($query:expr, $chunk:expr, $width:expr, $engine:expr) => {{
        let mut query = $query.persistent(!$chunk.is_large);
        for value in $chunk.values {
            query = match value {
                Value::Text(text) => query.bind(text.as_deref()),
                Value::Int(number) => query.bind(*number),
                Value::Bool(yes) => query.bind(*yes),
            };
        }
        if $engine == Engine::Postgres {
            for value in (0..$chunk.missing).flat_map(|_| &$chunk.values[..$width]) {
                query = match value {
                    Value::Text(_) => query.bind(None::<&str>),
                    Value::Int(_) => query.bind(None::<i64>),
                    Value::Bool(_) => query.bind(None::<bool>),
                };
            }
        }
        query
    }};
}

// === impl Value ===

impl Value<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(Some(text)) => text.len(),
            _ => 0,
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
    pub(super) const fn new(many: ManyRows, one: &'static str) -> Self {
        Self {
            many,
            one,
            then: None,
        }
    }

    /// On SQLite looking first is a good deal cheaper than RETURNING, for which it copies each page aside.
    pub(super) const fn then(mut self, then: &'static str) -> Self {
        self.then = Some(then);
        self
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
        let mut prepared = self.prepare_cached(statement.one)?;
        for row in values.chunks(statement.many.width) {
            prepared.execute(rusqlite::params_from_iter(row))?;
        }
        Ok(())
    }

    async fn write_returning<R: Returned>(
        &mut self,
        statement: &'static WriteRows,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, Fault> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut prepared = self.prepare_cached(statement.one)?;
        let mut then = statement.then.map(|text| self.prepare_cached(text)).transpose()?;
        let mut returned = Vec::new();
        for values in values.chunks(statement.many.width) {
            let before = returned.len();
            let mut rows = prepared.query(rusqlite::params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                returned.push(R::read(row)?);
            }
            if let (Some(then), true) = (&mut then, returned.len() > before) {
                then.execute(rusqlite::params_from_iter(values))?;
            }
        }
        Ok(returned)
    }
}

// === impl ManyRows ===

impl ManyRows {
    /// `head` ends and `tail` begins around the lines of a `VALUES` list that has `width` columns.
    pub(super) const fn new(head: &'static str, width: usize, tail: &'static str) -> Self {
        Self {
            head,
            width,
            tail,
            sqlite: [const { OnceLock::new() }; SIZES],
            postgres: [const { OnceLock::new() }; SIZES],
        }
    }

    /// Runs the statement on all rows, whose values stand one after the other, in as many parts as are needed.
    async fn execute(&'static self, conn: &mut Conn, values: &[Value<'_>]) -> Result<(), Fault> {
        let engine = conn.engine();
        for chunk in self.chunks(engine, values) {
            on!(conn, |c| bound!(
                sqlx::query(SqlStr::from_static(chunk.sql)),
                chunk,
                self.width,
                engine
            )
            .execute(c)
            .await
            .map(drop))?;
        }
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
        let engine = conn.engine();
        let mut rows = Vec::new();
        for chunk in self.chunks(engine, values) {
            let part: Vec<R> = on!(conn, |c| bound!(
                sqlx::query_as::<_, R>(SqlStr::from_static(chunk.sql)),
                chunk,
                self.width,
                engine
            )
            .fetch_all(c)
            .await)?;
            rows.extend(part);
        }
        Ok(rows)
    }

    fn chunks<'r, 'a>(
        &'static self,
        engine: Engine,
        values: &'r [Value<'a>],
    ) -> impl Iterator<Item = Chunk<'r, 'a>> {
        debug_assert!(values.len().is_multiple_of(self.width), "rows are whole");
        let mut left = values;
        std::iter::from_fn(move || {
            let (mut rows, mut bytes) = (0, 0);
            for row in left.chunks(self.width).take(MAX_ROWS) {
                let more: usize = row.iter().map(Value::bytes).sum();
                if rows > 0 && bytes + more > MAX_BYTES {
                    break;
                }
                (rows, bytes) = (rows + 1, bytes + more);
            }
            if rows == 0 {
                return None;
            }
            let values;
            (values, left) = left.split_at(rows * self.width);
            let size = rows.next_power_of_two();
            Some(Chunk {
                sql: self.text(engine, size),
                values,
                missing: size - rows,
                is_large: bytes > LARGE,
            })
        })
    }

    /// The statement for so many rows, a power of two.
    fn text(&'static self, engine: Engine, rows: usize) -> &'static str {
        let texts = match engine {
            Engine::Sqlite => &self.sqlite,
            Engine::Postgres => &self.postgres,
        };
        texts[rows.ilog2() as usize].get_or_init(|| {
            let mut sql = String::from(self.head);
            for row in 0..rows {
                sql.push_str(if row == 0 { "(" } else { ", (" });
                for column in 0..self.width {
                    sql.push_str(if column == 0 { "" } else { ", " });
                    match engine {
                        // With names, finding the parameters of a statement takes time quadratic in their number.
                        Engine::Sqlite => sql.push('?'),
                        Engine::Postgres => write!(sql, "${}", row * self.width + column + 1)
                            .expect("a string takes everything"),
                    }
                }
                sql.push(')');
            }
            sql + self.tail
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static STATEMENT: ManyRows = ManyRows::new("VALUES ", 2, " ORDER BY 1");

    #[test]
    fn rows_are_cut_into_statements_of_few_sizes() {
        let sizes = |values: &[Value<'_>]| {
            STATEMENT
                .chunks(Engine::Sqlite, values)
                .map(|chunk| (chunk.values.len() / 2, chunk.missing))
                .collect::<Vec<_>>()
        };
        let rows = |count, text: &'static str| {
            let row = [Value::from(1), Value::from(text)];
            std::iter::repeat_n(row, count).flatten().collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), []);
        assert_eq!(sizes(&rows(5, "x")), [(5, 3)]);
        assert_eq!(sizes(&rows(64, "x")), [(64, 0)]);
        assert_eq!(sizes(&rows(131, "x")), [(64, 0), (64, 0), (3, 1)]);
        let long: &'static str = "x".repeat(MAX_BYTES).leak();
        assert_eq!(sizes(&rows(2, long)), [(1, 0), (1, 0)]);
    }

    #[test]
    fn one_text_but_for_the_placeholders() {
        assert_eq!(
            STATEMENT.text(Engine::Sqlite, 2),
            "VALUES (?, ?), (?, ?) ORDER BY 1"
        );
        assert_eq!(
            STATEMENT.text(Engine::Postgres, 2),
            "VALUES ($1, $2), ($3, $4) ORDER BY 1"
        );
    }
}
