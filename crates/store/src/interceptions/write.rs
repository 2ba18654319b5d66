//! Writing records.
//!
//! A group is written in as few statements as possible, since each costs a trip to the database: the starts, then the
//! tool calls, then the ends. That keeps the order within each interception, and among interceptions the order
//! matters only where a start continues a thread by a tool call of the same group; there the group is cut in two.
//!
//! Everything is keyed by what the record itself says, and what is there is left alone. So a group whose commit had an
//! unknown outcome can be committed again.

use std::collections::HashSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use gateway_core::RunId;
use gateway_core::interception::{End, Entry, Record, Records, Start, ToolUsage};

use super::batch::{ManyRows, Value, WriteRows, Writer};
use super::{Interceptions, bare, ends, lineage};
use crate::error::StoreError;
use crate::fault::Fault;

/// The columns of an interception that its start knows.
macro_rules! start_columns {
    () => {
        "id, run_id, initiator_id, initiator_username, api_key_id, provider, provider_name, route, model, client, \
         client_version, user_agent, client_session_id, session_id, thread_parent_id, thread_root_id, credential_kind, \
         credential_hint, is_streamed, started_at, marks"
    };
}

/// An interception, its prompt, and its session. The session is that of the stored row, if there was one already. Sessions
/// are written in the order of their key, so that two replicas cannot wait for each other.
static START: WriteRows = WriteRows::new(
    ManyRows::new(
        "WITH v AS (SELECT * FROM ",
        22,
        concat!(
            "), started AS (INSERT INTO aibridge_interceptions (",
            start_columns!(),
            ") SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, \
             column12, column13, column14, column15, column16, column17, column18, column19, column20, column21 FROM v \
             ON CONFLICT DO NOTHING), \
             asked AS (INSERT INTO aibridge_user_prompts (interception_id, prompt, created_at) \
             SELECT column1, column22, column20 FROM v WHERE column22 IS NOT NULL ON CONFLICT DO NOTHING) \
             INSERT INTO aibridge_sessions (id, initiator_id, session_id) \
             SELECT MIN(v.column1 COLLATE \"C\"), v.column3, \
             COALESCE((SELECT i.session_id FROM aibridge_interceptions AS i WHERE i.id = v.column1), v.column14) \
             FROM v GROUP BY 2, 3 ORDER BY 2, 3 ON CONFLICT DO NOTHING"
        ),
    ),
    &[
        concat!(
            "INSERT INTO aibridge_interceptions (",
            start_columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21) \
             ON CONFLICT DO NOTHING"
        ),
        "INSERT INTO aibridge_user_prompts (interception_id, prompt, created_at) SELECT ?1, ?22, ?20 \
         WHERE ?22 IS NOT NULL ON CONFLICT DO NOTHING",
        "INSERT INTO aibridge_sessions (id, initiator_id, session_id) SELECT id, initiator_id, session_id \
         FROM aibridge_interceptions WHERE id = ?1 ON CONFLICT DO NOTHING",
    ],
);

static TOOL: WriteRows = WriteRows::new(
    ManyRows::new(
        "INSERT INTO aibridge_tool_usages (interception_id, ordinal, initiator_id, provider_response_id, \
     provider_tool_call_id, provider_item_id, tool, kind, input, is_cut, created_at) SELECT * FROM ",
        11,
        " WHERE EXISTS (SELECT 1 FROM aibridge_interceptions AS i \
     WHERE i.id = v.column1 AND i.initiator_id = v.column3) ON CONFLICT DO NOTHING",
    ),
    &[
        "INSERT INTO aibridge_tool_usages (interception_id, ordinal, initiator_id, provider_response_id, \
         provider_tool_call_id, provider_item_id, tool, kind, input, is_cut, created_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE EXISTS (SELECT 1 FROM aibridge_interceptions AS i \
         WHERE i.id = ?1 AND i.initiator_id = ?3) ON CONFLICT DO NOTHING",
    ],
);

/// A part of a group, by kind. Only the first end of an interception counts.
#[derive(Default)]
struct Part<'a> {
    starts: Vec<(&'a Record, &'a Start)>,
    tools: Vec<(&'a Record, &'a ToolUsage)>,
    ends: Vec<(&'a Record, &'a End)>,
}

// === impl Interceptions ===

impl Interceptions<'_> {
    /// Writes a group of records, all or none. For one interception they are in the order start, tool calls, end.
    ///
    /// * What is stored already is left as it is, so committing a group again changes nothing.
    /// * A tool call or an end of an interception that is not there is passed over: its start could not be recorded.
    /// * An interception has one end. A later one is passed over, except after [`Interceptions::close_interrupted`].
    ///
    /// An error for which [`StoreError::is_unavailable`] says no is about the data: the caller finds the record at
    /// fault by committing parts of the group, and gives it to [`Interceptions::commit_unrecordable`].
    pub async fn commit(self, run: RunId, records: impl Into<Records>) -> Result<(), StoreError> {
        const OPERATION: &str = "interceptions.commit";
        let records = records.into();
        if records.is_empty() {
            return Ok(());
        }
        let group = records.clone();
        let embedded = move |mut connection: &rusqlite::Connection| {
            without_waiting(commit(&mut connection, run, &group))
        };
        if let Some(written) = self.db.write_embedded(OPERATION, embedded) {
            return written.await;
        }
        self.db
            .write_again(OPERATION, || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = commit(tx.conn(), run, &records).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Writes that a record was there which the database refused, without any text that came from outside. Its
    /// interception is marked.
    pub async fn commit_unrecordable(self, run: RunId, record: &Record) -> Result<(), StoreError> {
        const OPERATION: &str = "interceptions.commit_unrecordable";
        let record = bare::stripped(record);
        let bare = record.clone();
        let embedded = move |mut connection: &rusqlite::Connection| {
            without_waiting(commit_bare(&mut connection, run, &bare))
        };
        if let Some(written) = self.db.write_embedded(OPERATION, embedded) {
            return written.await;
        }
        self.db
            .write_again(OPERATION, || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = commit_bare(tx.conn(), run, &record).await;
                tx.end(outcome).await
            })
            .await
    }
}

/// Runs what is made of calls of SQLite alone, on this thread.
fn without_waiting<T>(work: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(work).poll(&mut context) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("SQLite's calls return when they are done"),
    }
}

async fn commit_bare(writer: &mut impl Writer, run: RunId, record: &Record) -> Result<(), Fault> {
    commit(writer, run, std::slice::from_ref(record)).await?;
    bare::mark(writer, record.id).await
}

async fn commit(writer: &mut impl Writer, run: RunId, records: &[Record]) -> Result<(), Fault> {
    let mut left = records;
    while !left.is_empty() {
        let (now, later) = left.split_at(lineage::independent(left));
        left = later;
        let part = Part::new(now);
        write_starts(writer, run, &part.starts).await?;
        write_tools(writer, &part.tools).await?;
        ends::write(writer, &part.ends).await?;
    }
    Ok(())
}

// === impl Part ===

impl<'a> Part<'a> {
    fn new(records: &'a [Record]) -> Self {
        let mut part = Self::default();
        let mut ended = HashSet::new();
        for record in records {
            match &record.entry {
                Entry::Start(start) => part.starts.push((record, start)),
                Entry::Tool(tool) => part.tools.push((record, tool)),
                Entry::End(end) => {
                    if ended.insert(record.id) {
                        part.ends.push((record, end));
                    }
                }
            }
        }
        part
    }
}

// === Starts ===

async fn write_starts(
    writer: &mut impl Writer,
    run: RunId,
    starts: &[(&Record, &Start)],
) -> Result<(), Fault> {
    if starts.is_empty() {
        return Ok(());
    }
    let threads = lineage::find(writer, starts).await?;
    let run = run.to_string();
    let mut rows = Vec::with_capacity(starts.len() * 22);
    for &(record, start) in starts {
        let id = record.id.to_string();
        let thread = threads.of(record, start);
        let session = match (&start.client_session_id, thread) {
            (Some(session), _) => session.clone(),
            (None, Some(thread)) => thread.session.clone(),
            (None, None) => id.clone(),
        };
        rows.extend::<[Value<'_>; 22]>([
            id.into(),
            run.as_str().into(),
            record.initiator_id.to_string().into(),
            start.initiator_username.as_str().into(),
            start.token_id.as_str().into(),
            start.provider.as_str().into(),
            start.provider_name.as_str().into(),
            start.route.into(),
            start.model.as_str().into(),
            start.client.as_str().into(),
            (&start.client_version).into(),
            (&start.user_agent).into(),
            (&start.client_session_id).into(),
            session.into(),
            thread.map(|thread| thread.parent.as_str()).into(),
            thread.map(|thread| thread.root.as_str()).into(),
            start.credential_kind.as_str().into(),
            start.credential_hint.as_str().into(),
            start.is_streamed.into(),
            start.started_at.as_micros().into(),
            i64::from(start.marks.bits()).into(),
            (&start.prompt).into(),
        ]);
    }
    writer.write(&START, &rows).await
}

// === Tool calls ===

async fn write_tools(writer: &mut impl Writer, tools: &[(&Record, &ToolUsage)]) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(tools.len() * 11);
    for &(record, tool) in tools {
        rows.extend::<[Value<'_>; 11]>([
            record.id.to_string().into(),
            i64::from(tool.ordinal).into(),
            record.initiator_id.to_string().into(),
            (&tool.provider_response_id).into(),
            (&tool.provider_tool_call_id).into(),
            (&tool.provider_item_id).into(),
            tool.tool.as_str().into(),
            tool.kind.as_str().into(),
            (&tool.input).into(),
            tool.is_cut.into(),
            tool.created_at.as_micros().into(),
        ]);
    }
    writer.write(&TOOL, &rows).await
}
