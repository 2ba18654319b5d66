//! Text that a database does not take, and more of everything than anyone sends, in the midst of ordinary requests: each
//! is recorded or marked, none does harm to its neighbours. On both engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_core::interception::{Mark, Outcome};
use gateway_store::Interception;
use serde_json::{Value, json};

use crate::client::End;
use crate::corpus::gateway_of;
use crate::provider::{Asked, Provider, Script};
use crate::rows::recorded;
use crate::support::{CHAT, Engine, Gateway, MESSAGES, RESPONSES, Token};

/// The longest prompt that is kept.
const PROMPT_MAX: usize = 4 << 20;

/// The longest body that is relayed.
const BODY_MAX: usize = 32 << 20;

/// The same unstorable text three times: as JSON escapes, and as bytes that are not UTF-8.
const BAD: [(&[u8], &str); 3] = [
    (br"a\u0000b", "a\u{fffd}b"),
    (br"a\ud800b", "a\u{fffd}b"),
    (b"a\xffb", "a\u{fffd}b"),
];

/// A request, its answer, and what is to be recorded of the two.
struct Trial {
    name: String,
    path: &'static str,
    user_agent: Vec<u8>,
    session: &'static str,
    request: Vec<u8>,
    answer: Answer,
    check: Box<dyn Fn(&Interception) + Send + Sync>,
}

#[derive(Clone)]
enum Answer {
    Plain,
    Events(Vec<u8>),
    Body(u16, Vec<u8>),
}

const PLAIN_REQUEST: &[u8] = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
const PLAIN_ANSWER: &[u8] = br#"{"id":"msg_plain","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":6}}"#;

// === impl Trial ===

impl Trial {
    fn new(name: impl Into<String>, check: impl Fn(&Interception) + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            path: MESSAGES,
            user_agent: b"trial".to_vec(),
            session: "",
            request: PLAIN_REQUEST.to_vec(),
            answer: Answer::Plain,
            check: Box::new(check),
        }
    }
}

// === impl Answer ===

impl Answer {
    fn bytes(&self) -> (u16, &[u8]) {
        match self {
            Self::Plain => (200, PLAIN_ANSWER),
            Self::Events(bytes) => (200, bytes),
            Self::Body(status, bytes) => (*status, bytes),
        }
    }

    fn script(&self) -> Script {
        let (status, bytes) = self.bytes();
        let pieces = bytes.chunks(16 * 1024).map(<[u8]>::to_vec).collect();
        match self {
            Self::Events(_) => Script::events(pieces),
            Self::Plain | Self::Body(..) => Script {
                status,
                ..Script::json(pieces)
            },
        }
    }
}

/// JSON text with the bad text in place of the one `#`.
fn with(template: &str, bad: &[u8]) -> Vec<u8> {
    let (before, after) = template.split_once('#').unwrap();
    [before.as_bytes(), bad, after.as_bytes()].concat()
}

fn assert_mended(row: &Interception) {
    assert!(row.marks.contains(Mark::TextMended), "{row:?}");
}

fn bad_requests() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (bad, text) in BAD {
        trials.push(Trial {
            request: with(
                r##"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"#"}]}"##,
                bad,
            ),
            ..Trial::new("prompt", move |row| {
                assert_eq!(row.prompt.as_deref(), Some(text));
                assert_mended(row);
            })
        });
        trials.push(Trial {
            request: with(
                r##"{"model":"#","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"##,
                bad,
            ),
            ..Trial::new("model", move |row| {
                assert_eq!(row.model, text);
                assert_mended(row);
            })
        });
    }
    trials.push(Trial {
        user_agent: b"agent \xff\xc3\xa9".to_vec(),
        ..Trial::new("user agent", |row| {
            assert_eq!(row.user_agent.as_deref(), Some("agent \u{fffd}é"));
            assert_mended(row);
        })
    });
    trials.push(Trial {
        user_agent: "claude-cli/2.1 (José)".into(),
        session: "séance",
        ..Trial::new("session in UTF-8", |row| {
            assert_eq!(row.user_agent.as_deref(), Some("claude-cli/2.1 (José)"));
            assert_eq!(
                (row.client.as_str(), row.session_id.as_str()),
                ("Claude Code", "séance")
            );
            assert!(row.marks.is_empty());
        })
    });
    trials.push(Trial {
        user_agent: [b"agent ", "é".repeat(400).as_bytes()].concat(),
        ..Trial::new("long user agent", |row| {
            let expected = format!("agent {}", "é".repeat(125));
            assert_eq!(row.user_agent.as_deref(), Some(expected.as_str()));
            assert!(row.marks.is_empty());
        })
    });
    trials
}

fn bad_answers() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (bad, text) in BAD {
        let body = with(
            r##"{"id":"msg_1","type":"message","model":"m","content":[{"type":"tool_use","id":"tu_1","name":"run","input":{"x":"#"}},{"type":"thinking","thinking":"hm"}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"##,
            bad,
        );
        trials.push(Trial {
            answer: Answer::Body(200, body),
            ..Trial::new("arguments in a body", move |row| {
                let input = row.tools[0].input.as_deref().unwrap();
                // Arguments are kept as they are written, so that an escape is no bad text yet.
                let parsed: Value = serde_json::from_str(input).unwrap_or_default();
                assert!(
                    input.contains(r"a\u0000b") || input.contains(r"a\ud800b") || parsed["x"] == text,
                    "{input}"
                );
                assert_eq!(row.thoughts[0].content, "hm");
            })
        });
        let events = with(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"run\",\"arguments\":\"#\"}}]}}]}\n\n\
             data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
            bad,
        );
        trials.push(Trial {
            path: CHAT,
            request: br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#.to_vec(),
            answer: Answer::Events(events),
            ..Trial::new("arguments in a stream", move |row| {
                assert_eq!(row.tools[0].input.as_deref(), Some(text));
                assert_mended(row);
            })
        });
        let events = with(
            "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c1\",\"name\":\"#\",\"arguments\":\"{}\"}}\n\n\
             event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\"}}\n\n",
            bad,
        );
        trials.push(Trial {
            path: RESPONSES,
            request: br#"{"model":"m","stream":true,"input":"hi"}"#.to_vec(),
            answer: Answer::Events(events),
            ..Trial::new("name of a tool", move |row| {
                assert_eq!(row.tools[0].tool, text);
                assert_mended(row);
            })
        });
        trials.push(Trial {
            answer: Answer::Body(
                500,
                with(
                    r##"{"type":"error","error":{"type":"api_error","message":"#"}}"##,
                    bad,
                ),
            ),
            ..Trial::new("message of an error", move |row| {
                assert_eq!(row.outcome, Some(Outcome::ProviderError));
                assert_eq!(row.error_type.as_deref(), Some("api_error"));
                assert_eq!(row.error_message.as_deref(), Some(text));
                assert_mended(row);
            })
        });
    }
    trials
}

/// Counts that no database adds up for long, and counts that are none.
fn bad_counts() -> Vec<Trial> {
    let huge = i64::MAX;
    let usage = format!(r#"{{"input_tokens":{huge},"output_tokens":{huge},"cache_read_input_tokens":-1}}"#);
    (0..3)
        .map(|_| Trial {
            answer: Answer::Body(200, format!(r#"{{"id":"msg_1","usage":{usage}}}"#).into_bytes()),
            ..Trial::new("counts", |row| {
                let usage = row.usage.as_ref().unwrap();
                assert!(usage.input > 0 && usage.output > 0 && usage.cache_read_input == 0);
                assert!(row.marks.contains(Mark::ObservationIncomplete));
            })
        })
        .collect()
}

/// A body of the longest length whose prompt is all this.
fn filled(with: &[u8]) -> Vec<u8> {
    let (before, after) = (
        &br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":""#[..],
        &br#""}]}"#[..],
    );
    let mut body = before.to_vec();
    let room = BODY_MAX - before.len() - after.len();
    body.extend(with.repeat(room / with.len()));
    body.resize(BODY_MAX - after.len(), b'x');
    body.extend_from_slice(after);
    body
}

fn long_prompts() -> Vec<Trial> {
    [
        (&b"long "[..], "long long ", false),
        (br"\u0000", "\u{fffd}\u{fffd}", true),
    ]
    .into_iter()
    .map(|(fill, begin, is_mended)| Trial {
        request: filled(fill),
        ..Trial::new("longest prompt", move |row| {
            let prompt = row.prompt.as_deref().unwrap();
            assert!(prompt.starts_with(begin));
            assert!(
                prompt.len() <= PROMPT_MAX && prompt.len() > PROMPT_MAX - 4,
                "{}",
                prompt.len()
            );
            assert!(row.marks.contains(Mark::PromptCut));
            assert_eq!(row.marks.contains(Mark::TextMended), is_mended);
        })
    })
    .collect()
}

const CALLS: usize = 10_000;

fn arguments(at: usize) -> String {
    format!("{{\"at\":{at}}}")
}

/// One after the other, in the parts of a stream or the list of a body.
fn all_calls<T, C: FromIterator<T>>(call: impl Fn(usize) -> T) -> C {
    (0..CALLS).map(call).collect()
}

fn event(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
}

fn stream(calls: String, end: &str) -> Answer {
    Answer::Events((calls + end).into_bytes())
}

fn body(body: &Value) -> Answer {
    Answer::Body(200, body.to_string().into_bytes())
}

fn calls_of_messages() -> [Answer; 2] {
    let block = |at: usize, input: Value| json!({"type": "tool_use", "id": format!("c{at}"), "name": "run", "input": input});
    let events = |at: usize| {
        let delta = json!({"type": "input_json_delta", "partial_json": arguments(at)});
        event(&json!({"type": "content_block_start", "index": at, "content_block": block(at, json!({}))}))
            + &event(&json!({"type": "content_block_delta", "index": at, "delta": delta}))
            + &event(&json!({"type": "content_block_stop", "index": at}))
    };
    let content: Vec<Value> = all_calls(|at| block(at, json!({"at": at})));
    [
        stream(all_calls(events), &event(&json!({"type": "message_stop"}))),
        body(&json!({"id": "msg_1", "content": content})),
    ]
}

fn calls_of_chat() -> [Answer; 2] {
    let call = |at: usize| {
        let function = json!({"name": "run", "arguments": arguments(at)});
        json!({"index": at, "id": format!("c{at}"), "type": "function", "function": function})
    };
    let chunk = |at: usize| {
        let choice = json!({"index": 0, "delta": {"tool_calls": [call(at)]}});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let calls: Vec<Value> = all_calls(call);
    [
        stream(all_calls(chunk), "data: [DONE]\n\n"),
        body(&json!({"id": "c", "choices": [{"index": 0, "message": {"tool_calls": calls}}]})),
    ]
}

fn calls_of_responses() -> [Answer; 2] {
    let item = |at: usize| {
        json!({
            "type": "function_call", "id": format!("fc_{at}"), "call_id": format!("c{at}"), "name": "run",
            "arguments": arguments(at),
        })
    };
    let done =
        |at| event(&json!({"type": "response.output_item.done", "output_index": at, "item": item(at)}));
    let response = json!({"id": "resp_1", "status": "completed", "output": all_calls::<_, Vec<Value>>(item)});
    let end = event(&json!({"type": "response.completed", "response": response}));
    [stream(all_calls(done), &end), body(&response)]
}

/// As many tool calls as no model makes, in every form of an answer.
fn many_calls() -> Vec<Trial> {
    let answers = [
        (MESSAGES, "messages", calls_of_messages()),
        (CHAT, "messages", calls_of_chat()),
        (RESPONSES, "input", calls_of_responses()),
    ];
    let mut trials = Vec::new();
    for (path, list, answers) in answers {
        for answer in answers {
            let is_stream = matches!(answer, Answer::Events(_));
            let request =
                json!({"model": "m", "stream": is_stream, list: [{"role": "user", "content": "hi"}]});
            trials.push(Trial {
                path,
                request: request.to_string().into_bytes(),
                answer,
                ..Trial::new(
                    format!("many calls, {path}, stream: {is_stream}"),
                    assert_all_calls,
                )
            });
        }
    }
    trials
}

fn assert_all_calls(row: &Interception) {
    assert_eq!(row.tools.len(), CALLS);
    for (at, tool) in row.tools.iter().enumerate() {
        assert_eq!(tool.provider_tool_call_id, Some(format!("c{at}")));
        assert_eq!(tool.input, Some(arguments(at)));
    }
    assert!(!row.marks.contains(Mark::ObservationIncomplete));
}

/// Sends one request; the client gets what the provider sent.
async fn send(gateway: &Gateway, token: &Token, trial: &Trial, number: usize) {
    let mut client = gateway.connect().await;
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer {}\r\nx-trial: {number}\r\nx-claude-code-session-id: {}\r\ncontent-length: {}\r\nuser-agent: ",
        trial.path, token.text, trial.session, trial.request.len()
    )
    .into_bytes();
    head.extend_from_slice(&trial.user_agent);
    head.extend_from_slice(b"\r\n\r\n");
    client.send(&head).await;
    client.send(&trial.request).await;
    let answer = client.answer().await;
    let (status, sent) = trial.answer.bytes();
    assert_eq!(
        (answer.status, answer.end),
        (status, End::Complete),
        "{}",
        trial.name
    );
    if trial.path != CHAT {
        assert!(answer.body == sent, "{}: {}", trial.name, answer.text());
    }
}

/// Sends ordinary requests until told to stop; returns how many.
async fn ordinary(gateway: &Gateway, token: &Token, enough: &AtomicBool) -> usize {
    let mut sent = 0;
    while !enough.load(Ordering::Relaxed) {
        let request = format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"ordinary {sent}"}}]}}"#
        );
        let mut client = gateway.connect().await;
        client
            .post(MESSAGES, &[("x-api-key", &token.text)], request.as_bytes())
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, PLAIN_ANSWER));
        sent += 1;
    }
    sent
}

fn assert_ordinary(rows: &[&Interception], sent: usize) {
    assert_eq!(rows.len(), sent);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row.prompt, Some(format!("ordinary {number}")));
        assert_eq!(row.outcome, Some(Outcome::Completed));
        assert!(row.marks.is_empty());
        let usage = row.usage.as_ref().unwrap();
        assert_eq!((usage.input, usage.output), (5, 6));
    }
}

async fn trials_and_ordinary_requests(engine: Engine) {
    let mut trials = bad_requests();
    trials.extend(bad_answers());
    trials.extend(bad_counts());
    trials.extend(long_prompts());
    trials.extend(many_calls());
    let answers: Vec<Answer> = trials.iter().map(|trial| trial.answer.clone()).collect();
    let answers = Arc::new(answers);
    let provider = Provider::start(move |asked: Asked| {
        let trial = asked.header("x-trial").parse::<usize>();
        trial
            .map_or(Answer::Plain, |number| answers[number].clone())
            .script()
    })
    .await;
    let (gateway, owner) = gateway_of(engine, &provider, &[]).await;
    gateway.create_user(&owner, "neighbour").await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let neighbour = gateway.create_token(&owner, "neighbour", "t").await;

    let enough = AtomicBool::new(false);
    let hostile = async {
        for (number, trial) in trials.iter().enumerate() {
            send(&gateway, &token, trial, number).await;
        }
        enough.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(ordinary(&gateway, &neighbour, &enough), hostile);
    let (_site, rows) = recorded(gateway).await;
    let (neighbours, rows): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.initiator_username == "neighbour");
    assert_ordinary(&neighbours, sent);
    assert_eq!(rows.len(), trials.len());
    // They were sent one after the other.
    for (row, trial) in rows.into_iter().zip(&trials) {
        assert!(
            !row.marks.contains(Mark::Unrecordable) && row.outcome.is_some(),
            "{}",
            trial.name
        );
        (trial.check)(row);
    }
}

#[tokio::test]
async fn no_text_fails_its_neighbours_on_sqlite() {
    trials_and_ordinary_requests(Engine::Sqlite).await;
}

#[tokio::test]
async fn no_text_fails_its_neighbours_on_postgres() {
    trials_and_ordinary_requests(Engine::Postgres).await;
}
