//! Lists of models, in the shape of either vendor.

use serde_json::{Value, json};

use super::openai_chat::CREATED;

const ANTHROPIC: [(&str, &str); 3] = [
    ("claude-opus-4-8", "Claude Opus 4.8"),
    ("claude-sonnet-4-8", "Claude Sonnet 4.8"),
    ("claude-haiku-4-5", "Claude Haiku 4.5"),
];

const OPENAI: [&str; 3] = ["gpt-5.5", "gpt-5.5-mini", "gpt-5.3-codex"];

fn anthropic_model(id: &str, name: &str) -> Value {
    json!({
        "type": "model",
        "id": id,
        "display_name": name,
        "created_at": "2026-02-04T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    })
}

fn openai_model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "system"})
}

/// `GET /v1/models`.
pub(super) fn list(anthropic: bool) -> Value {
    if anthropic {
        let data: Vec<Value> = ANTHROPIC
            .iter()
            .map(|(id, name)| anthropic_model(id, name))
            .collect();
        let (first, last) = (ANTHROPIC[0].0, ANTHROPIC[ANTHROPIC.len() - 1].0);
        json!({"data": data, "has_more": false, "first_id": first, "last_id": last})
    } else {
        let data: Vec<Value> = OPENAI.iter().map(|id| openai_model(id)).collect();
        json!({"object": "list", "data": data})
    }
}

/// `GET /v1/models/{id}`; `None` for a model that does not exist.
pub(super) fn one(anthropic: bool, id: &str) -> Option<Value> {
    if anthropic {
        ANTHROPIC
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(id, name)| anthropic_model(id, name))
    } else {
        OPENAI
            .iter()
            .find(|known| **known == id)
            .map(|id| openai_model(id))
    }
}
