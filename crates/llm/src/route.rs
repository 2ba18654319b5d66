//! The allow-list: which (method, path) pairs are relayed, and under which conditions.
//!
//! A path is taken as it stands in the request. Whatever is not in its plain form (percent-encoding, dot segments,
//! empty segments, anything beyond the characters of the listed paths and ids) is not on the list, so no two parties
//! can read one path in two ways.

/// Whose wire format a provider speaks, which also decides the envelope of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Anthropic,
    OpenAi,
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
    /// The family that alone has this API; none for the list of models, which each has in its own form.
    pub const fn family(self) -> Option<Family> {
        match self {
            Self::Messages | Self::CountTokens => Some(Family::Anthropic),
            Self::ChatCompletions | Self::Responses | Self::ResponsesObject | Self::Conversations => {
                Some(Family::OpenAi)
            }
            Self::Models => None,
        }
    }

    /// The answer is a model's output, or may hold some, so the exchange is recorded and the answer read on its way.
    pub const fn intercepted(self) -> bool {
        !matches!(self, Self::CountTokens | Self::Models)
    }
}

/// Finds the route for `rest`: the raw path behind the provider instance, without the query.
///
/// An Anthropic base URL has no version, so all of `rest` follows it; an OpenAI base URL ends in the version, so what
/// follows it is `rest` without `/v1`.
pub fn route<'a>(family: Family, method: &str, rest: &'a str) -> Result<Route<'a>, NotRouted> {
    let below = rest.strip_prefix("/v1/").ok_or(NotRouted)?;
    if !below.split('/').all(is_plain) {
        return Err(NotRouted);
    }
    let segments: Vec<&str> = below.split('/').collect();
    let method = if method == "HEAD" { "GET" } else { method };
    let found = match family {
        Family::Anthropic => anthropic(method, &segments),
        Family::OpenAi => openai(method, &segments),
    };
    let (api, access, label) = found.ok_or(NotRouted)?;
    let object_id = match segments[..] {
        ["responses", id, ..] if access == RouteAccess::ObjectOwner => Some(id),
        _ => None,
    };
    let upstream_suffix = match family {
        Family::Anthropic => rest,
        Family::OpenAi => &rest["/v1".len()..],
    };
    Ok(Route {
        api,
        access,
        object_id,
        label,
        upstream_suffix,
    })
}

type Listed = (Api, RouteAccess, &'static str);

fn anthropic(method: &str, segments: &[&str]) -> Option<Listed> {
    use RouteAccess::Any;
    let found = match (method, segments) {
        ("POST", ["messages"]) => (Api::Messages, Any, "messages"),
        ("POST", ["messages", "count_tokens"]) => (Api::CountTokens, Any, "messages/count_tokens"),
        ("GET", ["models"]) => (Api::Models, Any, "models"),
        ("GET", ["models", _]) => (Api::Models, Any, "models/{id}"),
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LISTED: [(Family, &str, &str, Api, RouteAccess); 20] = [
        (
            Family::Anthropic,
            "POST",
            "/v1/messages",
            Api::Messages,
            RouteAccess::Any,
        ),
        (
            Family::Anthropic,
            "POST",
            "/v1/messages/count_tokens",
            Api::CountTokens,
            RouteAccess::Any,
        ),
        (
            Family::Anthropic,
            "GET",
            "/v1/models",
            Api::Models,
            RouteAccess::Any,
        ),
        (
            Family::Anthropic,
            "HEAD",
            "/v1/models/claude-x.1",
            Api::Models,
            RouteAccess::Any,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/chat/completions",
            Api::ChatCompletions,
            RouteAccess::Any,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/responses",
            Api::Responses,
            RouteAccess::Any,
        ),
        (Family::OpenAi, "GET", "/v1/models", Api::Models, RouteAccess::Any),
        (
            Family::OpenAi,
            "GET",
            "/v1/models/ft:gpt-x:org::id",
            Api::Models,
            RouteAccess::Any,
        ),
        (
            Family::OpenAi,
            "GET",
            "/v1/responses/resp_1",
            Api::ResponsesObject,
            RouteAccess::ObjectOwner,
        ),
        (
            Family::OpenAi,
            "DELETE",
            "/v1/responses/resp_1",
            Api::ResponsesObject,
            RouteAccess::ObjectOwner,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/responses/resp_1/cancel",
            Api::ResponsesObject,
            RouteAccess::ObjectOwner,
        ),
        (
            Family::OpenAi,
            "GET",
            "/v1/responses/r/input_items",
            Api::ResponsesObject,
            RouteAccess::ObjectOwner,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/responses/compact",
            Api::Responses,
            RouteAccess::Any,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/responses/input_tokens",
            Api::ResponsesObject,
            RouteAccess::OwnCredentialOnly,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/conversations",
            Api::Conversations,
            RouteAccess::OwnCredentialOnly,
        ),
        (
            Family::OpenAi,
            "GET",
            "/v1/conversations/c",
            Api::Conversations,
            RouteAccess::OwnCredentialOnly,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/conversations/c",
            Api::Conversations,
            RouteAccess::OwnCredentialOnly,
        ),
        (
            Family::OpenAi,
            "GET",
            "/v1/conversations/c/items",
            Api::Conversations,
            RouteAccess::OwnCredentialOnly,
        ),
        (
            Family::OpenAi,
            "POST",
            "/v1/conversations/c/items",
            Api::Conversations,
            RouteAccess::OwnCredentialOnly,
        ),
        (
            Family::OpenAi,
            "DELETE",
            "/v1/conversations/c/items/i",
            Api::Conversations,
            RouteAccess::OwnCredentialOnly,
        ),
    ];

    #[test]
    fn the_list() {
        for (family, method, path, api, access) in LISTED {
            let found = route(family, method, path).unwrap();
            assert_eq!((found.api, found.access), (api, access), "{method} {path}");
            let expected = if family == Family::Anthropic {
                path
            } else {
                &path[3..]
            };
            assert_eq!(found.upstream_suffix, expected);
            let object = (access == RouteAccess::ObjectOwner)
                .then(|| path.split('/').nth(3))
                .flatten();
            assert_eq!(found.object_id, object);
        }
    }

    #[test]
    fn what_is_not_on_it() {
        for (family, method, path) in [
            (Family::Anthropic, "GET", "/v1/messages"),
            (Family::Anthropic, "POST", "/v1/models"),
            (Family::Anthropic, "POST", "/v1/messages/batches"),
            (Family::Anthropic, "POST", "/v1/v1/messages"),
            (Family::Anthropic, "POST", "/messages"),
            (Family::Anthropic, "post", "/v1/messages"),
            (Family::Anthropic, "POST", "/v1/chat/completions"),
            (Family::OpenAi, "POST", "/v1/messages"),
            (Family::OpenAi, "POST", "/v1/embeddings"),
            (Family::OpenAi, "POST", "/v1/completions"),
            (Family::OpenAi, "GET", "/v1/responses"),
            (Family::OpenAi, "GET", "/v1/files"),
            (Family::OpenAi, "PUT", "/v1/conversations/c"),
            (Family::OpenAi, "GET", "/v1/conversations/c/items/i/x"),
            (Family::OpenAi, "GET", ""),
            (Family::OpenAi, "GET", "/"),
            (Family::OpenAi, "GET", "/v1"),
            (Family::OpenAi, "GET", "/v1/"),
        ] {
            assert_eq!(route(family, method, path), Err(NotRouted), "{method} {path}");
        }
    }

    proptest! {
        /// One odd character anywhere, or a slash more, and the path is off the list.
        #[test]
        fn no_other_spelling_is_on_it(
            which in 0..LISTED.len(),
            at in any::<prop::sample::Index>(),
            odd in prop::sample::select(vec!["%", "%2e", "%2f", "//", "/./", "/../", "\\", ";", "?", "#", " ", "\u{e9}", "\0", "\t", "%00"]),
        ) {
            let (family, method, path, ..) = LISTED[which];
            let mut spelled = path.to_owned();
            spelled.insert_str(at.index(path.len() + 1), odd);
            prop_assert_eq!(route(family, method, &spelled), Err(NotRouted), "{}", spelled);
        }

        #[test]
        fn each_letter_percent_encoded_is_off_the_list(which in 0..LISTED.len(), at in any::<prop::sample::Index>()) {
            let (family, method, path, ..) = LISTED[which];
            let at = at.index(path.len());
            let encoded = format!("{}%{:02x}{}", &path[..at], path.as_bytes()[at], &path[at + 1..]);
            prop_assert_eq!(route(family, method, &encoded), Err(NotRouted));
        }

        #[test]
        fn arbitrary_paths_never_panic_and_only_plain_ones_pass(path in "\\PC{0,40}", method in "[A-Z]{3,6}") {
            for family in [Family::Anthropic, Family::OpenAi] {
                if let Ok(found) = route(family, &method, &path) {
                    prop_assert!(found.upstream_suffix.starts_with('/'));
                    prop_assert!(!path.contains("//") && !path.contains("..") && !path.contains('%'));
                }
            }
        }
    }
}
