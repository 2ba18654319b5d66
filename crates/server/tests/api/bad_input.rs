//! Whatever comes in, the answer is a clear refusal and never 500.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn wrong_bodies_name_the_field() {
    let (server, owner) = Server::with_owner().await;
    let long = "x".repeat(10_000);
    for (method, path, body, field) in [
        (
            "POST",
            "/users/login",
            json!({"email": 1, "password": "x"}),
            "email",
        ),
        ("POST", "/users/login", json!({"email": "a@b"}), "password"),
        (
            "POST",
            "/users/login",
            json!({"email": "a@b", "password": 73519}),
            "password",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a b", "email": "a@b", "password": PASSWORD}),
            "username",
        ),
        (
            "POST",
            "/users",
            json!({"username": long, "email": "a@b", "password": PASSWORD}),
            "username",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a", "email": "nonsense", "password": PASSWORD}),
            "email",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a", "email": format!("{long}@b"), "password": PASSWORD}),
            "email",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a", "email": "a\u{0}@b", "password": PASSWORD}),
            "email",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a", "email": "a@b", "password": long}),
            "password",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a", "email": "a@b", "password": PASSWORD, "name": "a\u{0}b"}),
            "name",
        ),
        (
            "POST",
            "/users",
            json!({"username": "a", "email": "a@b", "pasword": PASSWORD}),
            "pasword",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"lifetime": "30d"}),
            "lifetime",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"lifetime": 1.5}),
            "lifetime",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"token_name": "a/b"}),
            "token_name",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"token_name": "a\u{0}b"}),
            "token_name",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"token_name": long}),
            "token_name",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"scopes": ["workspace:read"]}),
            "scopes",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"allow_list": ["workspace:*"]}),
            "allow_list",
        ),
        (
            "POST",
            "/users/me/keys/tokens",
            json!({"tokenname": "x"}),
            "tokenname",
        ),
        ("PUT", "/users/me/profile", json!({"username": "me"}), "username"),
        ("PUT", "/users/me/roles", json!({"roles": "owner"}), "roles"),
    ] {
        let reply = server.call(method, path, &owner, Some(body.clone())).await;
        assert_eq!(reply.status, 400, "{path} {body}: {reply:?}");
        assert_eq!(reply.faulty_fields(), [field], "{path} {body}: {reply:?}");
        assert!(!reply.text.contains("73519"), "a secret is repeated: {reply:?}");
    }
}

#[tokio::test]
async fn broken_requests_are_refused_in_the_one_form() {
    let (server, owner) = Server::with_owner().await;
    let raw = async |content_type: Option<&str>, body: Vec<u8>| {
        server
            .send(|http, base| {
                let mut request = http
                    .post(format!("{base}/api/v2/users/me/keys/tokens"))
                    .header("coder-session-token", &owner);
                if let Some(content_type) = content_type {
                    request = request.header("content-type", content_type);
                }
                request.body(body)
            })
            .await
    };
    let deep = [vec![b'['; 50_000], vec![b']'; 50_000]].concat();
    for (content_type, body, status) in [
        (Some("application/json"), b"".to_vec(), 400),
        (Some("application/json"), b"{".to_vec(), 400),
        (Some("application/json"), b"null".to_vec(), 400),
        (Some("application/json"), b"[]".to_vec(), 400),
        (Some("application/json"), b"\xff\xfe".to_vec(), 400),
        (Some("application/json"), deep, 400),
        (Some("text/plain"), b"{}".to_vec(), 400),
        (None, b"{}".to_vec(), 400),
        (Some("application/json"), vec![b' '; 300 * 1024], 413),
    ] {
        let reply = raw(content_type, body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.json()["message"].is_string());
    }
}

#[tokio::test]
async fn odd_paths_and_methods_are_refused_in_the_one_form() {
    let (server, owner) = Server::with_owner().await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/users/nobody", 404),
        ("GET", "/users/%00", 404),
        ("GET", "/users/%ff", 404),
        ("GET", "/users/a%2fb", 404),
        ("GET", "/users/me/keys/short", 404),
        ("GET", "/users/me/keys/0123456789", 404),
        ("DELETE", "/users/me/keys/..%2f..", 404),
        ("GET", "/users/me/keys/tokens/%00", 404),
        ("PATCH", "/users/me", 405),
        ("DELETE", "/users", 405),
    ] {
        let reply = server.call(method, path, &owner, None).await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        assert!(reply.json()["message"].is_string(), "{method} {path}");
        assert_eq!(
            reply.headers.contains_key("allow"),
            status == 405,
            "{method} {path}"
        );
    }
}

/// Arbitrary JSON at every writing route: refused or done, never an internal error.
#[tokio::test]
async fn arbitrary_json_is_never_an_internal_error() {
    let (server, owner) = Server::with_owner().await;
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("\u{0}"),
        json!("\u{fffd}"),
        json!("x".repeat(5000)),
        json!([]),
        json!([null]),
        json!([["a"]]),
        json!({}),
        json!({"a": {"b": []}}),
    ];
    let fields = [
        "email",
        "username",
        "name",
        "password",
        "old_password",
        "roles",
        "lifetime",
        "token_name",
        "scopes",
        "scope",
        "allow_list",
        "login_type",
        "user_status",
        "is_service_account",
        "keep_api_tokens",
        "setup_code",
        "trial_info",
    ];
    for (method, path) in [
        ("POST", "/users/first"),
        ("POST", "/users"),
        ("POST", "/users/me/keys/tokens"),
        ("PUT", "/users/me/profile"),
        ("PUT", "/users/me/roles"),
    ] {
        for field in fields {
            for value in &values {
                let mut body = json!({});
                body[field] = value.clone();
                if path == "/users" {
                    fill(&mut body, "username", json!("admin"));
                    fill(&mut body, "email", json!("admin@example.com"));
                    fill(&mut body, "password", json!("x"));
                }
                let reply = server.call(method, path, &owner, Some(body.clone())).await;
                assert!(reply.status < 500, "{method} {path} {body}: {reply:?}");
            }
        }
    }
}

fn fill(body: &mut Value, field: &str, value: Value) {
    if body.get(field).is_none() {
        body[field] = value;
    }
}
