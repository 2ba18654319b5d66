//! Sessions: a page of them with what they come to, and the threads of one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use gateway_core::{InterceptionId, Timestamp, UserId};
use sqlx::FromRow;

use super::Interceptions;
use super::batch::{ManyRows, Value};
use super::filter::{InterceptionFilter, Where};
use super::model::{Interception, SessionSummary, Thread};
use super::read::{as_rows, fetch, fitting, load};
use super::rows::unsigned;
use super::usage::{TokenSumsRow, token_sums};
use super::walk::{Candidate, Found};
use crate::db::Conn;
use crate::error::StoreError;
use crate::fault::Fault;
use crate::rows::value;
use crate::text;

/// How much of a session's last prompt is shown with it.
pub const LAST_PROMPT_CHARS: u32 = 1000;

/// The most interceptions that a page of threads holds, however few the threads are.
pub const MAX_THREAD_INTERCEPTIONS: usize = 1000;

/// The most sessions or threads of a page.
const MAX_PAGE: u32 = 1000;

/// Which of the interceptions of a thread to read: so many, after so many. The first of all is always read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub skip: usize,
    pub take: usize,
}

/// Where a page of threads lies, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPage {
    First,
    /// Those that come after this one.
    OlderThan(InterceptionId),
    /// The last ones that come before this one.
    NewerThan(InterceptionId),
}

const SESSIONS: &str = "aibridge_sessions";

/// What a session comes to.
#[derive(FromRow)]
struct TotalsRow {
    initiator_id: String,
    session_id: String,
    started_at: i64,
    last_active_at: i64,
    open: i64,
    last_ended_at: Option<i64>,
    last_id: String,
    last_prompt_id: Option<String>,
    threads: i64,
    interceptions: i64,
    #[sqlx(flatten)]
    tokens: TokenSumsRow,
}

/// An interception of a thread.
#[derive(FromRow)]
struct StepRow {
    thread: String,
    id: String,
    /// How many are in the thread.
    total: i64,
}

/// Something that occurs in a session.
#[derive(FromRow)]
struct WordsRow {
    initiator_id: String,
    session_id: String,
    provider_name: String,
    model: String,
}

#[derive(FromRow)]
struct LastRow {
    id: String,
    initiator_username: String,
    client: String,
}

#[derive(FromRow)]
struct LastPromptRow {
    id: String,
    prompt: String,
}

static TOTALS: ManyRows = ManyRows::new(
    concat!(
        "SELECT i.initiator_id, i.session_id, MIN(i.started_at) AS started_at, \
         MAX(COALESCE(i.ended_at, i.started_at)) AS last_active_at, \
         COUNT(*) - COUNT(i.ended_at) AS open, MAX(i.ended_at) AS last_ended_at, MAX(i.id) AS last_id, \
         MAX(p.interception_id) AS last_prompt_id, \
         COUNT(DISTINCT COALESCE(i.thread_root_id, i.id)) AS threads, COUNT(*) AS interceptions, ",
        token_sums!("u"),
        " FROM "
    ),
    2,
    " JOIN aibridge_interceptions AS i ON i.initiator_id = v.column1 AND i.session_id = v.column2 \
     LEFT JOIN aibridge_token_usages AS u ON u.interception_id = i.id \
     LEFT JOIN aibridge_user_prompts AS p ON p.interception_id = i.id GROUP BY i.initiator_id, i.session_id",
);

static WORDS: ManyRows = ManyRows::new(
    "SELECT DISTINCT i.initiator_id, i.session_id, i.provider_name, i.model FROM ",
    2,
    " JOIN aibridge_interceptions AS i ON i.initiator_id = v.column1 AND i.session_id = v.column2",
);

static LAST: ManyRows = ManyRows::new(
    "SELECT i.id, i.initiator_username, i.client FROM ",
    1,
    " JOIN aibridge_interceptions AS i ON i.id = v.column1",
);

static LAST_PROMPT: ManyRows = ManyRows::new(
    "SELECT p.interception_id AS id, SUBSTR(p.prompt, 1, 1000) AS prompt FROM ",
    1,
    " JOIN aibridge_user_prompts AS p ON p.interception_id = v.column1",
);

/// Beside the first of each thread the steps after so many and up to so many.
static IN_THREADS: ManyRows = ManyRows::new(
    "SELECT t.thread, t.id, t.total FROM (SELECT v.column3 AS thread, i.id, v.column4 AS skipped, v.column5 AS until, \
     ROW_NUMBER() OVER (PARTITION BY v.column3 ORDER BY i.id) AS place, \
     COUNT(*) OVER (PARTITION BY v.column3) AS total FROM ",
    5,
    " JOIN aibridge_interceptions AS i ON i.initiator_id = v.column1 AND i.session_id = v.column2 \
     AND COALESCE(i.thread_root_id, i.id) = v.column3) AS t \
     WHERE t.place = 1 OR (t.place > t.skipped AND t.place <= t.until) ORDER BY t.id",
);

// === impl Interceptions ===

impl Interceptions<'_> {
    /// A page of sessions, those that began last first: what comes after `after`. At most `limit` and 1000, and given up
    /// after `patience`. The times of the filter are those of the session's beginning; what else it says must hold of one
    /// interception in it.
    pub async fn sessions(
        self,
        filter: &InterceptionFilter,
        after: Option<InterceptionId>,
        limit: u32,
        patience: Duration,
    ) -> Result<Found<SessionSummary>, StoreError> {
        let Some(mut walk) = filter.sessions(self.db.engine()) else {
            return Ok(Found::nothing());
        };
        self.db
            .read("interceptions.sessions", || async {
                let mut search = self.db.search().await?;
                let outcome = async {
                    let conn = search.conn();
                    if !filter.narrow(conn, &mut walk).await? {
                        return Ok(Found::nothing());
                    }
                    let (found, stopped_at) = walk.run(conn, after, limit.min(MAX_PAGE), patience).await?;
                    Ok(Found::new(summaries(conn, found).await?, stopped_at.as_deref())?)
                }
                .await;
                search.end(outcome).await
            })
            .await
    }

    /// How many sessions there are, counted up to `cap` and for so long, and whether there may be more.
    pub async fn count_sessions(
        self,
        filter: &InterceptionFilter,
        cap: u32,
        patience: Duration,
    ) -> Result<(u64, bool), StoreError> {
        let walk = filter.sessions(self.db.engine());
        self.counted("interceptions.count_sessions", filter, walk, cap, patience)
            .await
    }

    /// The session with this id, else the last one to which a client gave this id. Clients of several users may have
    /// chosen the same, so only the former is certain for who may see them all.
    pub async fn find_session(
        self,
        initiator: Option<UserId>,
        id: &str,
    ) -> Result<Option<SessionSummary>, StoreError> {
        if !text::is_storable(id) {
            return Ok(None);
        }
        let mut conditions = Where::default();
        conditions.and("(s.id = $? OR s.session_id = $?)", id.to_owned());
        if let Some(initiator) = initiator {
            conditions.and("s.initiator_id = $?", initiator.to_string());
        }
        let sql = format!(
            "SELECT s.id, s.initiator_id, s.session_id, CAST(NULL AS BIGINT) AS looked_at FROM aibridge_sessions AS s{} \
             ORDER BY CASE WHEN s.id = $1 THEN 0 ELSE 1 END, s.id DESC LIMIT 1",
            conditions.sql()
        );
        self.db
            .read("interceptions.find_session", || async {
                let mut search = self.db.search().await?;
                let outcome = async {
                    let rows = fetch(search.conn(), &sql, &conditions.args).await?;
                    Ok(summaries(search.conn(), rows).await?.pop())
                }
                .await;
                search.end(outcome).await
            })
            .await
    }

    /// A page of a session's threads, those that began last first, with some of their steps. At most `limit` and 1000,
    /// and together at most [`MAX_THREAD_INTERCEPTIONS`] and [`MAX_PAGE_BYTES`](crate::MAX_PAGE_BYTES); what is beyond
    /// is left out of the threads that then are marked as cut.
    pub async fn threads(
        self,
        initiator: UserId,
        session_id: &str,
        page: ThreadPage,
        limit: u32,
        steps: Steps,
    ) -> Result<Vec<Thread>, StoreError> {
        if !text::is_storable(session_id) {
            return Ok(Vec::new());
        }
        let (sql, args) = threads_sql(initiator, session_id, page, limit.min(MAX_PAGE));
        self.db
            .read("interceptions.threads", || async {
                let mut search = self.db.search().await?;
                let outcome = async {
                    let rows: Vec<(String,)> = fetch(search.conn(), &sql, &args).await?;
                    let mut roots = rows.into_iter().map(|row| row.0).collect::<Vec<_>>();
                    if matches!(page, ThreadPage::NewerThan(_)) {
                        roots.reverse();
                    }
                    threads(search.conn(), initiator, session_id, roots, steps).await
                }
                .await;
                search.end(outcome).await
            })
            .await
    }
}

// === Summaries ===

async fn summaries(conn: &mut Conn, rows: Vec<Candidate>) -> Result<Vec<SessionSummary>, Fault> {
    let keys = rows
        .iter()
        .flat_map(|row| [row.initiator_id.as_str().into(), row.session_id.as_str().into()])
        .collect::<Vec<Value<'_>>>();
    let mut words: HashMap<(String, String), [BTreeSet<String>; 2]> = HashMap::new();
    for row in WORDS.fetch::<WordsRow>(conn, &keys).await? {
        let [providers, models] = words.entry((row.initiator_id, row.session_id)).or_default();
        providers.insert(row.provider_name);
        models.insert(row.model);
    }
    let totals = TOTALS.fetch::<TotalsRow>(conn, &keys).await?;
    let last_ids = totals.iter().map(|row| row.last_id.clone()).collect::<Vec<_>>();
    let mut last: HashMap<String, LastRow> = HashMap::new();
    for row in LAST.fetch::<LastRow>(conn, &as_rows(&last_ids)).await? {
        last.insert(row.id.clone(), row);
    }
    let prompt_ids = totals
        .iter()
        .filter_map(|row| row.last_prompt_id.clone())
        .collect::<Vec<_>>();
    let mut prompts: HashMap<String, String> = HashMap::new();
    for row in LAST_PROMPT
        .fetch::<LastPromptRow>(conn, &as_rows(&prompt_ids))
        .await?
    {
        prompts.insert(row.id, row.prompt);
    }
    let mut totals: HashMap<(String, String), TotalsRow> = totals
        .into_iter()
        .map(|row| ((row.initiator_id.clone(), row.session_id.clone()), row))
        .collect();
    let mut summaries = Vec::with_capacity(rows.len());
    for row in rows {
        let key = (row.initiator_id.clone(), row.session_id.clone());
        // Removed meanwhile, or not yet whole: between two statements others write.
        let Some(totals) = totals.remove(&key) else {
            continue;
        };
        let Some(last) = last.remove(&totals.last_id) else {
            continue;
        };
        let [providers, models] = words.remove(&key).unwrap_or_default();
        let prompt = totals.last_prompt_id.as_ref().and_then(|id| prompts.remove(id));
        summaries.push(summary(row, totals, last, prompt, providers, models)?);
    }
    Ok(summaries)
}

fn summary(
    row: Candidate,
    totals: TotalsRow,
    last: LastRow,
    last_prompt: Option<String>,
    providers: BTreeSet<String>,
    models: BTreeSet<String>,
) -> Result<SessionSummary, StoreError> {
    let ended_at = totals.last_ended_at.filter(|_| totals.open == 0);
    Ok(SessionSummary {
        id: value(SESSIONS, "id", &row.id, &row.id)?,
        initiator_id: value(SESSIONS, "initiator_id", &row.id, &row.initiator_id)?,
        session_id: row.session_id,
        initiator_username: last.initiator_username,
        client: last.client,
        providers: providers.into_iter().collect(),
        models: models.into_iter().filter(|model| !model.is_empty()).collect(),
        started_at: Timestamp::from_micros(totals.started_at),
        last_active_at: Timestamp::from_micros(totals.last_active_at),
        ended_at: ended_at.map(Timestamp::from_micros),
        last_prompt,
        threads: unsigned(totals.threads),
        interceptions: unsigned(totals.interceptions),
        tokens: totals.tokens.into(),
    })
}

// === Threads ===

fn threads_sql(initiator: UserId, session_id: &str, page: ThreadPage, limit: u32) -> (String, Vec<String>) {
    let thread = "COALESCE(i.thread_root_id, i.id)";
    let mut conditions = Where::default();
    conditions.and("i.initiator_id = $?", initiator.to_string());
    conditions.and("i.session_id = $?", session_id.to_owned());
    let order = match page {
        ThreadPage::First => "DESC",
        ThreadPage::OlderThan(id) => {
            conditions.and(&format!("{thread} < $?"), id.to_string());
            "DESC"
        }
        ThreadPage::NewerThan(id) => {
            conditions.and(&format!("{thread} > $?"), id.to_string());
            "ASC"
        }
    };
    let sql = format!(
        "SELECT DISTINCT {thread} AS thread FROM aibridge_interceptions AS i{} ORDER BY thread {order} LIMIT {limit}",
        conditions.sql()
    );
    (sql, conditions.args)
}

/// In the order of the roots. What does not fit is left out from the end.
async fn threads(
    conn: &mut Conn,
    initiator: UserId,
    session_id: &str,
    roots: Vec<String>,
    steps: Steps,
) -> Result<Vec<Thread>, Fault> {
    let mut members: HashMap<String, (i64, Vec<String>)> = HashMap::new();
    for row in IN_THREADS
        .fetch::<StepRow>(conn, &wanted(&initiator.to_string(), session_id, &roots, steps))
        .await?
    {
        let of_thread = members.entry(row.thread).or_default();
        of_thread.0 = row.total;
        of_thread.1.push(row.id);
    }
    let mut ids = roots
        .iter()
        .filter_map(|root| members.get(root))
        .flat_map(|(_, ids)| ids)
        .take(MAX_THREAD_INTERCEPTIONS)
        .cloned()
        .collect::<Vec<_>>();
    ids.truncate(fitting(conn, &ids).await?);
    let mut loaded: HashMap<String, Interception> = load(conn, &ids)
        .await?
        .into_iter()
        .map(|found| (found.id.to_string(), found))
        .collect();
    let mut threads = Vec::with_capacity(roots.len());
    for root in roots {
        let (total, members) = members.remove(&root).unwrap_or_default();
        let interceptions = members
            .iter()
            .filter_map(|id| loaded.remove(id))
            .collect::<Vec<_>>();
        threads.push(Thread {
            id: value(SESSIONS, "thread_root_id", &root, &root)?,
            is_cut: interceptions.len() < members.len(),
            total: unsigned(total),
            interceptions,
        });
    }
    Ok(threads)
}

fn wanted<'a>(initiator: &'a str, session_id: &'a str, roots: &'a [String], steps: Steps) -> Vec<Value<'a>> {
    let most = i64::from(i32::MAX);
    let skip = i64::try_from(steps.skip).unwrap_or(most).min(most);
    let take = steps.take.min(MAX_THREAD_INTERCEPTIONS + 1);
    let until = skip + i64::try_from(take).unwrap_or(most);
    roots
        .iter()
        .flat_map(|root| {
            [
                initiator.into(),
                session_id.into(),
                root.as_str().into(),
                skip.into(),
                until.into(),
            ]
        })
        .collect()
}
