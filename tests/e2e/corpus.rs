//! Every answer of the corpus through the real server, cut at random: what the client gets is what the provider sent,
//! and what the database holds is what the corpus says, on both engines.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use gateway_core::interception::{CredentialKind, Outcome};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::client::End;
use crate::fixtures::Case;
use crate::provider::{Asked, Finish, Provider, Script};
use crate::rows::{of, recorded, shown};
use crate::support::{Engine, Gateway, OPENAI_KEY, Token};

/// How many exchanges go on at once, so that records meet each other in one commit.
const AT_ONCE: usize = 12;

/// A gateway whose providers are one of the test's own.
pub(crate) async fn gateway_of(
    engine: Engine,
    provider: &Provider,
    settings: &[(&str, &str)],
) -> (Gateway, Token) {
    let (root, versioned) = (provider.url(), format!("{}/v1", provider.url()));
    let mut all = vec![
        ("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", root.as_str()),
        ("CODER_AIBRIDGE_OPENAI_BASE_URL", &versioned),
        ("CODER_AIBRIDGE_PROVIDER_0_TYPE", "openai"),
        ("CODER_AIBRIDGE_PROVIDER_0_NAME", "compatible"),
        ("CODER_AIBRIDGE_PROVIDER_0_KEY", OPENAI_KEY),
        ("CODER_AIBRIDGE_PROVIDER_0_BASE_URL", &versioned),
        ("CODER_AIBRIDGE_PROVIDER_0_INJECT_USAGE", "false"),
    ];
    all.extend_from_slice(settings);
    Gateway::with_owner(engine, &all).await
}

/// Cuts bytes at a few places, which may fall together.
fn pieces(bytes: &[u8], random: &mut StdRng) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = (0..random.random_range(0..30))
        .map(|_| random.random_range(0..=bytes.len()))
        .chain([0, bytes.len()])
        .collect();
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

fn script(case: &Case, random: &mut StdRng) -> Script {
    let pieces = pieces(&case.answer, random);
    let script = if case.is_stream {
        Script::events(pieces)
    } else {
        Script::json(pieces)
    };
    Script {
        status: case.status(),
        has_length: !case.is_stream && random.random(),
        end: if case.is_torn() {
            Finish::Broken
        } else {
            Finish::Whole
        },
        ..script
    }
}

/// Plays the case that the user agent names.
fn play(cases: &[Case], seed: u64, asked: &Asked) -> Script {
    let at = cases
        .iter()
        .position(|case| case.name == asked.header("user-agent"))
        .unwrap();
    let case = &cases[at];
    assert!(
        asked.body == case.sent(),
        "{}: the request was changed",
        case.name
    );
    script(case, &mut StdRng::seed_from_u64(seed + at as u64))
}

/// What the provider stores can be referred to with a key of one's own only, as long as the gateway has not seen it made.
fn credentials(case: &Case, token: &Token) -> Vec<(&'static str, String)> {
    if case.refers_to_an_earlier_answer() {
        vec![
            ("x-coder-ai-governance-token", token.text.clone()),
            ("authorization", "Bearer own-key".to_owned()),
        ]
    } else {
        vec![("authorization", format!("Bearer {}", token.text))]
    }
}

/// What is wrong with the answer that the client gets.
async fn fault(gateway: &Gateway, token: &Token, case: &Case) -> Option<String> {
    let credentials = credentials(case, token);
    let mut headers: Vec<(&str, &str)> = credentials
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    headers.push(("user-agent", &case.name));
    let mut client = gateway.connect().await;
    client.post(&case.path(), &headers, &case.request).await;
    let answer = client.answer().await;
    let passed = case.passed();
    // The gateway may have a last word on an answer that broke off.
    let (is_as_sent, end) = if case.is_torn() {
        (answer.body.starts_with(&passed), End::Cut)
    } else {
        (answer.body == passed, End::Complete)
    };
    let is_good = is_as_sent && (answer.status, answer.end) == (case.status(), end);
    (!is_good).then(|| {
        format!(
            "{}: the client got {} {:?} {}",
            case.name,
            answer.status,
            answer.end,
            answer.text()
        )
    })
}

async fn every_answer_is_recorded(engine: Engine) {
    let seed: u64 = rand::rng().random_range(0..u64::MAX / 2);
    let cases = Arc::new(Case::all());
    let provider = Provider::start({
        let cases = Arc::clone(&cases);
        move |asked| play(&cases, seed, &asked)
    })
    .await;
    let (gateway, owner) = gateway_of(engine, &provider, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let mut faults: Vec<String> = stream::iter(cases.iter())
        .map(|case| fault(&gateway, &token, case))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |fault| fault)
        .collect()
        .await;
    let (_site, rows) = recorded(gateway).await;
    assert_eq!(rows.len(), cases.len(), "{}", faults.join("\n"));
    for case in cases.iter() {
        let row = of(&rows, &case.name);
        assert_eq!(row.initiator_username, "admin");
        assert_eq!(row.token_id.to_string(), token.id());
        assert_eq!(
            row.credential_kind == CredentialKind::Byok,
            case.refers_to_an_earlier_answer()
        );
        assert!(row.ended_at.is_some_and(|ended| ended >= row.started_at));
        let (expected, shown) = (case.record(), shown(row));
        if expected != shown {
            faults.push(format!("{}: {}", case.name, difference(&expected, &shown)));
        }
    }
    assert!(faults.is_empty(), "seed {seed}\n{}", faults.join("\n"));
}

/// Streams that end early, where the first of several tool calls is complete: the case, what is in the last event that
/// passes, and the usage that was told by then.
fn beginnings() -> [(Case, &'static str, Value); 3] {
    let usage = json!({
        "input": 430, "output": 1, "cache_read": 0, "cache_write": 0, "reasoning": null, "service_tier": "standard",
        "extra": {}, "is_partial": true,
    });
    [
        (
            Case::named("messages/parallel_tools_stream"),
            r#""content_block_stop","index":0"#,
            usage,
        ),
        (
            Case::named("chat_completions/parallel_tools_stream"),
            r#"our\":\"red\"}"#,
            Value::Null,
        ),
        (
            Case::named("responses/parallel_tools_stream"),
            "response.output_item.done",
            Value::Null,
        ),
    ]
}

/// What takes the right away from a user.
const REVOCATIONS: [(&str, &str); 3] = [
    ("DELETE", "/keys/{token}"),
    ("PUT", "/status/suspend"),
    ("DELETE", ""),
];

/// The client goes away, or its right does, while the provider holds the rest of its answer back.
async fn a_stream_that_is_cut_is_recorded_so_far(engine: Engine) {
    let provider = Provider::start(|asked| {
        let cut = beginnings()
            .into_iter()
            .find(|(case, ..)| case.name == asked.header("x-case"));
        let (case, needle, usage) = cut.unwrap();
        Script {
            end: Finish::Held,
            ..Script::events(vec![case.cut_behind(needle, &usage, "").0])
        }
    })
    .await;
    let (gateway, owner) = gateway_of(engine, &provider, &[]).await;
    let mut expected = Vec::new();
    for (at, (case, needle, usage)) in beginnings().into_iter().enumerate() {
        for outcome in ["client_gone", "revoked"] {
            let user = format!("{}{at}", outcome.replace('_', ""));
            gateway.create_user(&owner, &user).await;
            let token = gateway.create_token(&owner, &user, "t").await;
            let bearer = format!("Bearer {}", token.text);
            let headers = [
                ("authorization", bearer.as_str()),
                ("user-agent", &user),
                ("x-case", &case.name),
            ];
            let (sent, record) = case.cut_behind(needle, &usage, outcome);
            let mut client = gateway.connect().await;
            client.post(&case.path(), &headers, &case.request).await;
            client.read_body(sent.len()).await;
            if outcome == "revoked" {
                let (method, path) = REVOCATIONS[at];
                let path = format!("/api/v2/users/{user}{}", path.replace("{token}", token.id()));
                let (status, reply) = gateway.call(method, &path, Some(&owner), None).await;
                assert!(status < 300, "{method} {path}: {status} {reply}");
                let answer = client.answer().await;
                assert_eq!(answer.end, End::Cut);
                assert!(answer.body.starts_with(&sent));
            }
            drop(client);
            provider.given_up().await;
            expected.push((user, record));
        }
    }
    let (_site, rows) = recorded(gateway).await;
    assert_eq!(rows.len(), expected.len());
    for (user, record) in expected {
        let row = of(&rows, &user);
        assert_eq!(row.initiator_username, user);
        let seen = shown(row);
        assert_eq!(record, seen, "{user}: {}", difference(&record, &seen));
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_recorded_so_far_on_sqlite() {
    a_stream_that_is_cut_is_recorded_so_far(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_recorded_so_far_on_postgres() {
    a_stream_that_is_cut_is_recorded_so_far(Engine::Postgres).await;
}

/// The provider says nothing: one refusal in the provider's form, and a record of it.
async fn a_request_without_an_answer_is_recorded(engine: Engine) {
    let provider = Provider::start(|_| Script {
        status: 0,
        ..Script::json(Vec::new())
    })
    .await;
    let (gateway, owner) = gateway_of(engine, &provider, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let (cases, bearer) = (beginnings(), format!("Bearer {}", token.text));
    for (case, ..) in &cases {
        let headers = [("authorization", bearer.as_str()), ("user-agent", &case.name)];
        let mut client = gateway.connect().await;
        client.post(&case.path(), &headers, &case.request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.end), (502, End::Complete));
        let text: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(text["error"]["message"].is_string(), "{text}");
    }
    let (_site, rows) = recorded(gateway).await;
    for (case, ..) in &cases {
        let row = of(&rows, &case.name);
        assert_eq!((row.outcome, row.status), (Some(Outcome::ProviderBroke), None));
        assert!(row.error_message.is_some() && row.prompt.is_some());
        assert!(row.usage.is_none() && row.tools.is_empty() && row.marks.is_empty());
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_recorded_on_sqlite() {
    a_request_without_an_answer_is_recorded(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_request_without_an_answer_is_recorded_on_postgres() {
    a_request_without_an_answer_is_recorded(Engine::Postgres).await;
}

/// The members that are not alike.
fn difference(expected: &Value, seen: &Value) -> String {
    let members = expected.as_object().unwrap();
    members
        .iter()
        .filter(|(name, value)| seen[*name] != **value)
        .map(|(name, value)| format!("{name} should be {value} and is {}", seen[name]))
        .collect::<Vec<_>>()
        .join("; ")
}

#[tokio::test]
async fn every_answer_is_recorded_on_sqlite() {
    every_answer_is_recorded(Engine::Sqlite).await;
}

#[tokio::test]
async fn every_answer_is_recorded_on_postgres() {
    every_answer_is_recorded(Engine::Postgres).await;
}
