//! Threads: which interception a new one continues.
//!
//! An agent answers a tool call of the model with a new request that brings the call's result. So the interception in
//! which the same user's tool call was recorded is its parent. An id that somebody else's client sent joins nothing.

use std::collections::{HashMap, HashSet};

use gateway_core::UserId;
use gateway_core::interception::{Entry, Record, Start};
use sqlx::FromRow;

use super::batch::{ManyRows, Returned, Value, WriteRows, Writer};
use crate::fault::Fault;

/// The interception that is continued.
#[derive(Debug, FromRow)]
pub(super) struct Thread {
    initiator: String,
    call: String,
    pub(super) parent: String,
    pub(super) root: String,
    /// That of the root.
    pub(super) session: String,
}

/// What was found for a group of starts, by initiator and tool call.
#[derive(Debug, Default)]
pub(super) struct Threads(HashMap<(String, String), Thread>);

/// The newest interception in which the tool call was seen. Its root may have been removed for its age.
static FIND: WriteRows = WriteRows::new(
    ManyRows::new(
        "SELECT v.column1 AS initiator, v.column2 AS call, i.id AS parent, \
     COALESCE(i.thread_root_id, i.id) AS root, COALESCE(r.session_id, i.session_id) AS session \
     FROM ",
        2,
        " JOIN aibridge_interceptions AS i ON i.id = (SELECT MAX(t.interception_id) FROM aibridge_tool_usages AS t \
     WHERE t.initiator_id = v.column1 AND t.provider_tool_call_id = v.column2) \
     LEFT JOIN aibridge_interceptions AS r ON r.id = i.thread_root_id",
    ),
    &[
        "SELECT ?1 AS initiator, ?2 AS call, i.id AS parent, COALESCE(i.thread_root_id, i.id) AS root, \
         COALESCE(r.session_id, i.session_id) AS session FROM aibridge_interceptions AS i \
         LEFT JOIN aibridge_interceptions AS r ON r.id = i.thread_root_id \
         WHERE i.id = (SELECT MAX(t.interception_id) FROM aibridge_tool_usages AS t \
         WHERE t.initiator_id = ?1 AND t.provider_tool_call_id = ?2)",
    ],
);

/// How many records from the beginning can be written at once: up to the first start that continues a thread by a tool
/// call among the records before it.
pub(super) fn independent(records: &[Record]) -> usize {
    let mut calls: HashSet<(UserId, &str)> = HashSet::new();
    for (index, record) in records.iter().enumerate() {
        match &record.entry {
            Entry::Tool(tool) => {
                calls.extend(
                    tool.provider_tool_call_id
                        .as_deref()
                        .map(|call| (record.initiator_id, call)),
                );
            }
            Entry::Start(start) => {
                let call = start.correlating_tool_call_id.as_deref();
                if call.is_some_and(|call| calls.contains(&(record.initiator_id, call))) {
                    return index;
                }
            }
            Entry::End(_) => {}
        }
    }
    records.len()
}

/// Finds the threads that the starts continue.
pub(super) async fn find(writer: &mut impl Writer, starts: &[(&Record, &Start)]) -> Result<Threads, Fault> {
    let calls: HashSet<(UserId, &str)> = starts
        .iter()
        .filter_map(|(record, start)| Some((record.initiator_id, start.correlating_tool_call_id.as_deref()?)))
        .collect();
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(calls.len() * 2);
    for (initiator, call) in calls {
        rows.push(initiator.to_string().into());
        rows.push(call.into());
    }
    let threads = writer.write_returning::<Thread>(&FIND, &rows).await?;
    let by_call = threads
        .into_iter()
        .map(|thread| ((thread.initiator.clone(), thread.call.clone()), thread));
    Ok(Threads(by_call.collect()))
}

// === impl Thread ===

impl Returned for Thread {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            initiator: row.get("initiator")?,
            call: row.get("call")?,
            parent: row.get("parent")?,
            root: row.get("root")?,
            session: row.get("session")?,
        })
    }
}

// === impl Threads ===

impl Threads {
    pub(super) fn of(&self, record: &Record, start: &Start) -> Option<&Thread> {
        let call = start.correlating_tool_call_id.clone()?;
        self.0.get(&(record.initiator_id.to_string(), call))
    }
}
