//! Reading interceptions: one, a page, or how many there are.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use gateway_core::InterceptionId;
use sqlx::{AssertSqlSafe, FromRow};

use super::Interceptions;
use super::batch::{ManyRows, Value};
use super::filter::InterceptionFilter;
use super::model::Interception;
use super::rows::{
    InterceptionRow, PromptRow, SizeRow, ThoughtRow, ToolRow, UsageRow, interception_columns, unsigned,
};
use super::walk::{Candidate, Found, Walk};
use crate::db::{Conn, on};
use crate::error::StoreError;
use crate::fault::Fault;

/// A page is cut short where its texts would come to more bytes than this. One interception is always in it.
pub const MAX_PAGE_BYTES: u64 = 16 << 20;

/// The most interceptions of a page.
const MAX_PAGE: u32 = 1000;

static FIND: ManyRows = ManyRows::new(
    concat!("SELECT ", interception_columns!(), " FROM "),
    1,
    " JOIN aibridge_interceptions AS i ON i.id = v.column1 ORDER BY i.id",
);

static PROMPTS: ManyRows = ManyRows::new(
    "SELECT c.interception_id, c.prompt FROM ",
    1,
    " JOIN aibridge_user_prompts AS c ON c.interception_id = v.column1",
);

static USAGES: ManyRows = ManyRows::new(
    "SELECT c.interception_id, c.input_tokens, c.output_tokens, c.cache_read_input_tokens, \
     c.cache_write_input_tokens, c.reasoning_tokens, c.service_tier, c.metadata, c.is_partial FROM ",
    1,
    " JOIN aibridge_token_usages AS c ON c.interception_id = v.column1",
);

static TOOLS: ManyRows = ManyRows::new(
    "SELECT c.interception_id, c.ordinal, c.provider_response_id, c.provider_tool_call_id, c.provider_item_id, c.tool, \
     c.kind, c.input, c.is_cut, c.created_at FROM ",
    1,
    " JOIN aibridge_tool_usages AS c ON c.interception_id = v.column1 ORDER BY c.interception_id, c.ordinal",
);

static THOUGHTS: ManyRows = ManyRows::new(
    "SELECT c.interception_id, c.source, c.content, c.is_cut, c.created_at FROM ",
    1,
    " JOIN aibridge_model_thoughts AS c ON c.interception_id = v.column1 ORDER BY c.interception_id, c.ordinal",
);

/// The sizes of texts are known without reading them.
static SIZES: [ManyRows; 3] = [
    ManyRows::new(
        "SELECT c.interception_id, CAST(OCTET_LENGTH(c.prompt) AS BIGINT) AS bytes FROM ",
        1,
        " JOIN aibridge_user_prompts AS c ON c.interception_id = v.column1",
    ),
    ManyRows::new(
        "SELECT c.interception_id, CAST(SUM(COALESCE(OCTET_LENGTH(c.input), 0) + 100) AS BIGINT) AS bytes \
         FROM ",
        1,
        " JOIN aibridge_tool_usages AS c ON c.interception_id = v.column1 GROUP BY c.interception_id",
    ),
    ManyRows::new(
        "SELECT c.interception_id, CAST(SUM(OCTET_LENGTH(c.content) + 100) AS BIGINT) AS bytes FROM ",
        1,
        " JOIN aibridge_model_thoughts AS c ON c.interception_id = v.column1 GROUP BY c.interception_id",
    ),
];

// === impl Interceptions ===

impl Interceptions<'_> {
    pub async fn find(self, id: InterceptionId) -> Result<Option<Interception>, StoreError> {
        self.db
            .read("interceptions.find", || async {
                let mut conn = self.db.reader().await?;
                Ok(load(&mut conn, &[id.to_string()]).await?.pop())
            })
            .await
    }

    /// A page, newest first: those that come after `after`, which are older. At most `limit` and 1000. It may be
    /// shorter, see [`MAX_PAGE_BYTES`] and `patience`, after which it is given up; only an empty page that was not is the
    /// end. What is written or removed in the meantime may be seen in part: an interception without its end, but with its
    /// tokens.
    pub async fn list(
        self,
        filter: &InterceptionFilter,
        after: Option<InterceptionId>,
        limit: u32,
        patience: Duration,
    ) -> Result<Found<Interception>, StoreError> {
        let Some(mut walk) = filter.interceptions(self.db.engine()) else {
            return Ok(Found::nothing());
        };
        self.db
            .read("interceptions.list", || async {
                let mut search = self.db.search().await?;
                let outcome = async {
                    let conn = search.conn();
                    if !filter.narrow(conn, &mut walk).await? {
                        return Ok(Found::nothing());
                    }
                    let (found, stopped_at) = walk.run(conn, after, limit.min(MAX_PAGE), patience).await?;
                    page(conn, found, stopped_at).await
                }
                .await;
                search.end(outcome).await
            })
            .await
    }

    /// How many there are, counted up to `cap` and for so long, and whether there may be more.
    pub async fn count(
        self,
        filter: &InterceptionFilter,
        cap: u32,
        patience: Duration,
    ) -> Result<(u64, bool), StoreError> {
        let walk = filter.interceptions(self.db.engine());
        self.counted("interceptions.count", filter, walk, cap, patience)
            .await
    }

    pub(super) async fn counted(
        self,
        operation: &'static str,
        filter: &InterceptionFilter,
        walk: Option<Walk>,
        cap: u32,
        patience: Duration,
    ) -> Result<(u64, bool), StoreError> {
        let Some(mut walk) = walk else {
            return Ok((0, false));
        };
        self.db
            .read(operation, || async {
                let mut search = self.db.search().await?;
                let outcome = async {
                    if !filter.narrow(search.conn(), &mut walk).await? {
                        return Ok((0, false));
                    }
                    walk.count(search.conn(), cap, patience).await
                }
                .await;
                search.end(outcome).await
            })
            .await
    }
}

async fn page(
    conn: &mut Conn,
    found: Vec<Candidate>,
    stopped_at: Option<String>,
) -> Result<Found<Interception>, Fault> {
    let mut ids = found.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let fits = fitting(conn, &ids).await?;
    // What does not fit comes after the last one that does, so the reader goes on from there.
    let stopped_at = stopped_at.filter(|_| fits == ids.len());
    ids.truncate(fits);
    let mut rows = load(conn, &ids).await?;
    rows.sort_unstable_by_key(|row| Reverse(row.id));
    Ok(Found::new(rows, stopped_at.as_deref())?)
}

/// Runs a statement that was put together from fixed parts and placeholders.
pub(super) async fn fetch<R>(conn: &mut Conn, sql: &str, args: &[String]) -> Result<Vec<R>, Fault>
where
    R: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow>
        + for<'r> FromRow<'r, sqlx::postgres::PgRow>
        + Send
        + Unpin,
{
    Ok(on!(conn, |c| {
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        for arg in args {
            query = query.bind(arg.as_str());
        }
        query.fetch_all(c).await
    })?)
}

/// How many of these interceptions, from the first on, fit on a page.
pub(super) async fn fitting(conn: &mut Conn, ids: &[String]) -> Result<usize, Fault> {
    let mut bytes: HashMap<String, u64> = HashMap::new();
    for sizes in &SIZES {
        for row in sizes.fetch::<SizeRow>(conn, &as_rows(ids)).await? {
            *bytes.entry(row.interception_id).or_default() += unsigned(row.bytes);
        }
    }
    let mut total = 0;
    let fits = ids.iter().take_while(|id| {
        total += bytes.get(*id).copied().unwrap_or(0);
        total <= MAX_PAGE_BYTES
    });
    Ok(fits.count().max(1).min(ids.len()))
}

/// The interceptions with these ids, in the order of the ids.
pub(super) async fn load(conn: &mut Conn, ids: &[String]) -> Result<Vec<Interception>, Fault> {
    let rows = FIND.fetch(conn, &as_rows(ids)).await?;
    with_children(conn, rows).await
}

/// In the order of the rows.
async fn with_children(conn: &mut Conn, rows: Vec<InterceptionRow>) -> Result<Vec<Interception>, Fault> {
    let ids = rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    let places: HashMap<&str, usize> = ids.iter().map(String::as_str).zip(0..).collect();
    let mut found = rows
        .into_iter()
        .map(Interception::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let keys = as_rows(&ids);
    for row in PROMPTS.fetch::<PromptRow>(conn, &keys).await? {
        found[places[row.interception_id.as_str()]].prompt = Some(row.prompt);
    }
    for row in USAGES.fetch::<UsageRow>(conn, &keys).await? {
        let place = places[row.interception_id.as_str()];
        found[place].usage = Some(row.try_into()?);
    }
    for row in TOOLS.fetch::<ToolRow>(conn, &keys).await? {
        let place = places[row.interception_id.as_str()];
        found[place].tools.push(row.try_into()?);
    }
    for row in THOUGHTS.fetch::<ThoughtRow>(conn, &keys).await? {
        let place = places[row.interception_id.as_str()];
        found[place].thoughts.push(row.into());
    }
    Ok(found)
}

/// Rows of one column.
pub(super) fn as_rows(ids: &[String]) -> Vec<Value<'_>> {
    ids.iter().map(|id| id.as_str().into()).collect()
}
