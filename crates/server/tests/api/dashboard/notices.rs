//! What the page that follows is told: what was done, and nothing that was not.

use serde_json::json;

use super::browser::{Browser, location};
use crate::support::{PASSWORD, Server, id_of};

const OWNER: &str = "admin@example.com";
const NEW_PASSWORD: &str = "another battery staple horse";

/// Attempts to sign in until there are `count`, so that few are left of the 60 that an address has.
async fn guess(server: &Server, count: usize) {
    for number in 0..count {
        let body = json!({"email": format!("nobody{number}@example.com"), "password": "wrong wrong"});
        assert_eq!(server.post("/users/login", "", body).await.status, 401);
    }
}

#[tokio::test]
async fn a_notice_is_told_once_and_no_link_makes_one() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let other = Browser::signed_in(&server, OWNER).await;
    for path in [
        "/settings/password?done=password-changed",
        "/settings/tokens?done=token-deleted",
    ] {
        let page = browser.get(path).await;
        assert!(
            page.status == 200 && !page.text.contains("notice good"),
            "{page:?}"
        );
    }
    let path = format!("/settings/sessions/{}/end", id_of(other.session()));
    let reply = browser.fill(&path, &[]).await;
    assert!(browser.cookies.contains_key("coder_notice"));
    assert_eq!(
        location(&browser.get("/").await),
        "/settings/tokens",
        "shows nothing"
    );
    let page = browser.get(location(&reply)).await;
    assert!(page.text.contains("The session has ended."), "{page:?}");
    assert!(!browser.cookies.contains_key("coder_notice"));
    let page = browser.get(location(&reply)).await;
    assert!(!page.text.contains("The session has ended."), "{page:?}");
}

#[tokio::test]
async fn what_was_not_there_is_not_told_as_deleted() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &[]).await;
    let token = server.token(&owner, json!({})).await;
    let mut alice = Browser::signed_in(&server, "alice@example.com").await;
    let page = alice.get("/settings/tokens").await;
    for id in [id_of(&token), "0123456789", "x"] {
        let path = format!("/settings/tokens/{id}/delete");
        let reply = alice.submit(&page, &path, &[]).await;
        let list = alice.get(location(&reply)).await.text;
        assert!(list.contains("There is no such token") && !list.contains("is deleted"));
    }
    assert_eq!(server.get("/users/me", &token).await.status, 200);

    // Twice, in two windows.
    let id = server.get("/users/alice", &owner).await.json()["id"].clone();
    let path = format!("/users/{}/delete", id.as_str().unwrap());
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let page = browser.get(&path).await;
    for told in ["The account is deleted", "There is no such account"] {
        let reply = browser.submit(&page, &path, &[("confirmation", "alice")]).await;
        let list = browser.get(location(&reply)).await;
        assert!(list.text.contains(told), "{told}: {list:?}");
    }
    let reply = alice.submit(&page, &path, &[("confirmation", "alice")]).await;
    assert!(location(&reply).starts_with("/login"));
}

#[tokio::test]
async fn a_changed_password_is_told_where_signing_in_fails() {
    let (server, owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let page = browser.get("/settings/password").await;
    // Two have signed in. The old password is the 60th attempt, signing in with the new one would be the 61st.
    guess(&server, 57).await;
    let fields = [
        ("old_password", PASSWORD),
        ("password", NEW_PASSWORD),
        ("password_again", NEW_PASSWORD),
        ("tokens", "keep"),
    ];
    let reply = browser.submit(&page, "/settings/password", &fields).await;
    assert_eq!(location(&reply), "/login");
    assert!(!browser.cookies.contains_key("coder_session"));
    let page = browser.get("/login").await;
    assert!(
        page.text
            .contains("The password is changed, and all sessions have ended."),
        "{page:?}"
    );
    assert_eq!(server.get("/users/me", &owner).await.status, 401);
    let again = browser.get("/login").await;
    assert!(!again.text.contains("The password is changed"), "{again:?}");
}

#[tokio::test]
async fn a_first_user_is_told_where_signing_in_fails() {
    let server = Server::empty().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/setup").await;
    guess(&server, 60).await;
    let fields = [("username", "admin"), ("email", OWNER), ("password", PASSWORD)];
    let reply = browser.submit(&page, "/setup", &fields).await;
    assert_eq!(location(&reply), "/login");
    let page = browser.get("/login").await;
    assert!(page.text.contains("The owner&#39;s account is made."), "{page:?}");
}

#[tokio::test]
async fn a_weak_password_for_the_first_user_is_no_attempt_at_the_code() {
    let server = Server::empty().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/setup").await;
    for _ in 0..12 {
        let fields = [("username", "admin"), ("email", OWNER), ("password", "password")];
        assert_eq!(browser.submit(&page, "/setup", &fields).await.status, 400);
    }
    let fields = [("username", "admin"), ("email", OWNER), ("password", PASSWORD)];
    let reply = browser.submit(&page, "/setup", &fields).await;
    assert_eq!(location(&reply), "/");
}
