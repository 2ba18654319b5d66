//! Signing in a command line through a browser.

use std::fmt::Write as _;

use reqwest::header::LOCATION;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::browser::{Browser, copied, location, value};
use crate::support::{Reply, Server, id_of};

const OWNER: &str = "admin@example.com";
const VERIFIER: &str = "a-verifier-of-some-length";

fn challenge(verifier: &str) -> String {
    Sha256::digest(verifier.as_bytes())
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

fn address() -> String {
    format!(
        "/cli-auth?port=45678&state=s7a7e&challenge={}",
        challenge(VERIFIER)
    )
}

/// Confirms on the page, and gives the address that the browser goes to.
async fn confirm(browser: &mut Browser<'_>) -> url::Url {
    let page = browser.get(&address()).await;
    assert!(page.text.contains("<b>admin</b>"), "{page:?}");
    let challenge = challenge(VERIFIER);
    let fields = [("port", "45678"), ("state", "s7a7e"), ("challenge", &challenge)];
    for (name, given) in fields {
        assert_eq!(value(&page, name).as_deref(), Some(given));
    }
    let reply = browser.submit(&page, "/cli-auth", &fields).await;
    assert_eq!(reply.status, 200);
    let (_, rest) = reply.text.split_once("content=\"0;url=").unwrap();
    let target = rest.split('"').next().unwrap().replace("&#38;", "&");
    target.parse().unwrap()
}

async fn redeem(server: &Server, code: &str, verifier: &str) -> Reply {
    let body = json!({"code": code, "verifier": verifier});
    server.post("/users/login/code", "", body).await
}

fn code(target: &url::Url) -> String {
    target
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned()
}

#[tokio::test]
async fn the_code_goes_to_the_own_machine_and_is_good_once() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let target = confirm(&mut browser).await;
    assert_eq!(target.origin().ascii_serialization(), "http://127.0.0.1:45678");
    assert_eq!(target.path(), "/callback");
    assert!(
        target
            .query_pairs()
            .any(|(name, value)| name == "state" && value == "s7a7e")
    );
    let code = code(&target);
    let reply = redeem(&server, &code, VERIFIER).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let session = reply.json()["session_token"].as_str().unwrap().to_owned();
    assert_ne!(session, browser.session(), "one of its own");
    assert_eq!(
        server.get("/users/me", &session).await.json()["username"],
        "admin"
    );
    assert_eq!(redeem(&server, &code, VERIFIER).await.status, 401);
    // Signing out of the browser leaves the command line where it is.
    let page = browser.get("/settings/sessions").await;
    assert!(page.text.contains(id_of(&session)));
    browser.submit(&page, "/logout", &[]).await;
    assert_eq!(server.get("/users/me", &session).await.status, 200);
    assert_eq!(browser.get("/cli-auth/done").await.status, 200);
}

#[tokio::test]
async fn a_code_without_its_verifier_is_spent() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let code = code(&confirm(&mut browser).await);
    assert_eq!(redeem(&server, &code, "another").await.status, 401);
    assert_eq!(redeem(&server, &code, VERIFIER).await.status, 401);
    assert_eq!(redeem(&server, "", "").await.status, 401);
}

#[tokio::test]
async fn a_code_of_a_session_that_has_ended_is_worth_nothing() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let code = code(&confirm(&mut browser).await);
    let page = browser.get("/settings/tokens").await;
    browser.submit(&page, "/logout", &[]).await;
    assert_eq!(redeem(&server, &code, VERIFIER).await.status, 401);
}

#[tokio::test]
async fn the_token_to_paste_is_shown_once() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let page = browser.get("/cli-auth").await;
    let reply = browser.submit(&page, "/cli-auth", &[]).await;
    let token = copied(&reply, "token");
    assert_eq!(server.get("/users/me", &token).await.status, 200);
    assert!(!browser.get("/cli-auth").await.text.contains(&token));
    // The same from the page with a port.
    let page = browser.get(&address()).await;
    let challenge = challenge(VERIFIER);
    let fields = [
        ("port", "45678"),
        ("state", "s7a7e"),
        ("challenge", challenge.as_str()),
        ("paste", "1"),
    ];
    let reply = browser.submit(&page, "/cli-auth", &fields).await;
    assert_eq!(
        server.get("/users/me", &copied(&reply, "token")).await.status,
        200
    );
}

#[tokio::test]
async fn a_session_that_ends_before_the_confirmation_loses_nothing() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let page = browser.get(&address()).await;
    let (_, rest) = page.text.split_once("action=\"").unwrap();
    let action = rest.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(action, address());
    let session = browser.session().to_owned();
    let path = format!("/users/me/keys/{}", id_of(&session));
    assert_eq!(server.delete(&path, &session).await.status, 204);
    let login = location(&browser.submit(&page, &action, &[]).await).to_owned();
    let page = browser.get(&login).await;
    assert_eq!(location(&browser.sign_in(&page, OWNER).await), address());
}

#[tokio::test]
async fn who_is_not_signed_in_comes_back_after_it() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::new(&server);
    let reply = browser.get(&address()).await;
    let page = browser.get(location(&reply)).await;
    let reply = browser.sign_in(&page, OWNER).await;
    assert_eq!(reply.headers[LOCATION].to_str().unwrap(), address());
}

#[tokio::test]
async fn only_what_a_command_line_asks_is_answered() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let good = challenge(VERIFIER);
    for query in [
        "port=45678".to_owned(),
        format!("port=45678&state=s&challenge={}", &good[1..]),
        format!("port=80&state=s&challenge={good}"),
        format!("port=65536&state=s&challenge={good}"),
        format!("port=1@evil.example&state=s&challenge={good}"),
        format!("port=45678&state=&challenge={good}"),
        format!("port=45678&state=%22%3E&challenge={good}"),
        format!("port=45678&state={}&challenge={good}", "s".repeat(129)),
    ] {
        assert_eq!(
            browser.get(&format!("/cli-auth?{query}")).await.status,
            404,
            "{query}"
        );
    }
    let page = browser.get("/cli-auth").await;
    let fields = [("port", "1@evil.example"), ("state", "s"), ("challenge", &good)];
    assert_eq!(browser.submit(&page, "/cli-auth", &fields).await.status, 404);
    assert_eq!(browser.post("/cli-auth", &[]).await.status, 403);
}
