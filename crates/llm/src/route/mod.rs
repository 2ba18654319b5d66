//! The allow-list: which (method, path) pairs are relayed, and under which conditions.
//!
//! A path is taken as it stands in the request. Whatever is not in its plain form (percent-encoding, dot segments,
//! empty segments, anything beyond the characters of the listed paths and ids) is not on the list, so no two parties
//! can read one path in two ways.

mod copilot;
mod side;

pub use side::SideCall;

/// Whose wire format a client speaks, which also decides the envelope of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Anthropic,
    OpenAi,
}

/// The routes of one kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AllowList {
    /// The base URL has no version.
    Anthropic,
    /// The base URL ends in the version, and so do those of clients.
    OpenAi,
    /// GitHub Copilot: neither has a version, and some routes are Anthropic's.
    Copilot,
}

/// The API that a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    Messages,
    CountTokens,
    ChatCompletions,
    Responses,
    /// A stored response, or another sub-resource of `/v1/responses`.
    ResponsesObject,
    Conversations,
    Models,
    /// No call of a model: passed on as it is.
    Other,
}

/// With whose credential a route may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteAccess {
    Any,
    /// With the organisation's key, only by the user for whom the object was made.
    ObjectOwner,
    /// With the organisation's key the users' objects could not be told apart.
    OwnCredentialOnly,
}

/// A request that may be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    pub api: Api,
    pub access: RouteAccess,
    /// The stored object that the path names.
    pub object_id: Option<&'a str>,
    /// Which of the calls it is that a client makes about itself.
    pub side_call: Option<SideCall>,
    /// The route as it is recorded: its path below the version, with `{id}` for an id.
    pub label: &'static str,
    /// What follows the path of the provider's base URL, beginning with a slash.
    pub upstream_suffix: &'a str,
}

/// The method and path are not on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route not supported")]
pub struct NotRouted;

// === impl Api ===

impl Api {
    /// The family that alone has this API; none for what each has in its own form.
    pub const fn family(self) -> Option<Family> {
        match self {
            Self::Messages | Self::CountTokens => Some(Family::Anthropic),
            Self::ChatCompletions | Self::Responses | Self::ResponsesObject | Self::Conversations => {
                Some(Family::OpenAi)
            }
            Self::Models | Self::Other => None,
        }
    }

    /// The answer is a model's output, or may hold some, so the exchange is recorded and the answer read on its way.
    pub const fn intercepted(self) -> bool {
        !matches!(self, Self::CountTokens | Self::Models | Self::Other)
    }
}

// === impl AllowList ===

impl AllowList {
    /// From the raw path behind the provider instance on the gateway to that behind the provider's base URL: there the
    /// version is taken off that OpenAI's clients have in theirs. None: there is no such path.
    pub fn below_base(self, rest: &str) -> Option<&str> {
        match self {
            Self::Anthropic | Self::Copilot => Some(rest),
            Self::OpenAi => rest.strip_prefix("/v1"),
        }
    }

    /// Who is spoken to at a path behind the provider's base URL, whether it is on the list or not.
    pub fn family(self, path: &str) -> Family {
        match self {
            Self::Anthropic => Family::Anthropic,
            Self::Copilot if copilot::is_anthropic(path) => Family::Anthropic,
            Self::OpenAi | Self::Copilot => Family::OpenAi,
        }
    }
}

/// Finds the route for a raw path behind the provider's base URL, without the query.
pub fn route<'a>(list: AllowList, method: &str, path: &'a str) -> Result<Route<'a>, NotRouted> {
    let below = path.strip_prefix('/').ok_or(NotRouted)?;
    if !below.split('/').all(is_plain) {
        return Err(NotRouted);
    }
    let segments: Vec<&str> = below.split('/').collect();
    let method = if method == "HEAD" { "GET" } else { method };
    let side_call = side::find(list, method, &segments);
    let found = match (side_call, list) {
        (Some(call), _) => Some((Api::Other, RouteAccess::OwnCredentialOnly, call.as_str())),
        (None, AllowList::Anthropic) => anthropic(method, &segments),
        (None, AllowList::OpenAi) => openai(method, &segments),
        (None, AllowList::Copilot) => copilot::find(method, &segments),
    };
    let (api, access, label) = found.ok_or(NotRouted)?;
    let object_id = match segments[..] {
        ["responses", id, ..] if access == RouteAccess::ObjectOwner => Some(id),
        _ => None,
    };
    Ok(Route {
        api,
        access,
        object_id,
        side_call,
        label,
        upstream_suffix: path,
    })
}

type Listed = (Api, RouteAccess, &'static str);

fn anthropic(method: &str, segments: &[&str]) -> Option<Listed> {
    use RouteAccess::Any;
    let found = match (method, segments) {
        ("POST", ["v1", "messages"]) => (Api::Messages, Any, "messages"),
        ("POST", ["v1", "messages", "count_tokens"]) => (Api::CountTokens, Any, "messages/count_tokens"),
        ("GET", ["v1", "models"]) => (Api::Models, Any, "models"),
        ("GET", ["v1", "models", _]) => (Api::Models, Any, "models/{id}"),
        _ => return None,
    };
    Some(found)
}

fn openai(method: &str, segments: &[&str]) -> Option<Listed> {
    use RouteAccess::{Any, ObjectOwner, OwnCredentialOnly};
    let found = match (method, segments) {
        ("POST", ["chat", "completions"]) => (Api::ChatCompletions, Any, "chat/completions"),
        ("POST", ["responses"]) => (Api::Responses, Any, "responses"),
        ("POST", ["responses", "compact"]) => (Api::Responses, Any, "responses/compact"),
        ("GET", ["models"]) => (Api::Models, Any, "models"),
        ("GET", ["models", _]) => (Api::Models, Any, "models/{id}"),
        ("POST", ["responses", "input_tokens"]) => {
            (Api::ResponsesObject, OwnCredentialOnly, "responses/input_tokens")
        }
        ("POST", ["responses", _, "cancel"]) => (Api::ResponsesObject, ObjectOwner, "responses/{id}/cancel"),
        ("GET" | "DELETE", ["responses", _]) => (Api::ResponsesObject, ObjectOwner, "responses/{id}"),
        ("GET", ["responses", _, "input_items"]) => {
            (Api::ResponsesObject, ObjectOwner, "responses/{id}/input_items")
        }
        _ => (
            Api::Conversations,
            OwnCredentialOnly,
            conversations(method, segments)?,
        ),
    };
    Some(found)
}

fn conversations(method: &str, segments: &[&str]) -> Option<&'static str> {
    match (method, segments) {
        ("POST", ["conversations"]) => Some("conversations"),
        ("GET" | "POST" | "DELETE", ["conversations", _]) => Some("conversations/{id}"),
        ("GET" | "POST", ["conversations", _, "items"]) => Some("conversations/{id}/items"),
        ("GET" | "DELETE", ["conversations", _, "items", _]) => Some("conversations/{id}/items/{id}"),
        _ => None,
    }
}

/// A segment in the one form that everybody reads the same way.
fn is_plain(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'@' | b'~' | b'-'))
}

#[cfg(test)]
mod tests;
