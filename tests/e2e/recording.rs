//! What is recorded whatever the way there, and what never is: encoded answers, HTTP/2, records without content, records
//! as lines of JSON.

use std::collections::BTreeSet;

use gateway_core::interception::{Mark, Outcome};
use gateway_store::Interception;
use serde_json::{Value, json};

use crate::corpus::gateway_of;
use crate::fidelity::gzip_stored;
use crate::provider::{Provider, Script};
use crate::rows::{of, recorded, shown};
use crate::support::{ANTHROPIC_KEY, CHAT, Engine, Gateway, MESSAGES, OPENAI_KEY, RESPONSES, Site, Token};

/// What must not be kept where content is not recorded.
const SENTINEL: &str = "xyzzy-1f0e9d";

/// The three APIs, and how each is asked for a stream or not.
fn questions(text: &str) -> Vec<(&'static str, Value)> {
    let mut questions = Vec::new();
    for stream in [true, false] {
        let message = json!([{"role": "user", "content": text}]);
        questions.push((
            MESSAGES,
            json!({"model": "m", "max_tokens": 9, "stream": stream, "messages": message}),
        ));
        questions.push((CHAT, json!({"model": "m", "stream": stream, "messages": message})));
        questions.push((
            RESPONSES,
            json!({"model": "m", "stream": stream, "input": message}),
        ));
    }
    questions
}

async fn ask(gateway: &Gateway, token: &Token, path: &str, question: &Value, headers: &[(&str, &str)]) {
    let bearer = format!("Bearer {}", token.text);
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    let mut client = gateway.connect().await;
    client.post(path, &all, question.to_string().as_bytes()).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Without the ids, which the simulated provider never gives twice.
fn without_ids(row: &Interception) -> Value {
    let mut shown = shown(row);
    shown["response_id"] = Value::Null;
    for call in shown["tool_calls"].as_array_mut().unwrap() {
        for id in ["response_id", "call_id", "item_id"] {
            call[id] = Value::Null;
        }
    }
    shown
}

async fn an_encoded_answer_is_recorded_as_the_plain_one(engine: Engine) {
    let (gateway, owner) = Gateway::with_owner(engine, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let encodings = ["plain", "gzip", "br", "zstd", "deflate"];
    for (number, (path, question)) in questions("Hello").into_iter().enumerate() {
        for encoding in encodings {
            let name = format!("{encoding} {number}");
            let mut directives = "tools=2 reasoning cached=7".to_owned();
            if encoding != "plain" {
                directives.push_str(" encoded=");
                directives.push_str(encoding);
            }
            let headers = [("user-agent", name.as_str()), ("x-sim", &directives)];
            ask(&gateway, &token, path, &question, &headers).await;
        }
    }
    let (_site, rows) = recorded(gateway).await;
    for number in 0..6 {
        let plain = of(&rows, &format!("plain {number}"));
        assert_eq!(plain.tools.len(), 2);
        let expected = without_ids(plain);
        for encoding in &encodings[1..] {
            let row = of(&rows, &format!("{encoding} {number}"));
            assert_eq!(without_ids(row), expected, "{number} {encoding}");
        }
    }
}

#[tokio::test]
async fn an_encoded_answer_is_recorded_as_the_plain_one_on_sqlite() {
    an_encoded_answer_is_recorded_as_the_plain_one(Engine::Sqlite).await;
}

#[tokio::test]
async fn an_encoded_answer_is_recorded_as_the_plain_one_on_postgres() {
    an_encoded_answer_is_recorded_as_the_plain_one(Engine::Postgres).await;
}

#[tokio::test]
async fn an_encoded_request_is_recorded_with_its_prompt() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let questions = questions("Hello");
    for (number, (path, question)) in questions.iter().enumerate() {
        let (bearer, name) = (format!("Bearer {}", token.text), format!("gzip {number}"));
        let headers = [
            ("authorization", bearer.as_str()),
            ("user-agent", &name),
            ("content-encoding", "gzip"),
        ];
        let mut client = gateway.connect().await;
        let body = gzip_stored(question.to_string().as_bytes());
        client.post(path, &headers, &body).await;
        assert_eq!(client.answer().await.status, 200);
    }
    let (_site, rows) = recorded(gateway).await;
    for (number, (path, question)) in questions.iter().enumerate() {
        let row = of(&rows, &format!("gzip {number}"));
        assert_eq!((row.model.as_str(), row.prompt.as_deref()), ("m", Some("Hello")));
        // Nothing is added to a body that is encoded.
        let is_untold = *path == CHAT && question["stream"] == true;
        assert_eq!(row.marks.contains(Mark::UsageNotReported), is_untold);
        assert_eq!(row.usage.is_none(), is_untold);
    }
}

#[tokio::test]
async fn streams_of_one_http2_connection_are_recorded() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[("CODER_LOG_FILTER", "trace")]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let asked = questions("Hello")
        .into_iter()
        .enumerate()
        .map(async |(number, (path, question))| {
            let answer = client
                .post(format!("{}{path}", gateway.url()))
                .bearer_auth(&token.text)
                .header("user-agent", format!("h2 {number}"))
                .header("x-sim", "tools=2 reasoning")
                .json(&question)
                .send()
                .await
                .unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.version()),
                (200, reqwest::Version::HTTP_2)
            );
            answer.text().await.unwrap()
        });
    futures_util::future::join_all(asked).await;
    let (site, rows) = recorded(gateway).await;
    assert!(!site.log().contains(&token.text[15..]), "a secret is in the log");
    assert_eq!(rows.len(), 6);
    for number in 0..6 {
        let row = of(&rows, &format!("h2 {number}"));
        assert_eq!(row.outcome, Some(Outcome::Completed));
        assert_eq!((row.tools.len(), row.prompt.as_deref()), (2, Some("Hello")));
        assert!(row.usage.is_some() && row.marks.is_empty(), "{row:?}");
    }
}

/// Answers that hold the sentinel wherever the model can write.
fn telling(path: &str, is_stream: bool) -> Script {
    let arguments = format!("{{\"x\":\"{SENTINEL}\"}}");
    let content = json!([
        {"type": "thinking", "thinking": SENTINEL},
        {"type": "tool_use", "id": "tu_1", "name": "run", "input": {"x": SENTINEL}},
        {"type": "text", "text": SENTINEL},
    ]);
    let call = json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "run", "arguments": arguments}});
    let output = json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": SENTINEL}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "run", "arguments": arguments},
        {"type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "patch", "input": SENTINEL},
    ]);
    let usage = json!({"input_tokens": 1, "output_tokens": 2});
    let response = json!({"id": "resp_1", "status": "completed", "output": output, "usage": usage});
    let (events, body) = match path {
        "anthropic" => (
            vec![
                json!({"type": "message_start", "message": {"id": "msg_1", "usage": usage}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": SENTINEL}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "tu_1", "name": "run", "input": {}}}),
                json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": arguments}}),
                json!({"type": "content_block_stop", "index": 1}),
                json!({"type": "message_stop"}),
            ],
            json!({"id": "msg_1", "content": content, "usage": usage}),
        ),
        "chat" => (
            vec![
                json!({"choices": [{"index": 0, "delta": {"reasoning_content": SENTINEL, "content": SENTINEL, "tool_calls": [call]}}]}),
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            ],
            json!({"id": "c", "choices": [{"index": 0, "message": {"reasoning_content": SENTINEL, "tool_calls": [call]}}]}),
        ),
        _ => {
            let items = output.as_array().unwrap().iter().enumerate().map(
                |(at, item)| json!({"type": "response.output_item.done", "output_index": at, "item": item}),
            );
            let end = json!({"type": "response.completed", "response": response});
            (items.chain([end]).collect(), response)
        }
    };
    if is_stream {
        let mut text = events
            .iter()
            .fold(String::new(), |text, event| text + &format!("data: {event}\n\n"));
        if path == "chat" {
            text.push_str("data: [DONE]\n\n");
        }
        Script::events(vec![text.into_bytes()])
    } else {
        Script::json(vec![body.to_string().into_bytes()])
    }
}

/// Sends every question to a provider that repeats the sentinel, and adds to it what the caller wants.
async fn tell_all(
    engine: Engine,
    settings: &[(&str, &str)],
    prompt: impl Fn(&Token) -> String,
) -> (Gateway, Token) {
    let provider = Provider::start(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        telling(asked.header("x-api"), body["stream"] == true)
    })
    .await;
    let (gateway, owner) = gateway_of(engine, &provider, settings).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    for (path, question) in questions(&prompt(&token)) {
        let api = match path {
            MESSAGES => "anthropic",
            CHAT => "chat",
            _ => "responses",
        };
        ask(&gateway, &token, path, &question, &[("x-api", api)]).await;
    }
    (gateway, token)
}

/// Every byte of the database, and of what lies beside its file.
fn bytes_of(site: &Site) -> Vec<u8> {
    if let Some(url) = site.database_url() {
        let dump = std::process::Command::new("pg_dump")
            .args(["-d", url])
            .output()
            .unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        return dump.stdout;
    }
    let folder = std::fs::read_dir(site.path("server")).unwrap();
    let mut bytes = Vec::new();
    for entry in folder
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_file())
    {
        bytes.extend(std::fs::read(entry.path()).unwrap());
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn content_is_recorded_only_where_it_is_wanted(engine: Engine) {
    for is_wanted in [true, false] {
        let settings = [
            (
                "CODER_AIBRIDGE_DISABLE_CONTENT_RECORDING",
                if is_wanted { "false" } else { "true" },
            ),
            // With content these lines hold it, as they are meant to.
            (
                "CODER_AIBRIDGE_STRUCTURED_LOGGING",
                if is_wanted { "false" } else { "true" },
            ),
            ("CODER_LOG_FILTER", "trace"),
        ];
        let (gateway, _) = tell_all(engine, &settings, |_| SENTINEL.to_owned()).await;
        let (site, rows) = recorded(gateway).await;
        assert_eq!(rows.len(), 6);
        for row in &rows {
            let tools: BTreeSet<&str> = row.tools.iter().map(|tool| tool.tool.as_str()).collect();
            assert!(tools.contains("run"), "names are no content: {row:?}");
            assert_eq!(row.prompt.is_some(), is_wanted);
            assert_eq!(!row.thoughts.is_empty(), is_wanted);
            assert!(row.tools.iter().all(|tool| tool.input.is_some() == is_wanted));
            assert!(!row.marks.contains(Mark::ObservationIncomplete));
        }
        assert_eq!(holds(&bytes_of(&site), SENTINEL), is_wanted);
        let log = site.log();
        assert_eq!(log.contains("\"record_type\":\"tool_usage\""), !is_wanted);
        assert!(!log.contains(SENTINEL), "the log holds content");
    }
}

#[tokio::test]
async fn content_is_recorded_only_where_it_is_wanted_on_sqlite() {
    content_is_recorded_only_where_it_is_wanted(Engine::Sqlite).await;
}

#[tokio::test]
async fn content_is_recorded_only_where_it_is_wanted_on_postgres() {
    content_is_recorded_only_where_it_is_wanted(Engine::Postgres).await;
}

#[tokio::test]
async fn records_are_lines_of_json_too_and_hold_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records.json");
    let settings = [
        ("CODER_AIBRIDGE_STRUCTURED_LOGGING", "true"),
        ("CODER_LOGGING_JSON", file.to_str().unwrap()),
        ("CODER_LOG_FILTER", "trace"),
    ];
    let (gateway, token) = tell_all(Engine::Sqlite, &settings, |token| format!("use {}", token.text)).await;
    let (site, rows) = recorded(gateway).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_type = |record_type: &str| {
        lines
            .iter()
            .filter(|line| line["record_type"] == record_type)
            .count()
    };
    let tools: usize = rows.iter().map(|row| row.tools.len()).sum();
    let thoughts: usize = rows.iter().map(|row| row.thoughts.len()).sum();
    let usages = rows.iter().filter(|row| row.usage.is_some()).count();
    for (record_type, count) in [
        ("interception_start", 6),
        ("interception_end", 6),
        ("prompt_usage", 6),
        ("tool_usage", tools),
        ("model_thought", thoughts),
        ("token_usage", usages),
    ] {
        assert!(count > 0);
        assert_eq!(of_type(record_type), count, "{record_type}");
    }
    for row in &rows {
        let id = row.id.to_string();
        assert!(lines.iter().any(|line| line["interception_id"] == id.as_str()));
        assert!(row.marks.contains(Mark::TokenInBody));
        assert_eq!(row.prompt, Some(format!("use cdr_{}_...", token.id())));
    }
    assert!(text.contains(SENTINEL), "content is in the lines");
    let secret = &token.text[15..];
    for secret in [secret, ANTHROPIC_KEY, OPENAI_KEY] {
        assert!(!text.contains(secret), "a secret is in the lines");
        assert!(!site.log().contains(secret), "a secret is in the log");
        assert!(!holds(&bytes_of(&site), secret), "a secret is in the database");
    }
}
