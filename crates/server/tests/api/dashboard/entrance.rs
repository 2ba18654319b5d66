//! Set-up, signing in and out, and the way back.

use gateway_server::config::TrustedProxies;
use reqwest::header::SET_COOKIE;

use super::browser::{Browser, location, value};
use crate::support::{PASSWORD, SETUP_CODE, Server};

const OWNER: &str = "admin@example.com";

fn first_user(code: &str) -> [(&str, &str); 5] {
    [
        ("setup_code", code),
        ("username", "admin"),
        ("name", "Ada"),
        ("email", OWNER),
        ("password", PASSWORD),
    ]
}

#[tokio::test]
async fn the_first_user_is_made_and_signed_in() {
    let server = Server::empty().await;
    let mut browser = Browser::new(&server);
    assert_eq!(location(&browser.get("/").await), "/login");
    assert_eq!(location(&browser.get("/login").await), "/setup");
    let page = browser.get("/setup").await;
    assert!(!page.text.contains("setup_code"), "needless on the same machine");
    let weak = [("username", "ad min"), ("email", OWNER), ("password", "password")];
    let reply = browser.submit(&page, "/setup", &weak).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text.contains("id=\"username-fault\""), "{reply:?}");
    assert!(reply.text.contains(OWNER) && !reply.text.contains("value=\"password\""));
    let reply = browser.submit(&page, "/setup", &first_user("")).await;
    assert_eq!(location(&reply), "/");
    assert_eq!(browser.get("/settings/tokens").await.status, 200);
    assert_eq!(location(&Browser::new(&server).get("/setup").await), "/login");
    let late = browser.fill("/settings/tokens/new", &[]).await;
    assert_eq!(late.status, 400, "a form without its fields");
}

#[tokio::test]
async fn from_elsewhere_set_up_takes_the_code() {
    let server = Server::empty().await;
    let mut browser = Browser::new(&server);
    browser
        .headers
        .insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    let page = browser.get("/setup").await;
    assert!(page.text.contains("name=\"setup_code\""));
    for wrong in ["", "wrong"] {
        let reply = browser.submit(&page, "/setup", &first_user(wrong)).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("id=\"setup_code-fault\""), "{reply:?}");
    }
    let reply = browser.submit(&page, "/setup", &first_user(SETUP_CODE)).await;
    assert_eq!(location(&reply), "/");
}

#[tokio::test]
async fn an_expired_session_leads_back_to_where_one_was() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::new(&server);
    browser
        .cookies
        .insert("coder_session".to_owned(), "cdr_nonsense".to_owned());
    let reply = browser.get("/settings/tokens?page=2&expired=1").await;
    let login = location(&reply).to_owned();
    assert!(!browser.cookies.contains_key("coder_session"), "it is forgotten");
    let page = browser.get(&login).await;
    assert!(page.text.contains("your session has expired"));
    let reply = browser.sign_in(&page, OWNER).await;
    assert_eq!(location(&reply), "/settings/tokens?page=2&expired=1");
    assert_eq!(
        location(&browser.get(&login).await),
        "/settings/tokens?page=2&expired=1"
    );
}

#[tokio::test]
async fn signing_in_leads_nowhere_else() {
    let (server, _owner) = Server::with_owner().await;
    for elsewhere in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%09/evil.example",
        "/.//evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "%2f%2fevil.example",
    ] {
        let mut browser = Browser::new(&server);
        let page = browser.get(&format!("/login?next={elsewhere}")).await;
        let next = value(&page, "next").unwrap();
        assert!(
            next.starts_with('/') && !next.starts_with("//"),
            "{elsewhere}: {next}"
        );
        let fields = [("email", OWNER), ("password", PASSWORD), ("next", elsewhere)];
        let reply = browser.submit(&page, "/login", &fields).await;
        let target = location(&reply);
        let base = url::Url::parse("https://gateway.example.com/login").unwrap();
        assert_eq!(
            base.join(target).unwrap().host_str(),
            Some("gateway.example.com"),
            "{elsewhere}: {target}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_says_no_more_and_is_bounded() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &[]).await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/login").await;
    let mut answers = Vec::new();
    for email in ["alice@example.com", "nobody@example.com"] {
        let fields = [("email", email), ("password", "wrong wrong")];
        let reply = browser.submit(&page, "/login", &fields).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("Incorrect e-mail address or password."));
        assert!(reply.text.contains(email) && !reply.text.contains("wrong wrong"));
        answers.push(reply.text.replace(email, "").len());
    }
    assert_eq!(answers[0], answers[1]);
    for _ in 0..10 {
        let fields = [("email", "alice@example.com"), ("password", "wrong wrong")];
        browser.submit(&page, "/login", &fields).await;
    }
    let reply = browser.sign_in(&page, "alice@example.com").await;
    assert_eq!(reply.status, 429);
    assert!(reply.text.contains("try again in 15 minutes"));
    assert_eq!(reply.headers["retry-after"], "900");
}

#[tokio::test]
async fn the_session_before_ends_and_a_planted_one_is_of_no_use() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "mallory", &[]).await;
    // Mallory's own session in the browser of the owner: the owner's is another.
    let planted = server.login("mallory@example.com").await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/login").await;
    browser
        .cookies
        .insert("coder_session".to_owned(), planted.clone());
    let reply = browser.sign_in(&page, OWNER).await;
    assert_eq!(location(&reply), "/");
    assert_ne!(browser.session(), planted);
    assert_eq!(
        server.get("/users/me", &planted).await.status,
        401,
        "it has ended"
    );
    let first = browser.session().to_owned();
    // Signing in once more, as with the form still open in another window.
    browser.sign_in(&page, OWNER).await;
    assert_ne!(browser.session(), first);
    assert_eq!(server.get("/users/me", &first).await.status, 401);
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let session = browser.session().to_owned();
    assert_eq!(
        location(&browser.get("/logout").await),
        "/",
        "a link does nothing"
    );
    let page = browser.get("/settings/tokens").await;
    let reply = browser.submit(&page, "/logout", &[]).await;
    assert_eq!(location(&reply), "/login?signed_out=1");
    assert!(!browser.cookies.contains_key("coder_session"));
    assert_eq!(server.get("/users/me", &session).await.status, 401);
}

#[tokio::test]
async fn cookies_are_guarded_as_the_connection_allows() {
    let (server, _owner) = Server::with_owner().await;
    for (host, guard) in [("127.0.0.1:3000", false), ("gateway.example.com", true)] {
        let mut browser = Browser::new(&server);
        browser.headers.insert("host", host.parse().unwrap());
        let scheme = if guard { "https" } else { "http" };
        browser
            .headers
            .insert("origin", format!("{scheme}://{host}").parse().unwrap());
        let page = browser.get("/login").await;
        let reply = browser.sign_in(&page, OWNER).await;
        assert_eq!(location(&reply), "/");
        for cookie in [&page, &reply].map(|reply| reply.headers[SET_COOKIE].to_str().unwrap()) {
            assert!(cookie.contains("; Path=/; HttpOnly; SameSite="), "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
            assert_eq!(cookie.starts_with("__Host-"), guard, "{cookie}");
            assert_eq!(cookie.ends_with("; Secure"), guard, "{cookie}");
        }
        assert_eq!(browser.get("/settings/tokens").await.status, 200);
        if guard {
            // What anybody on the way could have put there is not looked at.
            let session = browser.cookies.remove("__Host-coder_session").unwrap();
            browser.cookies.insert("coder_session".to_owned(), session);
            assert_eq!(browser.get("/settings/tokens").await.status, 303);
        }
    }
}

#[tokio::test]
async fn cookies_are_guarded_on_a_listener_with_tls() {
    let server = Server::over_tls().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/setup").await;
    let reply = browser.submit(&page, "/setup", &first_user("")).await;
    assert_eq!(location(&reply), "/");
    for reply in [&page, &reply] {
        let cookies: Vec<&str> = reply
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|cookie| cookie.to_str().unwrap())
            .collect();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        let is_guarded = cookies[0].starts_with("__Host-") && cookies[0].ends_with("; Secure");
        assert!(is_guarded, "{cookies:?}");
    }
    assert_eq!(browser.get("/settings/tokens").await.status, 200);
}

/// A proxy in front speaks TLS, puts a `Host` of its own, and is not trusted: only forms show where the browser is.
#[tokio::test]
async fn the_first_form_behind_a_proxy_is_taken() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::new(&server);
    browser
        .cookies
        .insert("coder_visitor".to_owned(), "known".to_owned());
    let page = browser.get("/login").await;
    assert_eq!(browser.cookies["coder_visitor"], "known");
    assert_eq!(browser.cookies["__Host-coder_visitor"], "known");
    browser
        .headers
        .insert("origin", "https://gateway.example.com".parse().unwrap());
    let reply = browser.sign_in(&page, OWNER).await;
    assert_eq!(location(&reply), "/");
    assert!(browser.cookies.contains_key("__Host-coder_session"));
    browser.headers.clear();
    let page = browser.get("/settings/tokens").await;
    assert_eq!(page.status, 200);
    // Signing out takes it away, whatever shows.
    let reply = browser.submit(&page, "/logout", &[]).await;
    assert_eq!(location(&reply), "/login?signed_out=1");
    assert!(!browser.cookies.contains_key("__Host-coder_session"));
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_about_tls() {
    for (network, guard) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let server = Server::start(tempfile::tempdir().unwrap(), |parts| {
            parts.trusted_proxies = TrustedProxies {
                headers: vec!["x-forwarded-for".parse().unwrap()],
                origins: vec![network.parse().unwrap()],
            };
        })
        .await;
        for (said, is_https) in [
            ("https", true),
            ("http, https", true),
            ("https, http", false),
            ("", false),
        ] {
            let mut browser = Browser::new(&server);
            browser.headers.insert("x-forwarded-proto", said.parse().unwrap());
            let page = browser.get("/setup").await;
            let cookie = page.headers[SET_COOKIE].to_str().unwrap();
            assert_eq!(
                cookie.starts_with("__Host-"),
                guard && is_https,
                "{network} {said}: {cookie}"
            );
        }
    }
}

#[tokio::test]
async fn only_a_session_opens_the_dashboard_and_the_cookie_only_opens_the_dashboard() {
    let (server, owner) = Server::with_owner().await;
    for body in [serde_json::json!({}), serde_json::json!({"scopes": ["aibridge"]})] {
        let token = server.token(&owner, body).await;
        let mut browser = Browser::new(&server);
        browser.cookies.insert("coder_session".to_owned(), token);
        assert_eq!(browser.get("/settings/tokens").await.status, 303);
    }
    let mut browser = Browser::signed_in(&server, OWNER).await;
    assert_eq!(browser.get("/api/v2/users/me").await.status, 401);
}
