//! The endpoints below `/_sim`, for tests in other processes. They are not recorded.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::Shared;
use super::script::{Script, Step};

/// Answers an admin request; `path` is what follows `/_sim/`.
pub(crate) fn handle(method: &Method, path: &str, shared: &Shared) -> Script {
    let exchanges = || shared.recorder.exchanges().into_iter();
    match (method.as_str(), path) {
        ("GET", "requests") => json_script(
            StatusCode::OK,
            &exchanges().map(|exchange| exchange.to_json()).collect(),
        ),
        ("GET", "answers") => {
            let answers = exchanges().filter_map(|exchange| exchange.answer);
            json_script(StatusCode::OK, &answers.map(|answer| answer.to_json()).collect())
        }
        ("DELETE", "requests") => {
            shared.recorder.clear();
            json_script(StatusCode::OK, &json!({"cleared": true}))
        }
        ("POST", path) if path.strip_prefix("gates/").is_some_and(|name| !name.is_empty()) => {
            let name = path.strip_prefix("gates/").unwrap_or_default();
            shared.gates.open(name);
            json_script(StatusCode::OK, &json!({"open": name}))
        }
        _ => json_script(
            StatusCode::NOT_FOUND,
            &json!({"error": "unknown; there are GET requests, GET answers, DELETE requests, POST gates/NAME"}),
        ),
    }
}

fn json_script(status: StatusCode, body: &Value) -> Script {
    let body = Bytes::from(body.to_string());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Script {
        status,
        headers,
        before: Vec::new(),
        steps: vec![Step::Bytes(body)],
    }
}
