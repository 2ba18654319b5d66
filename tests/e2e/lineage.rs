//! Which requests belong together: sessions that clients name, and threads that tool calls make. What one user's client
//! says never touches what is another's.

use gateway_store::Interception;
use serde_json::{Value, json};

use crate::corpus::gateway_of;
use crate::provider::{Provider, Script};
use crate::rows::recorded;
use crate::support::{Engine, Gateway, MESSAGES, RESPONSES, Token};

const CLAUDE: &str = "claude-cli/2.1.330 (external, cli)";
const CODEX: &str = "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb (codex_exec; 0.169.0)";

/// One request of an agent, in the order in which they are sent.
struct Turn {
    user: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Value,
    /// The place of the turn that is continued.
    parent: Option<usize>,
    /// The place of the first of the thread, if it is another one.
    root: Option<usize>,
    session: Session,
}

/// The session that a turn is to be in.
enum Session {
    Named(&'static str),
    /// That of this turn, which names none.
    OfTurn(usize),
}

// === impl Turn ===

impl Turn {
    /// Claude Code: a prompt, or the result of the tool call that the answer to an earlier turn made.
    fn claude(user: &'static str, session: &'static str, result_of: Option<usize>) -> Self {
        let content = match result_of {
            Some(turn) => json!([{"type": "tool_result", "tool_use_id": call_id(turn), "content": "done"}]),
            None => "go".into(),
        };
        let messages = json!([{"role": "user", "content": content}]);
        Self {
            user,
            path: MESSAGES,
            headers: vec![("user-agent", CLAUDE), ("x-claude-code-session-id", session)],
            body: json!({"model": "m", "max_tokens": 9, "messages": messages}),
            parent: None,
            root: None,
            session: Session::Named(session),
        }
    }

    /// Claude Code as it was when it named the session in the body alone.
    fn older_claude(user: &'static str, session: &'static str) -> Self {
        let mut turn = Self::claude(user, session, None);
        turn.headers.truncate(1);
        let user_id = json!({"device_id": "d", "session_id": session});
        turn.body["metadata"]["user_id"] = user_id.to_string().into();
        turn
    }

    /// An SDK, which names no session: the thread is the session.
    fn sdk(user: &'static str, session_of: usize, result_of: Option<usize>) -> Self {
        let item = match result_of {
            Some(turn) => json!({"type": "function_call_output", "call_id": call_id(turn), "output": "done"}),
            None => json!({"role": "user", "content": [{"type": "input_text", "text": "go"}]}),
        };
        Self {
            user,
            path: RESPONSES,
            headers: vec![("user-agent", "OpenAI/Python 3.54.0")],
            body: json!({"model": "m", "input": [item]}),
            parent: None,
            root: None,
            session: Session::OfTurn(session_of),
        }
    }

    fn codex(user: &'static str, session: &'static str, result_of: Option<usize>) -> Self {
        Self {
            headers: vec![
                ("user-agent", CODEX),
                ("originator", "codex_exec"),
                ("session-id", session),
                ("thread-id", session),
            ],
            session: Session::Named(session),
            ..Self::sdk(user, 0, result_of)
        }
    }

    fn continuing(self, parent: usize, root: usize) -> Self {
        Self {
            parent: Some(parent),
            root: Some(root),
            ..self
        }
    }
}

/// The answer to each turn calls a tool with the id of its place.
fn call_id(turn: usize) -> String {
    format!("call_{turn}")
}

fn turns() -> [Turn; 12] {
    [
        // A prompt, and two steps of the agent.
        Turn::claude("alice", "s1", None),
        Turn::claude("alice", "s1", Some(0)).continuing(0, 0),
        Turn::claude("alice", "s1", Some(1)).continuing(1, 0),
        // Somebody else names the same session and the same tool call.
        Turn::claude("bob", "s1", None),
        Turn::claude("bob", "s1", Some(2)),
        // A new prompt in the session is a thread of its own.
        Turn::claude("alice", "s1", None),
        Turn::older_claude("alice", "in-body"),
        Turn::codex("alice", "s2", None),
        Turn::sdk("alice", 8, None),
        Turn::sdk("alice", 8, Some(8)).continuing(8, 8),
        Turn::sdk("bob", 10, Some(8)),
        // Others have been in between.
        Turn::codex("alice", "s2", Some(7)).continuing(7, 7),
    ]
}

fn answer(turn: usize, is_responses: bool) -> Script {
    let id = call_id(turn);
    let body = if is_responses {
        json!({"id": format!("resp_{turn}"), "status": "completed", "output": [
            {"type": "function_call", "id": format!("fc_{turn}"), "call_id": id, "name": "run", "arguments": "{}"},
        ]})
    } else {
        json!({"id": format!("msg_{turn}"), "stop_reason": "tool_use", "content": [
            {"type": "tool_use", "id": id, "name": "run", "input": {}},
        ]})
    };
    Script::json(vec![body.to_string().into_bytes()])
}

async fn send(gateway: &Gateway, token: &Token, number: usize, turn: &Turn) {
    let (bearer, number) = (format!("Bearer {}", token.text), number.to_string());
    let mut headers = vec![("authorization", bearer.as_str()), ("x-turn", &number)];
    headers.extend_from_slice(&turn.headers);
    let mut client = gateway.connect().await;
    client
        .post(turn.path, &headers, turn.body.to_string().as_bytes())
        .await;
    assert_eq!(client.answer().await.status, 200);
}

async fn requests_that_belong_together_are_found_together(engine: Engine) {
    let provider = Provider::start(|asked| {
        let is_responses = asked.header("x-api-key").is_empty();
        answer(asked.header("x-turn").parse().unwrap(), is_responses)
    })
    .await;
    let (gateway, owner) = gateway_of(engine, &provider, &[]).await;
    let mut tokens = Vec::new();
    for user in ["alice", "bob"] {
        gateway.create_user(&owner, user).await;
        tokens.push((user, gateway.create_token(&owner, user, "t").await));
    }
    let turns = turns();
    for (number, turn) in turns.iter().enumerate() {
        let (_, token) = tokens.iter().find(|(user, _)| *user == turn.user).unwrap();
        send(&gateway, token, number, turn).await;
    }
    let (_site, rows) = recorded(gateway).await;
    assert_eq!(rows.len(), turns.len());
    for (number, (row, turn)) in rows.iter().zip(&turns).enumerate() {
        assert_turn(&rows, number, row, turn);
    }
}

fn assert_turn(rows: &[Interception], number: usize, row: &Interception, turn: &Turn) {
    assert_eq!(row.initiator_username, turn.user, "{number}");
    let id = |turn: Option<usize>| turn.map(|turn| rows[turn].id);
    assert_eq!(row.thread_parent_id, id(turn.parent), "{number}");
    assert_eq!(row.thread_root_id, id(turn.root), "{number}");
    let (session, named) = match turn.session {
        Session::Named(name) => (name.to_owned(), Some(name)),
        Session::OfTurn(turn) => (rows[turn].id.to_string(), None),
    };
    assert_eq!(row.session_id, session, "{number}");
    assert_eq!(row.client_session_id.as_deref(), named, "{number}");
    let client = match turn.headers[0].1 {
        CLAUDE => ("Claude Code", Some("2.1.330")),
        CODEX => ("Codex", Some("0.169.0")),
        _ => ("Unknown", None),
    };
    assert_eq!(
        (row.client.as_str(), row.client_version.as_deref()),
        client,
        "{number}"
    );
}

#[tokio::test]
async fn requests_that_belong_together_are_found_together_on_sqlite() {
    requests_that_belong_together_are_found_together(Engine::Sqlite).await;
}

#[tokio::test]
async fn requests_that_belong_together_are_found_together_on_postgres() {
    requests_that_belong_together_are_found_together(Engine::Postgres).await;
}
