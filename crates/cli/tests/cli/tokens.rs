//! `coder tokens`.

use serde_json::{Value, json};

use crate::support::{FakeServer, Home, TOKEN, key};

const DAY: i64 = 86_400_000_000_000;

fn with_limit(days: i64) -> FakeServer {
    let server = FakeServer::start();
    server
        .on(
            "GET /users/me/keys/tokens/tokenconfig",
            200,
            &json!({"max_token_lifetime": days * DAY}),
        )
        .on("POST /users/me/keys/tokens", 201, &json!({"key": TOKEN}));
    server
}

fn sent(server: &FakeServer) -> Value {
    let asked = server.asked();
    let asked = asked
        .iter()
        .rfind(|asked| asked.line.starts_with("POST "))
        .unwrap();
    serde_json::from_str(&asked.body).unwrap()
}

#[test]
fn create_prints_the_token_alone() {
    let server = with_limit(365);
    let ended = Home::logged_in(&server).run(&["tokens", "create", "--lifetime", "1y", "-n", "my-ai-token"]);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.success(), format!("{TOKEN}\n"));
    assert_eq!(
        sent(&server),
        json!({"lifetime": 365 * DAY, "token_name": "my-ai-token", "scopes": ["all"]})
    );
}

#[test]
fn the_lifetime_is_thirty_days_or_what_the_server_allows() {
    let server = with_limit(365);
    Home::logged_in(&server).run(&["tokens", "create"]).success();
    assert_eq!(sent(&server)["lifetime"], 30 * DAY);
    assert_eq!(sent(&server).get("token_name"), None);

    let server = with_limit(7);
    let home = Home::logged_in(&server);
    let ended = home.run(&["tokens", "create"]);
    assert!(ended.stderr.contains("no more than 7d"), "{}", ended.stderr);
    assert_eq!(ended.success(), format!("{TOKEN}\n"));
    assert_eq!(sent(&server)["lifetime"], 7 * DAY);
    home.run(&["tokens", "create", "--lifetime", "168h"]).success();
    let before = server.asked().len();
    let stderr = home.run(&["tokens", "create", "--lifetime", "8d"]).failure(1);
    assert!(stderr.contains("8d") && stderr.contains("7d"), "{stderr}");
    assert_eq!(server.asked().len(), before + 1, "only the limit was asked for");
}

#[test]
fn scope_user_and_name_from_flags_and_variables() {
    let server = with_limit(365);
    server
        .on(
            "GET /users/ci/keys/tokens/tokenconfig",
            200,
            &json!({"max_token_lifetime": 365 * DAY}),
        )
        .on("POST /users/ci/keys/tokens", 201, &json!({"key": TOKEN}));
    let home = Home::logged_in(&server)
        .with("CODER_TOKEN_USER", "ci")
        .with("CODER_TOKEN_NAME", "from-variable")
        .with("CODER_TOKEN_LIFETIME", "1h30m");
    home.run(&["tokens", "create", "--scope", "aibridge,all"])
        .success();
    assert_eq!(
        sent(&server),
        json!({"lifetime": 5_400_000_000_000_i64, "token_name": "from-variable", "scopes": ["aibridge", "all"]})
    );
    assert!(server.lines().contains(&"POST /users/ci/keys/tokens".to_owned()));
}

#[test]
fn create_as_json_describes_the_token() {
    let server = with_limit(365);
    server.on(
        "GET /users/me/keys/0123456789",
        200,
        &key("0123456789", "ci", "alice"),
    );
    let home = Home::logged_in(&server);
    insta::assert_snapshot!(
        "tokens_create_json",
        home.run(&["tokens", "create", "-o", "json"]).success()
    );

    // Whatever happens then, the token is not lost.
    server.on(
        "GET /users/me/keys/0123456789",
        500,
        &json!({"message": "broken"}),
    );
    let ended = home.run(&["tokens", "create", "-o", "json"]);
    assert!(ended.stderr.contains("broken"), "{}", ended.stderr);
    let printed: Value = serde_json::from_str(&ended.success()).unwrap();
    assert_eq!(printed, json!({"key": TOKEN}));
}

#[test]
fn list() {
    let server = FakeServer::start();
    let mut used = key("9999999999", "tool\u{1b}[2J\nx", "alice");
    used["last_used"] = json!("2026-01-03T00:00:00.5Z");
    used["scopes"] = json!(["aibridge", "all"]);
    let listed = json!([used, key("0123456789", "ci", "bob")]);
    server
        .on(
            "GET /users/me/keys/tokens?include_all=false&include_expired=false&limit=1000",
            200,
            &listed,
        )
        .on(
            "GET /users/me/keys/tokens?include_all=true&include_expired=true&limit=1000",
            200,
            &listed,
        );
    let home = Home::logged_in(&server);
    insta::assert_snapshot!("tokens_list", home.run(&["tokens", "list"]).success());
    insta::assert_snapshot!(
        "tokens_list_all",
        home.run(&["tokens", "ls", "-a", "--include-expired"]).success()
    );
    insta::assert_snapshot!(
        "tokens_list_columns",
        home.run(&["tokens", "list", "-c", "Expires_At,name"]).success()
    );
    insta::assert_snapshot!(
        "tokens_list_json",
        home.run(&["tokens", "list", "-o", "json"]).success()
    );
}

#[test]
fn an_empty_list() {
    let server = FakeServer::start();
    let home = Home::logged_in(&server);
    for empty in [json!([]), json!(null)] {
        server.on(
            "GET /users/me/keys/tokens?include_all=false&include_expired=false&limit=1000",
            200,
            &empty,
        );
        let ended = home.run(&["tokens", "list"]);
        assert_eq!(ended.stderr, "No tokens found.\n");
        assert_eq!(ended.success(), "");
        assert_eq!(home.run(&["tokens", "list", "-o", "json"]).success(), "[]\n");
    }
}

#[test]
fn view_by_name_id_and_token() {
    let server = FakeServer::start();
    server
        .on(
            "GET /users/me/keys/tokens/ci",
            200,
            &key("0123456789", "ci", "alice"),
        )
        .on(
            "GET /users/me/keys/0123456789",
            200,
            &key("0123456789", "ci", "alice"),
        );
    let home = Home::logged_in(&server);
    insta::assert_snapshot!("tokens_view", home.run(&["tokens", "view", "ci"]).success());
    for text in ["ci", "0123456789", TOKEN] {
        let printed: Value =
            serde_json::from_str(&home.run(&["tokens", "view", text, "-o", "json"]).success()).unwrap();
        assert_eq!(printed[0]["id"], "0123456789", "{text}");
    }
    let stderr = home.run(&["tokens", "view", "gone"]).failure(1);
    assert!(
        stderr.contains("no token with the name or id \"gone\""),
        "{stderr}"
    );
}

#[test]
fn remove_sends_only_the_id() {
    let server = FakeServer::start();
    server
        .on(
            "GET /users/me/keys/tokens/ci%20token",
            200,
            &key("0123456789", "ci token", "alice"),
        )
        .on_text("DELETE /users/me/keys/0123456789", 204, "", &[]);
    let home = Home::logged_in(&server);
    assert_eq!(
        home.run(&["tokens", "rm", "ci token"]).success(),
        "Token ci token (0123456789) was deleted.\n"
    );
    let before = server.asked().len();
    assert_eq!(
        home.run(&["tokens", "rm", TOKEN]).success(),
        "Token 0123456789 was deleted.\n"
    );
    assert_eq!(server.lines()[before..], ["DELETE /users/me/keys/0123456789"]);

    let mistyped = TOKEN.replace("IkVvR", "IkVvX");
    let before = server.asked().len();
    let stderr = home.run(&["tokens", "rm", &mistyped]).failure(1);
    assert!(
        stderr.contains("checksum") && !stderr.contains("ABCDEF"),
        "{stderr}"
    );
    assert_eq!(server.asked().len(), before, "nothing was sent");
}

#[test]
fn names_that_are_paths_are_not_asked_for() {
    let server = FakeServer::start();
    let home = Home::logged_in(&server);
    for name in ["tokenconfig", "..", "a/b", ""] {
        let stderr = home.run(&["tokens", "rm", name]).failure(1);
        assert!(stderr.contains("there is no token"), "{name}: {stderr}");
    }
    assert!(server.asked().is_empty());
}

#[test]
fn list_asks_for_all_pages() {
    let server = FakeServer::start();
    let page: Vec<Value> = (0..1000)
        .map(|n| key(&format!("{n:010}"), "x", "alice"))
        .collect();
    let query = "include_all=false&include_expired=false&limit=1000";
    server
        .on(&format!("GET /users/me/keys/tokens?{query}"), 200, &json!(page))
        .on(
            &format!("GET /users/me/keys/tokens?{query}&after_id=0000000999"),
            200,
            &json!([key("zzzzzzzzzz", "last", "alice")]),
        );
    let home = Home::logged_in(&server);
    let listed = home.run(&["tokens", "list"]).success();
    assert_eq!(listed.lines().count(), 1002);
    assert!(listed.lines().last().unwrap().starts_with("zzzzzzzzzz  last"));

    // A server that knows no pages gives the same list again.
    server.on(
        &format!("GET /users/me/keys/tokens?{query}&after_id=0000000999"),
        200,
        &json!(page),
    );
    assert_eq!(home.run(&["tokens", "list"]).success().lines().count(), 1001);
}
