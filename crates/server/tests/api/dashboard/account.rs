//! Tokens, sessions and the password of whoever is signed in.

use super::browser::{Browser, copied, location};
use crate::support::{PASSWORD, Server, id_of};

const OWNER: &str = "admin@example.com";
const NEW_PASSWORD: &str = "another battery staple horse";

#[tokio::test]
async fn a_token_is_shown_once_and_dies_at_once() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let fields = [("name", "laptop"), ("lifetime", "60"), ("scope", "all")];
    let created = browser.fill("/settings/tokens/new", &fields).await;
    assert_eq!(created.status, 200);
    let token = copied(&created, "secret");
    assert_eq!(created.headers["cache-control"], "no-store");
    for (id, line) in [
        (
            "claude-code",
            "ANTHROPIC_BASE_URL=https://gateway.example.com/api/v2/aibridge/anthropic",
        ),
        (
            "openai-sdk",
            "OPENAI_BASE_URL=https://gateway.example.com/api/v2/aibridge/openai/v1",
        ),
    ] {
        let lines = copied(&created, id);
        assert!(lines.contains(line) && lines.contains(&token), "{lines}");
    }
    let me = server
        .get(&format!("/users/me/keys/{}", id_of(&token)), &token)
        .await;
    assert_eq!(me.json()["token_name"], "laptop");
    assert_eq!(me.json()["lifetime_seconds"], 60 * 86_400);

    let list = browser.get("/settings/tokens").await;
    assert!(list.text.contains("laptop") && list.text.contains(id_of(&token)));
    assert!(!list.text.contains(&token));
    let path = format!("/settings/tokens/{}/delete", id_of(&token));
    assert!(browser.get(&path).await.text.contains("laptop"));
    let reply = browser.fill(&path, &[]).await;
    let list = browser.get(location(&reply)).await;
    assert!(list.text.contains("The token is deleted.") && list.text.contains("No tokens yet"));
    assert_eq!(server.get("/users/me", &token).await.status, 401);
    assert_eq!(browser.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_lifetime_is_within_the_ceiling() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &[]).await;
    let mut alice = Browser::signed_in(&server, "alice@example.com").await;
    for (lifetime, custom, status) in [
        ("90", "", 200),
        ("custom", "45d", 200),
        ("custom", " 1d12h ", 200),
        ("custom", "91d", 400),
        ("custom", "soon", 400),
        ("custom", "", 400),
        ("91", "", 400),
        ("-1", "", 400),
        ("", "", 400),
    ] {
        let fields = [
            ("lifetime", lifetime),
            ("custom_lifetime", custom),
            ("scope", "aibridge"),
        ];
        let reply = alice.fill("/settings/tokens/new", &fields).await;
        assert_eq!(reply.status, status, "{lifetime} {custom}");
        assert_eq!(
            reply.text.contains("id=\"lifetime-fault\""),
            status == 400,
            "{lifetime} {custom}"
        );
    }
    let named = [("name", "x"), ("lifetime", "7"), ("scope", "aibridge")];
    assert_eq!(alice.fill("/settings/tokens/new", &named).await.status, 200);
    let reply = alice.fill("/settings/tokens/new", &named).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text.contains("This token name is taken."), "{reply:?}");
}

#[tokio::test]
async fn the_tokens_of_others_are_not_here() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let token = server.token(&alice, serde_json::json!({})).await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let path = format!("/settings/tokens/{}/delete", id_of(&token));
    assert_eq!(browser.get(&path).await.status, 404);
    let page = browser.get("/settings/tokens").await;
    assert_eq!(browser.submit(&page, &path, &[]).await.status, 404);
    for id in [id_of(&alice), id_of(&token)] {
        let session = format!("/settings/sessions/{id}/end");
        assert_eq!(browser.get(&session).await.status, 404);
        assert_eq!(browser.submit(&page, &session, &[]).await.status, 404);
    }
    assert_eq!(server.get("/users/me", &alice).await.status, 200);
    assert_eq!(server.get("/users/me", &token).await.status, 200);
}

#[tokio::test]
async fn a_long_list_has_pages() {
    let (server, owner) = Server::with_owner().await;
    for number in 0..30 {
        server
            .token(
                &owner,
                serde_json::json!({"token_name": format!("token-{number:02}")}),
            )
            .await;
    }
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let names = |text: &str| text.matches(">token-").count();
    let first = browser.get("/settings/tokens").await.text;
    let second = browser.get("/settings/tokens?page=2").await.text;
    assert_eq!((names(&first), names(&second)), (25, 5));
    assert!(first.contains("token-29") && second.contains("token-00"));
    assert_eq!(names(&browser.get("/settings/tokens?page=99").await.text), 5);
    assert_eq!(browser.get("/settings/tokens?page=x").await.status, 404);
}

#[tokio::test]
async fn sessions_end_one_by_one_and_all_at_once() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let mut other = Browser::signed_in(&server, OWNER).await;
    let list = browser.get("/settings/sessions").await;
    assert_eq!(list.text.matches("This browser").count(), 1);
    for session in [browser.session(), other.session()] {
        assert!(list.text.contains(id_of(session)) && !list.text.contains(session));
    }
    assert!(list.text.contains("127.0.0.1"));
    let path = format!("/settings/sessions/{}/end", id_of(other.session()));
    let reply = browser.fill(&path, &[]).await;
    assert_eq!(location(&reply), "/settings/sessions");
    assert_eq!(other.get("/settings/tokens").await.status, 303);

    let mut other = Browser::signed_in(&server, OWNER).await;
    let token = server.token(browser.session(), serde_json::json!({})).await;
    let page = browser.get("/settings/sessions").await;
    let reply = browser.submit(&page, "/settings/sessions/end-all", &[]).await;
    assert_eq!(location(&reply), "/login?signed_out=1");
    assert_eq!(other.get("/settings/tokens").await.status, 303);
    assert_eq!(server.get("/users/me", &token).await.status, 200, "tokens stay");

    // One's own.
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let session = browser.session().to_owned();
    let path = format!("/settings/sessions/{}/end", id_of(&session));
    assert_eq!(location(&browser.fill(&path, &[]).await), "/login?signed_out=1");
    assert_eq!(server.get("/users/me", &session).await.status, 401);
}

#[tokio::test]
async fn a_new_password_ends_what_was_there() {
    let (server, owner) = Server::with_owner().await;
    let token = server.token(&owner, serde_json::json!({})).await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let old_session = browser.session().to_owned();
    let change = |old, new, again, tokens| {
        [
            ("old_password", old),
            ("password", new),
            ("password_again", again),
            ("tokens", tokens),
        ]
    };
    for (fields, fault) in [
        (
            change("wrong", NEW_PASSWORD, NEW_PASSWORD, "keep"),
            "old_password-fault",
        ),
        (
            change(PASSWORD, NEW_PASSWORD, "x", "keep"),
            "password_again-fault",
        ),
        (change(PASSWORD, "password", "password", "keep"), "password-fault"),
    ] {
        let reply = browser.fill("/settings/password", &fields).await;
        assert_eq!(reply.status, 400);
        assert!(
            reply.text.contains(&format!("id=\"{fault}\"")),
            "{fault}: {reply:?}"
        );
    }
    let fields = change(PASSWORD, NEW_PASSWORD, NEW_PASSWORD, "keep");
    let reply = browser.fill("/settings/password", &fields).await;
    let page = browser.get(location(&reply)).await;
    assert!(page.text.contains("all other sessions have ended"), "{page:?}");
    for (token, status) in [(&owner, 401), (&old_session, 401), (&token, 200)] {
        assert_eq!(server.get("/users/me", token).await.status, status);
    }
    let fields = change(NEW_PASSWORD, PASSWORD, PASSWORD, "delete");
    browser.fill("/settings/password", &fields).await;
    assert_eq!(server.get("/users/me", &token).await.status, 401);
    assert_eq!(browser.get("/settings/tokens").await.status, 200);
}
