//! The corpus in `fixtures/<api>/<case>`: a request, what the provider answered, and what has to be seen of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gateway_llm::observe::{End, ObserveOptions};
use gateway_llm::route::Api;
use serde_json::{Value, json};

use super::{Seen, read, watch};

/// One case, with its answer.
pub(super) struct Case {
    pub(super) folder: PathBuf,
    pub(super) api: Api,
    pub(super) options: ObserveOptions,
    pub(super) end: End,
    pub(super) is_stream: bool,
    pub(super) answer: Vec<u8>,
}

impl Case {
    pub(super) fn see<'a>(&self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
        let see = if self.is_stream { watch } else { read };
        see(
            self.api,
            self.options,
            chunks.into_iter().collect::<Vec<_>>(),
            self.end,
        )
    }
}

pub(super) fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut cases = Vec::new();
    for (folder, api) in [
        ("messages", Api::Messages),
        ("chat_completions", Api::ChatCompletions),
        ("responses", Api::Responses),
    ] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            cases.push(case(entry.unwrap().path(), api));
        }
    }
    cases
}

fn case(folder: PathBuf, api: Api) -> Case {
    let settings: Value = match fs::read(folder.join("case.json")) {
        Ok(text) => serde_json::from_slice(&text).unwrap(),
        Err(_) => json!({}),
    };
    let stream = fs::read(folder.join("stream.sse"));
    let is_stream = stream.is_ok();
    Case {
        api,
        options: ObserveOptions {
            content: true,
            usage_was_injected: settings["options"]["usage_was_injected"] == true,
        },
        end: if settings["end"] == "torn" {
            End::Torn
        } else {
            End::Whole
        },
        is_stream,
        answer: stream.unwrap_or_else(|_| fs::read(folder.join("reply.json")).unwrap()),
        folder,
    }
}

fn shown(case: &Case, seen: &Seen) -> Value {
    let observation = &seen.observation;
    let calls = seen.tool_calls.iter().map(|call| {
        json!({
            "item_id": call.item_id,
            "call_id": call.call_id,
            "name": call.name,
            "kind": call.kind.as_str(),
            "arguments": call.arguments,
            "arguments_cut": call.arguments_cut,
        })
    });
    let thoughts = seen.thoughts.iter().map(|thought| {
        json!({
            "source": thought.source.as_str(),
            "content": thought.content,
            "is_cut": thought.is_cut,
        })
    });
    let mut shown = json!({
        "model": observation.model,
        "response_id": observation.response_id,
        "usage": observation.usage.as_ref().map(|usage| json!({
            "input": usage.input,
            "output": usage.output,
            "cache_read": usage.cache_read,
            "cache_write": usage.cache_write,
            "reasoning": usage.reasoning,
            "service_tier": usage.service_tier,
            "extra": usage.extra.iter().cloned().collect::<BTreeMap<_, _>>(),
            "is_partial": usage.is_partial,
        })),
        "stop_reason": observation.stop_reason,
        "error": observation.error.as_ref().map(|error| json!({
            "kind": error.kind,
            "code": error.code,
            "message": error.message,
        })),
        "is_ended": observation.is_ended,
        "is_incomplete": observation.is_incomplete,
        "tool_calls": calls.collect::<Vec<_>>(),
        "thoughts": thoughts.collect::<Vec<_>>(),
    });
    if case.is_stream {
        shown["terminal_at"] = json!(seen.terminal_at);
        shown["drops"] = json!(
            seen.drops
                .iter()
                .map(|drop| [drop.start, drop.end])
                .collect::<Vec<_>>()
        );
    }
    shown
}

/// What was seen otherwise is written below the target directory; copied beside the case, it is what is expected.
#[test]
fn every_case_is_seen_as_expected() {
    let mut faults = Vec::new();
    for case in cases() {
        let seen = shown(&case, &case.see([&case.answer[..]]));
        let expected = fs::read(case.folder.join("expected.json"))
            .ok()
            .map(|text| serde_json::from_slice::<Value>(&text).unwrap());
        if expected.as_ref() == Some(&seen) {
            continue;
        }
        let api = case.folder.parent().unwrap().file_name().unwrap();
        let written = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("observe")
            .join(api)
            .join(case.folder.file_name().unwrap());
        fs::create_dir_all(&written).unwrap();
        let text = serde_json::to_string_pretty(&seen).unwrap() + "\n";
        fs::write(written.join("expected.json"), &text).unwrap();
        faults.push(format!(
            "{}: seen as {}",
            case.folder.display(),
            written.display()
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The corpus is worth something only while it is complete.
#[test]
fn every_case_has_its_files_and_its_request_its_prompt() {
    let cases = cases();
    for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
        assert!(
            cases
                .iter()
                .filter(|case| case.api == api && case.is_stream)
                .count()
                >= 8
        );
        assert!(
            cases
                .iter()
                .filter(|case| case.api == api && !case.is_stream)
                .count()
                >= 6
        );
    }
    for case in cases {
        let name = case.folder.display();
        let request: Value =
            serde_json::from_slice(&fs::read(case.folder.join("request.json")).unwrap()).unwrap();
        assert!(request["model"].is_string(), "{name}");
        let list = if case.api == Api::Responses {
            "input"
        } else {
            "messages"
        };
        assert_eq!(
            request[list].as_array().unwrap().last().unwrap()["role"],
            "user",
            "{name}"
        );
        let is_error = name.to_string().contains("error_");
        assert!(
            is_error || (request["stream"] == true) == case.is_stream,
            "{name}"
        );
    }
}
