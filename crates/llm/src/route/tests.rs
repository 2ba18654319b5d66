//! The list, and that nothing else is on it.

use proptest::prelude::*;

use super::*;

const LISTED: [(AllowList, &str, &str, Api, RouteAccess); 20] = [
    (
        AllowList::Anthropic,
        "POST",
        "/v1/messages",
        Api::Messages,
        RouteAccess::Any,
    ),
    (
        AllowList::Anthropic,
        "POST",
        "/v1/messages/count_tokens",
        Api::CountTokens,
        RouteAccess::Any,
    ),
    (
        AllowList::Anthropic,
        "GET",
        "/v1/models",
        Api::Models,
        RouteAccess::Any,
    ),
    (
        AllowList::Anthropic,
        "HEAD",
        "/v1/models/claude-x.1",
        Api::Models,
        RouteAccess::Any,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/chat/completions",
        Api::ChatCompletions,
        RouteAccess::Any,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/responses",
        Api::Responses,
        RouteAccess::Any,
    ),
    (
        AllowList::OpenAi,
        "GET",
        "/v1/models",
        Api::Models,
        RouteAccess::Any,
    ),
    (
        AllowList::OpenAi,
        "GET",
        "/v1/models/ft:gpt-x:org::id",
        Api::Models,
        RouteAccess::Any,
    ),
    (
        AllowList::OpenAi,
        "GET",
        "/v1/responses/resp_1",
        Api::ResponsesObject,
        RouteAccess::ObjectOwner,
    ),
    (
        AllowList::OpenAi,
        "DELETE",
        "/v1/responses/resp_1",
        Api::ResponsesObject,
        RouteAccess::ObjectOwner,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/responses/resp_1/cancel",
        Api::ResponsesObject,
        RouteAccess::ObjectOwner,
    ),
    (
        AllowList::OpenAi,
        "GET",
        "/v1/responses/r/input_items",
        Api::ResponsesObject,
        RouteAccess::ObjectOwner,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/responses/compact",
        Api::Responses,
        RouteAccess::Any,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/responses/input_tokens",
        Api::ResponsesObject,
        RouteAccess::OwnCredentialOnly,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/conversations",
        Api::Conversations,
        RouteAccess::OwnCredentialOnly,
    ),
    (
        AllowList::OpenAi,
        "GET",
        "/v1/conversations/c",
        Api::Conversations,
        RouteAccess::OwnCredentialOnly,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/conversations/c",
        Api::Conversations,
        RouteAccess::OwnCredentialOnly,
    ),
    (
        AllowList::OpenAi,
        "GET",
        "/v1/conversations/c/items",
        Api::Conversations,
        RouteAccess::OwnCredentialOnly,
    ),
    (
        AllowList::OpenAi,
        "POST",
        "/v1/conversations/c/items",
        Api::Conversations,
        RouteAccess::OwnCredentialOnly,
    ),
    (
        AllowList::OpenAi,
        "DELETE",
        "/v1/conversations/c/items/i",
        Api::Conversations,
        RouteAccess::OwnCredentialOnly,
    ),
];

/// The route for a path behind the provider's name on the gateway.
fn at_gateway<'a>(list: AllowList, method: &str, rest: &'a str) -> Result<Route<'a>, NotRouted> {
    route(list, method, list.below_base(rest).ok_or(NotRouted)?)
}

#[test]
fn the_list() {
    for (list, method, path, api, access) in LISTED {
        let found = at_gateway(list, method, path).unwrap();
        assert_eq!((found.api, found.access), (api, access), "{method} {path}");
        let expected = if list == AllowList::Anthropic {
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
    for (list, method, path) in [
        (AllowList::Anthropic, "GET", "/v1/messages"),
        (AllowList::Anthropic, "POST", "/v1/models"),
        (AllowList::Anthropic, "POST", "/v1/messages/batches"),
        (AllowList::Anthropic, "POST", "/v1/v1/messages"),
        (AllowList::Anthropic, "POST", "/messages"),
        (AllowList::Anthropic, "post", "/v1/messages"),
        (AllowList::Anthropic, "POST", "/v1/chat/completions"),
        (AllowList::OpenAi, "POST", "/v1/messages"),
        (AllowList::OpenAi, "POST", "/v1/embeddings"),
        (AllowList::OpenAi, "POST", "/v1/completions"),
        (AllowList::OpenAi, "GET", "/v1/responses"),
        (AllowList::OpenAi, "GET", "/v1/files"),
        (AllowList::OpenAi, "PUT", "/v1/conversations/c"),
        (AllowList::OpenAi, "GET", "/v1/conversations/c/items/i/x"),
        (AllowList::OpenAi, "GET", ""),
        (AllowList::OpenAi, "GET", "/"),
        (AllowList::OpenAi, "GET", "/v1"),
        (AllowList::OpenAi, "GET", "/v1/"),
    ] {
        assert_eq!(at_gateway(list, method, path), Err(NotRouted), "{method} {path}");
    }
}

const COPILOT: [(&str, &str, Api, Family); 21] = [
    ("POST", "/chat/completions", Api::ChatCompletions, Family::OpenAi),
    ("POST", "/responses", Api::Responses, Family::OpenAi),
    ("POST", "/v1/messages", Api::Messages, Family::Anthropic),
    (
        "POST",
        "/v1/messages/count_tokens",
        Api::CountTokens,
        Family::Anthropic,
    ),
    ("GET", "/models", Api::Models, Family::OpenAi),
    ("HEAD", "/models/gpt-5", Api::Models, Family::OpenAi),
    ("POST", "/models/gpt-5/policy", Api::Other, Family::OpenAi),
    ("POST", "/models/session", Api::Other, Family::OpenAi),
    ("POST", "/models/session/intent", Api::Other, Family::OpenAi),
    ("GET", "/auto", Api::Other, Family::OpenAi),
    ("POST", "/auto", Api::Other, Family::OpenAi),
    ("GET", "/_ping", Api::Other, Family::OpenAi),
    ("GET", "/agents", Api::Other, Family::OpenAi),
    ("GET", "/agents/swe/jobs", Api::Other, Family::OpenAi),
    ("GET", "/mcp", Api::Other, Family::OpenAi),
    ("POST", "/mcp", Api::Other, Family::OpenAi),
    ("POST", "/mcp/readonly", Api::Other, Family::OpenAi),
    ("DELETE", "/mcp/readonly", Api::Other, Family::OpenAi),
    ("GET", "/mcp/x/toolsets/all", Api::Other, Family::OpenAi),
    (
        "GET",
        "/.well-known/oauth-protected-resource",
        Api::Other,
        Family::OpenAi,
    ),
    (
        "GET",
        "/.well-known/oauth-protected-resource/mcp",
        Api::Other,
        Family::OpenAi,
    ),
];

#[test]
fn the_list_of_copilot_has_no_version() {
    for (method, path, api, family) in COPILOT {
        let found = at_gateway(AllowList::Copilot, method, path).unwrap();
        assert_eq!((found.api, found.upstream_suffix), (api, path), "{method} {path}");
        assert_eq!(AllowList::Copilot.family(path), family, "{path}");
        assert_eq!((found.object_id, found.side_call), (None, None));
        if let Some(alone) = api.family() {
            assert_eq!(alone, family, "{path}");
        }
    }
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/models"),
        ("POST", "/messages"),
        ("POST", "/agents/swe"),
        ("POST", "/agents"),
        ("POST", "/embeddings"),
        ("POST", "/v1/engines/copilot-codex/completions"),
        ("GET", "/responses/resp_1"),
        ("PUT", "/mcp"),
        ("POST", "/mcp/"),
        ("GET", "/mcp/1/2/3/4/5/6/7/8"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/agentsx"),
        ("GET", "/api/claude_code/settings"),
    ] {
        assert_eq!(
            at_gateway(AllowList::Copilot, method, path),
            Err(NotRouted),
            "{method} {path}"
        );
    }
    for path in ["/v1/messagesx", "/v1", "/", "", "//v1/messages"] {
        assert_eq!(AllowList::Copilot.family(path), Family::OpenAi, "{path}");
    }
}

#[test]
fn side_calls_are_known_by_their_first_segments() {
    let long = format!("/api/eval/{}", "a".repeat(512));
    for (method, path, call) in [
        ("GET", "/api/claude_code/settings", Some(SideCall::ClaudeCode)),
        (
            "PUT",
            "/api/claude_code/user_settings",
            Some(SideCall::ClaudeCode),
        ),
        (
            "POST",
            "/api/event_logging/v2/batch",
            Some(SideCall::EventLogging),
        ),
        ("POST", "/api/eval/sdk-zAZezfDKGoZuXXKe", Some(SideCall::Eval)),
        ("DELETE", "/api/eval/x", None),
        ("GET", "/api/claude_code", None),
        ("GET", "/api/claude_code/", None),
        ("GET", "/api/claude_code/../v1/models", None),
        ("GET", "/api/claude_code/%2e%2e", None),
        ("GET", "/api/claude_code/a//b", None),
        ("GET", "/api/claude_codex/settings", None),
        ("GET", "/api/oauth/profile", None),
        ("GET", "/api/hello", None),
        ("GET", "/v1/api/eval/x", None),
        ("GET", "/api/eval/1/2/3/4/5/6", Some(SideCall::Eval)),
        ("GET", "/api/eval/1/2/3/4/5/6/7", None),
        ("GET", &long[..512], Some(SideCall::Eval)),
        ("GET", &long[..513], None),
    ] {
        let found = at_gateway(AllowList::Anthropic, method, path);
        assert_eq!(
            found.ok().and_then(|route| route.side_call),
            call,
            "{method} {path}"
        );
        if let Ok(route) = found {
            assert_eq!(
                (route.api, route.access, route.upstream_suffix),
                (Api::Other, RouteAccess::OwnCredentialOnly, path)
            );
        }
        assert!(at_gateway(AllowList::OpenAi, method, path).is_err(), "{path}");
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
        let (list, method, path, ..) = LISTED[which];
        let mut spelled = path.to_owned();
        spelled.insert_str(at.index(path.len() + 1), odd);
        prop_assert_eq!(at_gateway(list, method, &spelled), Err(NotRouted), "{}", spelled);
    }

    #[test]
    fn no_other_spelling_is_on_that_of_copilot(
        which in 0..COPILOT.len(),
        at in any::<prop::sample::Index>(),
        odd in prop::sample::select(vec!["%", "%2e", "%2f", "//", "/./", "/../", "\\", ";", "?", "#", " ", "\u{e9}", "\0", "\t", "%00"]),
    ) {
        let (method, path, ..) = COPILOT[which];
        let mut spelled = path.to_owned();
        spelled.insert_str(at.index(path.len() + 1), odd);
        prop_assert_eq!(route(AllowList::Copilot, method, &spelled), Err(NotRouted), "{}", spelled);
    }

    #[test]
    fn each_letter_percent_encoded_is_off_the_list(which in 0..LISTED.len(), at in any::<prop::sample::Index>()) {
        let (list, method, path, ..) = LISTED[which];
        let at = at.index(path.len());
        let encoded = format!("{}%{:02x}{}", &path[..at], path.as_bytes()[at], &path[at + 1..]);
        prop_assert_eq!(at_gateway(list, method, &encoded), Err(NotRouted));
    }

    #[test]
    fn arbitrary_paths_never_panic_and_only_plain_ones_pass(path in "\\PC{0,40}", method in "[A-Z]{3,6}") {
        for list in [AllowList::Anthropic, AllowList::OpenAi, AllowList::Copilot] {
            if let Ok(found) = at_gateway(list, &method, &path) {
                prop_assert!(found.upstream_suffix.starts_with('/'));
                prop_assert!(!path.contains("//") && !path.contains("..") && !path.contains('%'));
            }
        }
    }
}
