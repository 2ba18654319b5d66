//! The allow-list, tried from the other side: every method on every path that can be built from its words.

use std::collections::BTreeSet;

use gateway_llm::route::{AllowList, Api, Family, NotRouted, Route, RouteAccess};

/// The route for a path behind the provider's name on the gateway.
fn route<'a>(list: AllowList, method: &str, rest: &'a str) -> Result<Route<'a>, NotRouted> {
    gateway_llm::route::route(list, method, list.below_base(rest).ok_or(NotRouted)?)
}

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
];

const WORDS: [&str; 12] = [
    "v1",
    "messages",
    "count_tokens",
    "models",
    "chat",
    "completions",
    "responses",
    "compact",
    "input_tokens",
    "conversations",
    "items",
    "id",
];

/// Everything below the version of up to four segments that is routed, with ids only as `id`.
fn routed(list: AllowList) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut paths = vec!["/v1".to_owned()];
    for _ in 0..4 {
        paths = paths
            .iter()
            .flat_map(|path| WORDS.map(|word| format!("{path}/{word}")))
            .collect();
        for path in &paths {
            for method in METHODS {
                if route(list, method, path).is_ok() {
                    found.insert(format!("{method} {path}"));
                }
            }
        }
    }
    // Where an id stands, any of the words may stand too.
    let names_an_id = |line: &String| {
        let (method, path) = line.split_once(' ').unwrap();
        let segments: Vec<&str> = path.split('/').skip(2).collect();
        match segments[..] {
            ["models" | "conversations", id] | ["conversations", id, "items"] => id == "id",
            ["responses", id] => id == "id" || method == "POST",
            ["conversations", id, "items", item] => id == "id" && item == "id",
            _ => true,
        }
    };
    found.retain(names_an_id);
    found
}

#[test]
fn the_whole_list_of_anthropic() {
    let expected = [
        "GET /v1/models",
        "GET /v1/models/id",
        "HEAD /v1/models",
        "HEAD /v1/models/id",
        "POST /v1/messages",
        "POST /v1/messages/count_tokens",
    ];
    assert_eq!(
        routed(AllowList::Anthropic)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn the_whole_list_of_openai() {
    let expected = [
        "DELETE /v1/conversations/id",
        "DELETE /v1/conversations/id/items/id",
        "DELETE /v1/responses/id",
        "GET /v1/conversations/id",
        "GET /v1/conversations/id/items",
        "GET /v1/conversations/id/items/id",
        "GET /v1/models",
        "GET /v1/models/id",
        "GET /v1/responses/id",
        "HEAD /v1/conversations/id",
        "HEAD /v1/conversations/id/items",
        "HEAD /v1/conversations/id/items/id",
        "HEAD /v1/models",
        "HEAD /v1/models/id",
        "HEAD /v1/responses/id",
        "POST /v1/chat/completions",
        "POST /v1/conversations",
        "POST /v1/conversations/id",
        "POST /v1/conversations/id/items",
        "POST /v1/responses",
        "POST /v1/responses/compact",
        "POST /v1/responses/input_tokens",
    ];
    assert_eq!(
        routed(AllowList::OpenAi)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        expected
    );
    for (method, path) in [
        ("POST", "/v1/responses/id/cancel"),
        ("GET", "/v1/responses/id/input_items"),
        ("HEAD", "/v1/responses/id/input_items"),
    ] {
        let found = route(AllowList::OpenAi, method, path).unwrap();
        assert_eq!(
            (found.access, found.object_id),
            (RouteAccess::ObjectOwner, Some("id")),
            "{path}"
        );
    }
}

#[test]
fn the_central_key_serves_stored_objects_to_their_owners_only() {
    for line in routed(AllowList::OpenAi) {
        let (method, path) = line.split_once(' ').unwrap();
        let found = route(AllowList::OpenAi, method, path).unwrap();
        let is_stored = matches!(found.api, Api::ResponsesObject | Api::Conversations);
        assert_eq!(found.access != RouteAccess::Any, is_stored, "{line}");
        assert_eq!(
            found.access == RouteAccess::ObjectOwner,
            found.object_id.is_some(),
            "{line}"
        );
        assert!(
            found.api.family().is_none_or(|family| family == Family::OpenAi),
            "{line}"
        );
        assert_eq!(format!("/v1{}", found.upstream_suffix), path);
    }
}

#[test]
fn slashes_and_odd_bytes_at_either_end() {
    for list in [AllowList::Anthropic, AllowList::OpenAi] {
        for line in routed(list) {
            let (method, path) = line.split_once(' ').unwrap();
            for spelled in [
                format!("{path}/"),
                format!("/{path}"),
                path[1..].to_owned(),
                format!("{path}/."),
                format!("{path}/.."),
                format!("{path}?x"),
                format!("{path};a=b"),
                format!("{path}%"),
                format!("{path}\u{7f}"),
                format!("http://host{path}"),
                path.replace("v1", "V1"),
                path.replace("/v1/", "/v1//"),
                path.replace("/v1/", "/v1/./"),
                path.replace("/v1/", "/v1/x/../"),
                path.replace("/v1/", "/v1\\"),
                path.replace("/v1/", "/v1/v1/"),
            ] {
                assert!(route(list, method, &spelled).is_err(), "{method} {spelled}");
            }
        }
    }
}
