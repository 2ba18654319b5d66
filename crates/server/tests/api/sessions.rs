//! Set-up, signing in, signing out.

use serde_json::json;

use crate::support::{PASSWORD, SETUP_CODE, Server};

#[tokio::test]
async fn the_first_user_is_made_once() {
    let server = Server::empty().await;
    assert_eq!(server.get("/users/first", "").await.status, 404);
    let weak = json!({"email": "a@b", "username": "admin", "password": "password1"});
    let reply = server.post("/users/first", "", weak).await;
    assert_eq!(
        (reply.status, reply.faulty_fields()),
        (400, vec!["password".to_owned()])
    );
    let body = json!({"email": "a@b", "username": "admin", "password": PASSWORD, "trial": false});
    let made =
        futures_util::future::join_all((0..5).map(|_| server.post("/users/first", "", body.clone()))).await;
    let mut statuses: Vec<u16> = made.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409]);
    assert_eq!(server.get("/users/first", "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn setting_up_through_a_proxy_takes_the_code() {
    let server = Server::empty().await;
    let attempt = async |code: Option<&str>| {
        let mut body = json!({"email": "a@b", "username": "admin", "password": PASSWORD});
        if let Some(code) = code {
            body["setup_code"] = json!(code);
        }
        let request = |http: &reqwest::Client, base: String| {
            http.post(format!("{base}/api/v2/users/first"))
                .header("X-Forwarded-For", "192.0.2.1")
                .json(&body)
        };
        server.send(request).await.status
    };
    assert_eq!(attempt(None).await, 403);
    assert_eq!(attempt(Some("wrong")).await, 403);
    assert_eq!(attempt(Some(SETUP_CODE)).await, 201);
}

#[tokio::test]
async fn unknown_addresses_and_wrong_passwords_look_alike() {
    let (server, owner) = Server::with_owner().await;
    let bot = json!({"username": "bot", "is_service_account": true});
    assert_eq!(server.post("/users", &owner, bot).await.status, 201);
    let mut replies = Vec::new();
    for (email, password) in [
        ("admin@example.com", "wrong wrong wrong"),
        ("nobody@example.com", "wrong wrong wrong"),
        ("nobody@example.com", PASSWORD),
        ("", PASSWORD),
        ("bot", PASSWORD),
        ("admin@example.com", &"x".repeat(5000)),
    ] {
        let reply = server
            .post("/users/login", "", json!({"email": email, "password": password}))
            .await;
        replies.push((reply.status, reply.text));
    }
    replies.dedup();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0].0, 401);
}

#[tokio::test]
async fn an_account_that_is_guessed_at_is_closed_for_a_while() {
    let (server, owner) = Server::with_owner().await;
    let attempt = async |password: &str| {
        server
            .post(
                "/users/login",
                "",
                json!({"email": "admin@example.com", "password": password}),
            )
            .await
    };
    for _ in 0..10 {
        assert_eq!(attempt("wrong wrong wrong").await.status, 401);
    }
    let refused = attempt(PASSWORD).await;
    assert_eq!(refused.status, 429);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(
        server.get("/users/me", &owner).await.status,
        200,
        "sessions go on"
    );
}

#[tokio::test]
async fn logging_out_ends_the_session_and_no_other() {
    let (server, first) = Server::with_owner().await;
    let second = server.login("admin@example.com").await;
    assert_eq!(
        server.call("POST", "/users/logout", &first, None).await.status,
        200
    );
    assert_eq!(server.get("/users/me", &first).await.status, 401);
    assert_eq!(server.get("/users/me", &second).await.status, 200);
    assert_eq!(
        server.call("POST", "/users/logout", &first, None).await.status,
        401
    );
}

#[tokio::test]
async fn a_suspended_user_is_told_only_after_the_right_password() {
    let (server, owner) = Server::with_owner().await;
    let session = server.user(&owner, "alice", &[]).await;
    assert_eq!(
        server
            .call("PUT", "/users/alice/status/suspend", &owner, None)
            .await
            .status,
        200
    );
    assert_eq!(server.get("/users/me", &session).await.status, 401);
    let attempt = async |password: &str| {
        server
            .post(
                "/users/login",
                "",
                json!({"email": "alice@example.com", "password": password}),
            )
            .await
    };
    assert!(attempt(PASSWORD).await.text.contains("suspended"));
    let wrong = attempt("wrong wrong wrong").await;
    assert!(wrong.status == 401 && !wrong.text.contains("suspended"));
    assert_eq!(
        server
            .call("PUT", "/users/alice/status/activate", &owner, None)
            .await
            .status,
        200
    );
    assert_eq!(
        server.get("/users/me", &session).await.status,
        200,
        "the session lives again"
    );
}

#[tokio::test]
async fn a_password_change_ends_sessions_and_keeps_tokens_if_asked() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let token = server.token(&alice, json!({"token_name": "t"})).await;
    let new = "another horse battery staple";
    let change = json!({"password": new, "old_password": "wrong wrong wrong"});
    let reply = server.put("/users/me/password", &alice, change).await;
    assert_eq!(
        (reply.status, reply.faulty_fields()),
        (400, vec!["old_password".to_owned()])
    );
    let change = json!({"password": new, "old_password": PASSWORD, "keep_api_tokens": true});
    assert_eq!(server.put("/users/me/password", &alice, change).await.status, 204);
    assert_eq!(server.get("/users/me", &alice).await.status, 401);
    assert_eq!(server.get("/users/me", &token).await.status, 200);
    // By an administrator no old password is needed, and without being asked tokens go, too.
    assert_eq!(
        server
            .put("/users/alice/password", &owner, json!({"password": PASSWORD}))
            .await
            .status,
        204
    );
    assert_eq!(server.get("/users/me", &token).await.status, 401);
}

#[tokio::test]
async fn credentials_are_taken_from_two_headers_and_nowhere_else() {
    let (server, owner) = Server::with_owner().await;
    let status = async |request: &dyn Fn(&reqwest::Client, String) -> reqwest::RequestBuilder| {
        server
            .send(|http, base| request(http, format!("{base}/api/v2/users/me")))
            .await
            .status
    };
    assert_eq!(
        status(&|http, url| http.get(url).header("authorization", format!("bEaReR {owner}"))).await,
        200
    );
    assert_eq!(
        status(&|http, url| http.get(url).header("coder-session-token", &owner)).await,
        200
    );
    assert_eq!(
        status(&|http, url| http.get(format!("{url}?coder_session_token={owner}"))).await,
        401
    );
    assert_eq!(
        status(&|http, url| http
            .get(url)
            .header("cookie", format!("coder_session_token={owner}")))
        .await,
        401
    );
    assert_eq!(
        status(&|http, url| http.get(url).header("x-api-key", &owner)).await,
        401
    );
    let refused = server.get("/users/me", "").await;
    assert!(refused.headers.contains_key("www-authenticate"));
    assert_eq!(refused.headers["x-should-retry"], "false");
    assert_eq!(refused.headers["cache-control"], "no-store");
}
