//! Who may do what, as one table: each route, each kind of caller.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, id_of};

/// The callers, in the order of the columns.
const CALLERS: [&str; 7] = [
    "anonymous",
    "removed",
    "aibridge",
    "member",
    "auditor",
    "user-admin",
    "owner",
];

#[tokio::test]
async fn the_table() {
    let (server, owner) = Server::with_owner().await;
    let member = server.user(&owner, "member", &[]).await;
    let auditor = server.user(&owner, "auditor", &["auditor"]).await;
    let admin = server.user(&owner, "useradmin", &["user-admin"]).await;
    let aibridge = server.token(&member, json!({"scope": "aibridge"})).await;
    let removed = server.token(&member, json!({})).await;
    server
        .delete(&format!("/users/me/keys/{}", id_of(&removed)), &member)
        .await;
    let callers = ["", &removed, &aibridge, &member, &auditor, &admin, &owner];

    let mut fresh = 0;
    let mut failures = Vec::new();
    // 0 stands for any success.
    let rows: [(&str, &str, Option<Value>, [u16; 7]); 22] = [
        ("GET", "/audit", None, [401, 401, 403, 403, 0, 403, 0]),
        (
            "GET",
            "/aibridge/interceptions",
            None,
            [401, 401, 403, 0, 0, 0, 0],
        ),
        ("GET", "/aibridge/sessions", None, [401, 401, 403, 0, 0, 0, 0]),
        ("GET", "/aibridge/usage", None, [401, 401, 403, 0, 0, 0, 0]),
        ("GET", "/aibridge/models", None, [401, 401, 403, 0, 0, 0, 0]),
        ("GET", "/ai-gateway/clients", None, [401, 401, 403, 0, 0, 0, 0]),
        (
            "GET",
            "/aibridge/sessions/nobodys",
            None,
            [401, 401, 403, 404, 404, 404, 404],
        ),
        ("GET", "/users/me", None, [401, 401, 403, 0, 0, 0, 0]),
        ("GET", "/users", None, [401, 401, 403, 403, 0, 0, 0]),
        ("GET", "/users/{victim}", None, [401, 401, 403, 404, 0, 0, 0]),
        ("GET", "/users/roles", None, [401, 401, 403, 0, 0, 0, 0]),
        (
            "POST",
            "/users",
            Some(json!({"username": "{new}", "email": "{new}@example.com", "password": PASSWORD})),
            [401, 401, 403, 403, 403, 0, 0],
        ),
        (
            "POST",
            "/users",
            Some(json!({"username": "{new}", "is_service_account": true})),
            [401, 401, 403, 403, 403, 0, 0],
        ),
        (
            "POST",
            "/users",
            Some(json!({"username": "{new}", "is_service_account": true, "roles": ["auditor"]})),
            [401, 401, 403, 403, 403, 403, 0],
        ),
        (
            "PUT",
            "/users/{victim}/status/suspend",
            None,
            [401, 401, 403, 404, 403, 0, 0],
        ),
        (
            "PUT",
            "/users/{victim}/roles",
            Some(json!({"roles": ["auditor"]})),
            [401, 401, 403, 404, 403, 403, 0],
        ),
        (
            "PUT",
            "/users/{victim}/password",
            Some(json!({"password": PASSWORD})),
            [401, 401, 403, 404, 404, 0, 0],
        ),
        ("DELETE", "/users/{victim}", None, [401, 401, 403, 404, 403, 0, 0]),
        (
            "DELETE",
            "/users/{holder}",
            None,
            [401, 401, 403, 404, 403, 403, 0],
        ),
        (
            "GET",
            "/users/{victim}/keys/tokens",
            None,
            [401, 401, 403, 404, 0, 404, 0],
        ),
        (
            "POST",
            "/users/{victim}/keys/tokens",
            Some(json!({})),
            [401, 401, 403, 404, 404, 404, 0],
        ),
        (
            "DELETE",
            "/users/me/keys/{token}",
            None,
            [401, 401, 403, 404, 404, 404, 0],
        ),
    ];
    for (method, path, body, expected) in rows {
        for ((caller, token), expected) in CALLERS.iter().zip(callers).zip(expected) {
            // Everything that may be used up is made anew.
            fresh += 1;
            let victim = format!("victim{fresh}");
            server.post("/users", &owner, json!({"username": victim, "email": format!("{victim}@example.com"), "password": PASSWORD})).await;
            let holder = format!("holder{fresh}");
            server
                .post(
                    "/users",
                    &owner,
                    json!({"username": holder, "is_service_account": true, "roles": ["auditor"]}),
                )
                .await;
            let key = server
                .post(&format!("/users/{victim}/keys/tokens"), &owner, json!({}))
                .await
                .json();
            let filled = |text: &str| {
                text.replace("{victim}", &victim)
                    .replace("{holder}", &holder)
                    .replace("{token}", id_of(key["key"].as_str().unwrap()))
                    .replace("{new}", &format!("new{fresh}"))
            };
            let body = body
                .as_ref()
                .map(|body| serde_json::from_str(&filled(&body.to_string())).unwrap());
            let reply = server.call(method, &filled(path), token, body).await;
            let is_right = if expected == 0 {
                (200..300).contains(&reply.status)
            } else {
                reply.status == expected
            };
            if !is_right {
                failures.push(format!(
                    "{method} {path} as {caller}: {} instead of {expected}: {}",
                    reply.status, reply.text
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
