//! Records beside those of a server: written into its database while it runs.

use std::time::Duration;

use gateway_core::interception::{
    CredentialKind, End, Entry, Marks, ModelThought, Outcome, Record, Start, TokenUsage, ToolKind, ToolUsage,
};
use gateway_core::{InterceptionId, ProviderKind, RunId, Timestamp, UserId};
use gateway_store::{Purpose, Store, StoreOptions, Target};
use uuid::Uuid;

use crate::support::Server;

/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800_000_000;

/// A second way into a server's database.
pub(crate) struct Recorded {
    store: Store,
    run: RunId,
}

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) id: UserId,
    pub(crate) username: String,
}

/// One interception: what is to be changed of it is public.
pub(crate) struct Exchange {
    pub(crate) id: InterceptionId,
    initiator: UserId,
    pub(crate) start: Start,
    pub(crate) tools: Vec<ToolUsage>,
    /// None: it is in flight.
    pub(crate) end: Option<End>,
}

// === impl Recorded ===

impl Recorded {
    pub(crate) async fn beside(server: &Server) -> Self {
        let path = server.directory().join("coder.db");
        // The server's lock is on the file that it has open; without a name that keeps nobody off.
        std::fs::remove_file(server.directory().join("coder.db.lock")).unwrap();
        let store = Store::open(StoreOptions::new(Target::Sqlite { path }), Purpose::Server)
            .await
            .unwrap();
        let run = RunId::generate();
        store
            .interceptions()
            .begin_run(run, Duration::from_hours(1), at(0))
            .await
            .unwrap();
        Self { store, run }
    }

    pub(crate) async fn add(&self, exchanges: impl IntoIterator<Item = Exchange>) {
        let records: Vec<Record> = exchanges.into_iter().flat_map(Exchange::records).collect();
        for group in records.chunks(2000) {
            self.store.interceptions().commit(self.run, group).await.unwrap();
        }
    }
}

/// So many seconds after noon.
pub(crate) fn at(seconds: u32) -> Timestamp {
    Timestamp::from_micros(NOON + i64::from(seconds) * 1_000_000)
}

// === impl Asker ===

impl Asker {
    pub(crate) async fn of(server: &Server, session: &str) -> Self {
        let me = server.get("/users/me", session).await.json();
        Self {
            id: me["id"].as_str().unwrap().parse().unwrap(),
            username: me["username"].as_str().unwrap().to_owned(),
        }
    }

    /// So many seconds after noon: a prompt to Claude, one tool call, one thought.
    pub(crate) fn asks(&self, seconds: u32, prompt: &str) -> Exchange {
        let millis = u128::try_from(at(seconds).as_micros() / 1000).unwrap();
        let uuid = millis << 80 | 0x7 << 76 | 0x2 << 62 | u128::from(seconds);
        Exchange {
            id: InterceptionId::from_uuid(Uuid::from_u128(uuid)),
            initiator: self.id,
            start: self.start(seconds, prompt),
            tools: vec![ToolUsage {
                ordinal: 0,
                provider_response_id: None,
                provider_tool_call_id: Some(format!("toolu_{}_{seconds}", self.username)),
                provider_item_id: None,
                tool: "Bash".to_owned(),
                kind: ToolKind::Function,
                input: Some(r#"{"command":"ls"}"#.to_owned()),
                is_cut: false,
                created_at: at(seconds),
            }],
            end: Some(end(seconds)),
        }
    }

    fn start(&self, seconds: u32, prompt: &str) -> Start {
        Start {
            initiator_username: self.username.clone(),
            token_id: "0123456789".parse().unwrap(),
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
            prompt: Some(prompt.to_owned()),
            started_at: at(seconds),
            marks: Marks::NONE,
        }
    }
}

fn end(seconds: u32) -> End {
    End {
        outcome: Outcome::Completed,
        status: Some(200),
        answered_model: Some("claude-opus-1".to_owned()),
        provider_response_id: Some(format!("msg_{seconds}")),
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
        thoughts: vec![ModelThought {
            source: "thinking",
            content: "hmm".to_owned(),
            is_cut: false,
            created_at: at(seconds + 1),
        }],
        first_byte_at: Some(at(seconds + 1)),
        ended_at: at(seconds + 1),
        marks: Marks::NONE,
    }
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn in_session(self, session: &str) -> Self {
        self.with(|exchange| exchange.start.client_session_id = Some(session.to_owned()))
    }

    fn records(self) -> Vec<Record> {
        let Self { id, initiator, .. } = self;
        let mut entries = vec![Entry::Start(Box::new(self.start))];
        entries.extend(self.tools.into_iter().map(|tool| Entry::Tool(Box::new(tool))));
        entries.extend(self.end.map(|end| Entry::End(Box::new(end))));
        entries
            .into_iter()
            .map(|entry| Record {
                id,
                initiator_id: initiator,
                entry,
            })
            .collect()
    }
}
