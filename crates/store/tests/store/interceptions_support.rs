//! Short ways to make records.

use std::time::Duration;

use gateway_core::interception::{
    CredentialKind, End, Entry, Marks, ModelThought, Outcome, Record, Start, TokenUsage, ToolKind, ToolUsage,
};
use gateway_core::{InterceptionId, ProviderKind, RunId, Timestamp, UserId};
use gateway_store::{Interceptions, OPERATION_TIMEOUT};
use uuid::Uuid;

use crate::support::{NOW, TestDb, after, token_id};

/// As long as a read may take at all.
pub(crate) const PATIENCE: Duration = OPERATION_TIMEOUT;

/// An interception in the making.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) id: InterceptionId,
    pub(crate) user: UserId,
}

/// An id of a time. Those of one time are in the order of `n`.
pub(crate) fn id_at(at: Timestamp, n: u64) -> InterceptionId {
    let millis = u128::try_from(at.as_micros() / 1000).unwrap();
    let uuid = millis << 80 | 0x7 << 76 | 0x2 << 62 | u128::from(n);
    InterceptionId::from_uuid(Uuid::from_u128(uuid))
}

pub(crate) fn start_of(user: UserId) -> Start {
    Start {
        initiator_username: format!("user-{}", user.as_uuid().simple()),
        token_id: token_id(1),
        provider: ProviderKind::Anthropic,
        provider_name: "anthropic".parse().unwrap(),
        route: "messages",
        model: "claude-opus".to_owned(),
        client: "Claude Code".to_owned(),
        client_version: Some("2.1".to_owned()),
        user_agent: Some("claude-cli/2.1".to_owned()),
        client_session_id: None,
        correlating_tool_call_id: None,
        credential_kind: CredentialKind::Centralized,
        credential_hint: "sk-...1234".to_owned(),
        is_streamed: true,
        prompt: Some("hello".to_owned()),
        started_at: NOW,
        marks: Marks::NONE,
    }
}

pub(crate) fn end() -> End {
    End {
        outcome: Outcome::Completed,
        status: Some(200),
        answered_model: Some("claude-opus-1".to_owned()),
        provider_response_id: None,
        stop_reason: Some("end_turn".to_owned()),
        error_type: None,
        error_message: None,
        usage: Some(TokenUsage {
            input: 10,
            output: 20,
            cache_read_input: 300,
            cache_write_input: 40,
            reasoning: Some(5),
            service_tier: Some("standard".to_owned()),
            extra: vec![("web_search_requests".to_owned(), 2)],
            is_partial: false,
        }),
        thoughts: Vec::new(),
        first_byte_at: Some(after(1)),
        ended_at: after(1),
        marks: Marks::NONE,
    }
}

pub(crate) fn tool(ordinal: u32, call_id: &str) -> ToolUsage {
    ToolUsage {
        ordinal,
        provider_response_id: Some("msg_1".to_owned()),
        provider_tool_call_id: Some(call_id.to_owned()),
        provider_item_id: None,
        tool: "Bash".to_owned(),
        kind: ToolKind::Function,
        input: Some(r#"{"command":"ls"}"#.to_owned()),
        is_cut: false,
        created_at: NOW,
    }
}

pub(crate) fn thought(content: &str) -> ModelThought {
    ModelThought {
        source: "thinking",
        content: content.to_owned(),
        is_cut: false,
        created_at: NOW,
    }
}

// === impl Made ===

impl Made {
    /// One of the current time, which is far from that of the tests.
    pub(crate) fn new(user: UserId) -> Self {
        Self {
            id: InterceptionId::generate(),
            user,
        }
    }

    /// The `n`-th of the tests' time, a second after the one before.
    pub(crate) fn nth(user: UserId, n: u64) -> Self {
        Self {
            id: id_at(after(n), n),
            user,
        }
    }

    pub(crate) fn start(self, change: impl FnOnce(&mut Start)) -> Record {
        let mut start = start_of(self.user);
        let millis = self.id.as_uuid().as_u128() >> 80;
        start.started_at = Timestamp::from_micros(i64::try_from(millis * 1000).unwrap());
        change(&mut start);
        self.record(Entry::Start(Box::new(start)))
    }

    pub(crate) fn tool(self, ordinal: u32, call_id: &str) -> Record {
        self.record(Entry::Tool(Box::new(tool(ordinal, call_id))))
    }

    pub(crate) fn end(self, change: impl FnOnce(&mut End)) -> Record {
        let mut end = end();
        change(&mut end);
        self.record(Entry::End(Box::new(end)))
    }

    pub(crate) fn record(self, entry: Entry) -> Record {
        Record {
            id: self.id,
            initiator_id: self.user,
            entry,
        }
    }
}

// === impl TestDb ===

impl TestDb {
    pub(crate) fn records(&self) -> Interceptions<'_> {
        self.store.interceptions()
    }

    pub(crate) async fn commit(&self, run: RunId, records: &[Record]) {
        self.records().commit(run, records).await.unwrap();
    }

    /// A run with a lease of an hour.
    pub(crate) async fn run(&self) -> RunId {
        let run = RunId::generate();
        self.records()
            .begin_run(run, Duration::from_hours(1), NOW)
            .await
            .unwrap();
        run
    }

    /// The number in a column of an interception; -1 for none.
    pub(crate) async fn number(&self, id: InterceptionId, column: &str) -> i64 {
        self.count(&format!(
            "SELECT COALESCE(MAX({column}), -1) FROM aibridge_interceptions WHERE id = '{id}'"
        ))
        .await
    }

    pub(crate) async fn rows(&self, table: &str) -> i64 {
        self.count(&format!("SELECT COUNT(*) FROM {table}")).await
    }
}
