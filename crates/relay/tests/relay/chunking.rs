//! However an answer is cut into frames, the client gets the same bytes and the records say the same.
//!
//! The answers are the corpus of `gateway-llm`. What each means is checked there; here it is what it means in one piece.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use gateway_relay::RecordingOptions;
use http::Response;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::records::Kept;
use crate::support::{Answer, End, World, WorldOptions};

struct Case {
    name: String,
    path: &'static str,
    request: Vec<u8>,
    answer: Bytes,
    is_stream: bool,
    status: u16,
    is_torn: bool,
    /// The parts of the answer that the client has not asked for.
    drops: Vec<(usize, usize)>,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../llm/fixtures");
    let mut cases = Vec::new();
    for (folder, path) in [
        ("messages", "/api/v2/aibridge/anthropic/v1/messages"),
        ("chat_completions", "/api/v2/aibridge/openai/v1/chat/completions"),
        ("responses", "/api/v2/aibridge/openai/v1/responses"),
    ] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        cases.extend(entries.filter_map(|entry| Case::read(&entry.unwrap().path(), path)));
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
});

// === impl Case ===

impl Case {
    fn read(folder: &Path, path: &'static str) -> Option<Self> {
        let json = |name: &str| -> Value {
            fs::read(folder.join(name)).map_or(json!({}), |text| serde_json::from_slice(&text).unwrap())
        };
        // With the organisation's key nothing may refer to an answer that the gateway has not seen.
        if json("request.json").get("previous_response_id").is_some() {
            return None;
        }
        let (case, expected) = (json("case.json"), json("expected.json"));
        let stream = fs::read(folder.join("stream.sse"));
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let drops = expected["drops"].as_array().map_or(&[][..], Vec::as_slice);
        Some(Self {
            name: folder.display().to_string(),
            path,
            request: fs::read(folder.join("request.json")).unwrap(),
            is_stream: stream.is_ok(),
            answer: stream
                .unwrap_or_else(|_| fs::read(folder.join("reply.json")).unwrap())
                .into(),
            status: u16::try_from(case["status"].as_u64().unwrap_or(200)).unwrap(),
            is_torn: case["end"] == "torn",
            drops: drops
                .iter()
                .map(|drop| (number(&drop[0]), number(&drop[1])))
                .collect(),
        })
    }

    fn passed(&self) -> Vec<u8> {
        let mut passed = self.answer.to_vec();
        for (from, to) in self.drops.iter().rev() {
            passed.drain(from..to);
        }
        passed
    }

    /// One exchange with the answer in these frames.
    async fn run(&self, content: bool, frames: Vec<Bytes>) -> (Answer, Kept) {
        let recording = RecordingOptions {
            content,
            ..RecordingOptions::default()
        };
        let mut world = World::with(WorldOptions {
            recording,
            ..WorldOptions::default()
        })
        .await;
        let (_, token) = world.token();
        let bearer = format!("Bearer {}", token.expose());
        let headers = [("authorization", bearer.as_str())];
        let mut client = world.send("POST", self.path, &headers, &self.request).await;
        let media_type = if self.is_stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let head = Response::builder()
            .status(self.status)
            .header("content-type", media_type);
        let sending = world.exchange().await.answer(head.body(()).unwrap());
        for frame in frames {
            sending.send(frame).await;
        }
        if self.is_torn {
            drop(sending);
        } else {
            sending.finish().await;
        }
        let answer = client.answer().await;
        let (_, _, kept) = world.records.only().await;
        (answer, kept)
    }
}

/// What has to be alike. Times are, since the clock stands still.
fn assert_alike(
    case: &Case,
    content: bool,
    (whole, expected): &(Answer, Kept),
    (answer, kept): &(Answer, Kept),
) {
    let name = &case.name;
    assert_eq!(answer.status, case.status, "{name}");
    if case.is_torn {
        assert_ne!(answer.end, End::Complete, "{name}");
        assert!(
            answer.body.starts_with(&case.passed()),
            "{name}: {}",
            answer.text()
        );
    } else {
        assert_eq!(answer.end, End::Complete, "{name}");
        assert!(answer.body == case.passed(), "{name}: {}", answer.text());
    }
    assert!(answer.body == whole.body, "{name}: {}", answer.text());
    assert_eq!(kept.end, expected.end, "{name}");
    assert_eq!(kept.tools, expected.tools, "{name}");
    let start = kept.start.as_ref().unwrap();
    assert_eq!(start.prompt.is_some(), content, "{name}");
    if !content {
        assert!(kept.thoughts().is_empty(), "{name}");
        assert!(kept.tools.iter().all(|tool| tool.input.is_none()), "{name}");
    }
}

/// Cuts at these places.
fn cut(bytes: &Bytes, cuts: &[Index]) -> Vec<Bytes> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.dedup();
    at.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect()
}

#[test]
fn records_and_bytes_are_the_same_in_any_chunking() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // One exchange is thousands of times what a parser takes, so there are fewer of them.
    let config = Config {
        cases: 2 * u32::try_from(CASES.len()).unwrap(),
        failure_persistence: None,
        ..Config::default()
    };
    let wholes: RefCell<HashMap<(usize, bool), (Answer, Kept)>> = RefCell::default();
    let cuts = prop_oneof![
        prop::collection::vec(any::<Index>(), 0..12),
        prop::collection::vec(any::<Index>(), 200..400),
    ];
    let strategy = (0..CASES.len(), any::<bool>(), cuts);
    let checked = TestRunner::new(config).run(&strategy, |(number, content, cuts)| {
        let case = &CASES[number];
        let mut wholes = wholes.borrow_mut();
        let whole = wholes
            .entry((number, content))
            .or_insert_with(|| runtime.block_on(case.run(content, vec![case.answer.clone()])));
        let seen = runtime.block_on(case.run(content, cut(&case.answer, &cuts)));
        assert_alike(case, content, whole, &seen);
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

/// Byte by byte there is no place at which an answer is not cut.
#[tokio::test]
async fn records_and_bytes_are_the_same_byte_by_byte() {
    for case in CASES.iter() {
        let whole = case.run(true, vec![case.answer.clone()]).await;
        let bytes = (0..case.answer.len())
            .map(|at| case.answer.slice(at..=at))
            .collect();
        assert_alike(case, true, &whole, &case.run(true, bytes).await);
    }
}
