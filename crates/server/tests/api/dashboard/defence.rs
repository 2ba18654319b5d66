//! What keeps others out: headers, the two checks of forms, escaping, and the end of a session.

use reqwest::header::CACHE_CONTROL;
use serde_json::json;

use super::browser::{Browser, location, value};
use crate::support::{PASSWORD, Server, id_of};

const OWNER: &str = "admin@example.com";

/// What nobody should see live.
const MARKUP: &str = "\"'><script>alert(1)<&lt;script>";

#[tokio::test]
async fn every_answer_keeps_to_itself() {
    let (server, _owner) = Server::with_owner().await;
    let mut visitor = Browser::new(&server);
    let mut owner = Browser::signed_in(&server, OWNER).await;
    let page = owner.get("/settings/tokens").await;
    let style = page
        .text
        .split("href=\"")
        .find(|rest| rest.contains(".css\""))
        .unwrap();
    let style = style.split('"').next().unwrap().to_owned();
    let mut replies = vec![
        ("login", visitor.get("/login").await),
        ("redirect", visitor.get("/settings/tokens").await),
        ("nothing", visitor.get("/nothing").await),
        ("no asset", visitor.get("/assets/style-0000.css").await),
        ("method", visitor.post("/assets/x", &[]).await),
        ("no form", visitor.post("/login", &[]).await),
        ("style", visitor.get(&style).await),
    ];
    for path in [
        "/settings/tokens",
        "/settings/tokens/new",
        "/settings/sessions",
        "/settings/password",
        "/settings/tokens/0123456789/delete",
    ] {
        replies.push((path, owner.get(path).await));
    }
    for (what, reply) in replies {
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{what}");
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{what}"
        );
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{what}");
        assert_eq!(reply.headers["x-frame-options"], "DENY", "{what}");
        assert_eq!(reply.headers["referrer-policy"], "same-origin", "{what}");
        assert_eq!(
            reply.headers["cross-origin-opener-policy"], "same-origin",
            "{what}"
        );
        let cache = if what == "style" {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        assert_eq!(reply.headers[CACHE_CONTROL], cache, "{what}");
        // Nothing that the policy would have to forbid.
        for inline in ["<script>", " style=", " onclick=", "javascript:"] {
            assert!(!reply.text.contains(inline), "{what}: {inline}");
        }
        assert!(reply.text.len() < 30_000, "{what}: {}", reply.text.len());
    }
}

#[tokio::test]
async fn programs_with_a_wrong_address_are_told_in_their_way() {
    let server = Server::empty().await;
    let reply = server
        .send(|http, base| http.post(format!("{base}/v1/messages")).json(&json!({})))
        .await;
    assert_eq!(
        (reply.status, reply.json()["message"].as_str()),
        (404, Some("there is nothing here"))
    );
}

#[tokio::test]
async fn a_change_needs_both_the_place_and_the_token() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let page = browser.get("/settings/tokens/new").await;
    let csrf = value(&page, "csrf").unwrap();
    let other = value(
        &Browser::signed_in(&server, OWNER)
            .await
            .get("/settings/tokens/new")
            .await,
        "csrf",
    );
    let visitor = value(&Browser::new(&server).get("/login").await, "csrf");
    let fields = |csrf: Option<String>| {
        let mut fields = vec![("lifetime", "7".to_owned()), ("scope", "aibridge".to_owned())];
        fields.extend(csrf.map(|csrf| ("csrf", csrf)));
        fields
    };
    for (what, token) in [
        ("missing", None),
        ("empty", Some(String::new())),
        ("of another session", other),
        ("of a visitor", visitor),
        ("cut", Some(csrf[2..].to_owned())),
    ] {
        let fields = fields(token);
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let reply = browser.post("/settings/tokens/new", &fields).await;
        assert_eq!(reply.status, 403, "{what}");
        assert!(reply.text.contains("out of date"), "{what}");
    }
    let fields = fields(Some(csrf));
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    for (name, said) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1"),
    ] {
        browser.headers.insert(name, said.parse().unwrap());
        let reply = browser.post("/settings/tokens/new", &fields).await;
        assert_eq!(reply.status, 403, "{name}: {said}");
        assert!(reply.text.contains("did not come from here"), "{name}: {said}");
        browser.headers.clear();
    }
    assert!(
        browser
            .get("/settings/tokens")
            .await
            .text
            .contains("No tokens yet")
    );
    assert_eq!(browser.post("/settings/tokens/new", &fields).await.status, 200);
}

#[tokio::test]
async fn signing_in_and_setting_up_need_them_too() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/login").await;
    let csrf = value(&page, "csrf").unwrap();
    let fields = [("email", OWNER), ("password", PASSWORD), ("csrf", csrf.as_str())];
    assert_eq!(browser.post("/login", &fields[..2]).await.status, 403);
    // The form of somebody else's browser, as it would be sent from their page.
    let mut victim = Browser::new(&server);
    victim.get("/login").await;
    assert_eq!(victim.post("/login", &fields).await.status, 403);
    assert_eq!(victim.post("/setup", &fields).await.status, 403);
    assert_eq!(browser.post("/login", &fields).await.status, 303);
}

#[tokio::test]
async fn names_are_text_wherever_they_come_out() {
    let (server, owner) = Server::with_owner().await;
    let reply = server
        .put(
            "/users/me/profile",
            &owner,
            json!({"username": "admin", "name": MARKUP}),
        )
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let token = server.token(&owner, json!({"token_name": MARKUP})).await;
    let mut visitor = Browser::new(&server);
    visitor.headers.insert("user-agent", MARKUP.parse().unwrap());
    let page = visitor.get("/login").await;
    let wrong = [("email", MARKUP), ("password", MARKUP), ("next", MARKUP)];
    let refused = visitor.submit(&page, "/login", &wrong).await;
    visitor.sign_in(&page, OWNER).await;
    let mut replies = vec![refused];
    for path in [
        "/settings/tokens".to_owned(),
        format!("/settings/tokens/{}/delete", id_of(&token)),
        "/settings/sessions".to_owned(),
    ] {
        replies.push(visitor.get(&path).await);
    }
    let fields = [
        ("name", MARKUP),
        ("lifetime", MARKUP),
        ("custom_lifetime", MARKUP),
        ("scope", MARKUP),
    ];
    replies.push(visitor.fill("/settings/tokens/new", &fields).await);
    let fields = [
        ("name", MARKUP),
        ("lifetime", "custom"),
        ("custom_lifetime", MARKUP),
        ("scope", "all"),
    ];
    replies.push(visitor.fill("/settings/tokens/new", &fields).await);
    for (index, reply) in replies.iter().enumerate() {
        assert!(
            reply.text.contains("alert(1)"),
            "{index}: it is shown: {}",
            reply.text
        );
        for live in ["<script>alert", "\"'><", "<&lt;"] {
            assert!(!reply.text.contains(live), "{index}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn who_loses_the_right_loses_the_dashboard_at_once() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &[]).await;
    let mut alice = Browser::signed_in(&server, "alice@example.com").await;
    assert_eq!(alice.get("/settings/tokens").await.status, 200);
    let path = format!("/users/alice/keys/{}", id_of(alice.session()));
    assert_eq!(server.delete(&path, &owner).await.status, 204);
    let reply = alice.get("/settings/tokens").await;
    assert_eq!(location(&reply), "/login?next=%2Fsettings%2Ftokens");

    let mut alice = Browser::signed_in(&server, "alice@example.com").await;
    let page = alice.get("/settings/tokens/new").await;
    server
        .call("PUT", "/users/alice/status/suspend", &owner, None)
        .await;
    let fields = [("lifetime", "7"), ("scope", "all")];
    let reply = alice.submit(&page, "/settings/tokens/new", &fields).await;
    assert_eq!(location(&reply), "/login?next=%2Fsettings%2Ftokens%2Fnew");
    let page = alice.get("/login").await;
    let reply = alice.sign_in(&page, "alice@example.com").await;
    assert_eq!(reply.status, 400);
    assert!(reply.text.contains("suspended"));
}
