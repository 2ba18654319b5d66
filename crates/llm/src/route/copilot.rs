//! What of GitHub Copilot's API is relayed.
//!
//! GitHub documents no list; these are the routes that its command line and editors use. The credential is always the
//! user's own, so nothing is kept away from it here but what would return a model's output unrecorded: asking agents
//! (`POST /agents/...`), embeddings, and completions in the old form.

use super::{Api, Listed, RouteAccess};

/// The deepest path of those that are passed on as they are.
const MAX_SEGMENTS: usize = 8;

pub(super) fn find(method: &str, segments: &[&str]) -> Option<Listed> {
    let (api, label) = match (method, segments) {
        ("POST", ["chat", "completions"]) => (Api::ChatCompletions, "chat/completions"),
        ("POST", ["responses"]) => (Api::Responses, "responses"),
        ("POST", ["v1", "messages"]) => (Api::Messages, "messages"),
        ("POST", ["v1", "messages", "count_tokens"]) => (Api::CountTokens, "messages/count_tokens"),
        ("GET", ["models"]) => (Api::Models, "models"),
        ("GET", ["models", _]) => (Api::Models, "models/{id}"),
        // To accept a model's terms, and to have a model chosen.
        ("POST", ["models", _, "policy"] | ["models", "session"] | ["models", "session", "intent"])
        | ("GET" | "POST", ["auto"]) => (Api::Other, "models"),
        ("GET", ["_ping"]) => (Api::Other, "_ping"),
        (_, [first, ..]) if segments.len() <= MAX_SEGMENTS => (Api::Other, subtree(method, first)?),
        _ => return None,
    };
    Some((api, RouteAccess::Any, label))
}

/// What is passed on with everything below it.
fn subtree(method: &str, first: &str) -> Option<&'static str> {
    match (method, first) {
        ("GET", "agents") => Some("agents"),
        ("GET", ".well-known") => Some(".well-known"),
        // Model Context Protocol, Streamable HTTP: messages, the stream of the server's own, the end of a session.
        ("GET" | "POST" | "DELETE", "mcp") => Some("mcp"),
        _ => None,
    }
}

/// Whether clients of Anthropic's API are at this path.
pub(super) fn is_anthropic(path: &str) -> bool {
    path.strip_prefix("/v1/messages")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
