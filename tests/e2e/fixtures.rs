//! The corpus of provider answers in `crates/llm/fixtures`, with what the database is to hold after each.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// One folder of the corpus.
pub(crate) struct Case {
    /// `<api>/<case>`
    pub(crate) name: String,
    pub(crate) api: Api,
    pub(crate) request: Vec<u8>,
    pub(crate) is_stream: bool,
    /// The bytes of the provider.
    pub(crate) answer: Vec<u8>,
    settings: Value,
    expected: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Messages,
    ChatCompletions,
    Responses,
}

// === impl Api ===

impl Api {
    const ALL: [(&'static str, Self); 3] = [
        ("messages", Self::Messages),
        ("chat_completions", Self::ChatCompletions),
        ("responses", Self::Responses),
    ];

    fn route(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::ChatCompletions => "chat/completions",
            Self::Responses => "responses",
        }
    }
}

// === impl Case ===

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/llm/fixtures");
        let mut cases = Vec::new();
        for (folder, api) in Api::ALL {
            let entries = fs::read_dir(root.join(folder)).unwrap();
            cases.extend(entries.map(|entry| Self::read(&entry.unwrap().path(), folder, api)));
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::all().into_iter().find(|case| case.name == name).unwrap()
    }

    fn read(folder: &Path, api_name: &str, api: Api) -> Self {
        let json = |name: &str| serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
        let stream = fs::read(folder.join("stream.sse"));
        Self {
            name: format!("{api_name}/{}", folder.file_name().unwrap().to_str().unwrap()),
            api,
            request: fs::read(folder.join("request.json")).unwrap(),
            is_stream: stream.is_ok(),
            answer: stream.unwrap_or_else(|_| fs::read(folder.join("reply.json")).unwrap()),
            settings: if folder.join("case.json").exists() {
                json("case.json")
            } else {
                json!({})
            },
            expected: json("expected.json"),
        }
    }

    /// The provider instance that fits: `compatible` does not ask for the usage of Chat Completions streams.
    pub(crate) fn provider(&self) -> &'static str {
        match self.api {
            Api::Messages => "anthropic",
            _ if self.is_usage_untold() => "compatible",
            _ => "openai",
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v2/aibridge/{}/v1/{}", self.provider(), self.api.route())
    }

    pub(crate) fn status(&self) -> u16 {
        self.settings["status"]
            .as_u64()
            .map_or(200, |status| u16::try_from(status).unwrap())
    }

    /// The provider breaks its answer off.
    pub(crate) fn is_torn(&self) -> bool {
        self.settings["end"] == "torn"
    }

    pub(crate) fn asks_for_usage(&self) -> bool {
        self.settings["options"]["usage_was_injected"] == true
    }

    pub(crate) fn refers_to_an_earlier_answer(&self) -> bool {
        let request: Map<String, Value> = serde_json::from_slice(&self.request).unwrap();
        request.contains_key("previous_response_id")
    }

    /// The request as the provider is to get it.
    pub(crate) fn sent(&self) -> Vec<u8> {
        let mut sent = self.request.clone();
        if self.asks_for_usage() {
            let end = sent.iter().rposition(|byte| *byte == b'}').unwrap();
            sent.splice(end..end, *b",\"stream_options\":{\"include_usage\":true}");
        }
        sent
    }

    /// The answer as the client is to get it.
    pub(crate) fn passed(&self) -> Vec<u8> {
        let mut passed = self.answer.clone();
        let drops = self.expected["drops"].as_array().map_or(&[][..], Vec::as_slice);
        for drop in drops.iter().rev() {
            let at = |index: usize| usize::try_from(drop[index].as_u64().unwrap()).unwrap();
            passed.drain(at(0)..at(1));
        }
        passed
    }

    /// The answer up to and with the first event that holds this, and the record of it when it ends there: one tool
    /// call, and as much usage as is given.
    pub(crate) fn cut_behind(&self, needle: &str, usage: &Value, outcome: &str) -> (Vec<u8>, Value) {
        let text = str::from_utf8(&self.answer).unwrap();
        let at = text.find(needle).unwrap();
        let end = at + text[at..].find("\n\n").unwrap() + 2;
        let mut record = self.record();
        record["outcome"] = outcome.into();
        record["stop_reason"] = Value::Null;
        record["usage"] = usage.clone();
        record["tool_calls"].as_array_mut().unwrap().truncate(1);
        (self.answer[..end].to_vec(), record)
    }

    /// What the record is to say, as [`crate::rows::shown`] shows it.
    pub(crate) fn record(&self) -> Value {
        let request: Value = serde_json::from_slice(&self.request).unwrap();
        let expected = &self.expected;
        let marks: Vec<&str> = [
            (expected["is_incomplete"] == true, "observation_incomplete"),
            (self.is_usage_untold(), "usage_not_reported"),
        ]
        .into_iter()
        .filter_map(|(is_so, mark)| is_so.then_some(mark))
        .collect();
        let tools = expected["tool_calls"].as_array().unwrap().iter().map(|call| {
            let mut call = call.clone();
            call["response_id"] = expected["response_id"].clone();
            call
        });
        json!({
            "provider": if self.api == Api::Messages { "anthropic" } else { "openai" },
            "provider_name": self.provider(),
            "route": self.api.route(),
            "asked_model": request["model"],
            "is_streamed": request["stream"] == true,
            "prompt": prompt(self.api, &request),
            "outcome": self.outcome(),
            "status": self.status(),
            "model": expected["model"],
            "response_id": expected["response_id"],
            "stop_reason": expected["stop_reason"],
            "error": self.error(),
            "usage": expected["usage"],
            "tool_calls": tools.collect::<Vec<_>>(),
            "thoughts": expected["thoughts"],
            "marks": marks,
        })
    }

    fn is_usage_untold(&self) -> bool {
        let request: Map<String, Value> = serde_json::from_slice(&self.request).unwrap();
        self.api == Api::ChatCompletions
            && request.get("stream") == Some(&Value::Bool(true))
            && !request.contains_key("stream_options")
            && !self.asks_for_usage()
    }

    fn outcome(&self) -> &'static str {
        // Compatible providers of Chat Completions leave out the end.
        let must_end = self.is_stream && self.api != Api::ChatCompletions;
        if self.is_torn() {
            "provider_broke"
        } else if self.status() >= 400 || !self.expected["error"].is_null() {
            "provider_error"
        } else if must_end && self.expected["is_ended"] == false {
            "provider_broke"
        } else {
            "completed"
        }
    }

    /// The provider's words, else those of the gateway.
    fn error(&self) -> Value {
        let error = &self.expected["error"];
        if error.is_null() {
            let message = self.is_torn().then_some("the provider broke the answer off");
            json!({"kind": null, "message": message})
        } else {
            json!({"kind": error["kind"], "message": error["message"]})
        }
    }
}

/// What the user has asked: the last text of Messages and Chat Completions, all text of the last item of Responses.
fn prompt(api: Api, request: &Value) -> Value {
    let list = if api == Api::Responses {
        "input"
    } else {
        "messages"
    };
    let content = &request[list].as_array().unwrap().last().unwrap()["content"];
    let Some(parts) = content.as_array() else {
        return content.clone();
    };
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    match api {
        Api::Responses => texts.join("\n").into(),
        Api::Messages | Api::ChatCompletions => texts.last().copied().into(),
    }
}
