//! Who may use the proxy, and whose credential the provider gets.

use super::curl::Http;
use super::{World, certificate, proxy_authorization};
use crate::support::{ANTHROPIC_KEY, OPENAI_KEY, Token, message};

const PLACEHOLDER: &str = "coder-aibridge";

/// What a client sends of its own, and the one credential that the provider is to see.
type Case<'a> = (&'a [(&'a str, &'a str)], (&'a str, &'a str));

#[tokio::test]
async fn the_provider_sees_exactly_one_credential() {
    let world = World::new(&[]).await;
    let token = world.token.text.as_str();
    let (bearer, placeholder) = (format!("Bearer {token}"), format!("Bearer {PLACEHOLDER}"));
    let (bearer, placeholder) = (bearer.as_str(), placeholder.as_str());
    let central = ("x-api-key", ANTHROPIC_KEY);
    let cases: [Case<'_>; 9] = [
        (&[], central),
        (&[("x-api-key", PLACEHOLDER)], central),
        (&[("authorization", placeholder)], central),
        (&[("x-api-key", token)], central),
        (&[("authorization", bearer)], central),
        (&[("authorization", bearer), ("x-api-key", PLACEHOLDER)], central),
        (
            &[("authorization", "Bearer own-key")],
            ("authorization", "Bearer own-key"),
        ),
        (&[("x-api-key", "own-key")], ("x-api-key", "own-key")),
        (
            &[("authorization", bearer), ("x-api-key", "own-key")],
            ("x-api-key", "own-key"),
        ),
    ];
    for http in [Http::One, Http::Two] {
        for (headers, expected) in &cases {
            world.anthropic().clear();
            let mut curl = world.curl(&world.token, http);
            for (name, value) in *headers {
                curl = curl.header(name, value);
            }
            let fetched = curl.message(&world, &message("")).fetch().await;
            assert!(fetched.is_whole(), "{headers:?}: {fetched:?}");
            assert_eq!(received(&world), [owned(expected)], "{http:?} {headers:?}");
            let record = &world.recorded().await[0];
            let kind = if *expected == central {
                "centralized"
            } else {
                "byok"
            };
            assert_eq!(record["credential_kind"], kind, "{headers:?}");
        }
    }
}

fn owned((name, value): &(&str, &str)) -> (String, String) {
    ((*name).to_owned(), (*value).to_owned())
}

/// The credentials in the request that the provider got.
fn received(world: &World) -> Vec<(String, String)> {
    let exchange = world.anthropic().requests().remove(0);
    world.assert_clean(&exchange);
    let names = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
    exchange
        .headers
        .into_iter()
        .filter(|(name, _)| names.contains(&name.as_str()))
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect()
}

/// Some clients repeat inside of the connection what is meant for the proxy.
#[tokio::test]
async fn what_is_meant_for_the_proxy_stays_with_it() {
    let world = World::new(&[]).await;
    let sent = proxy_authorization(&world.token);
    let (name, value) = sent.trim_end().split_once(": ").unwrap();
    let curl = world
        .curl(&world.token, Http::One)
        .header(name, value)
        .header("proxy-connection", "keep-alive");
    let fetched = curl.message(&world, &message("")).fetch().await;
    assert!(fetched.is_whole(), "{fetched:?}");
    // To the proxy and to the provider.
    assert_eq!(
        fetched.told.matches(&format!("> {name}: ")).count(),
        2,
        "{fetched:?}"
    );
    assert_eq!(received(&world), [owned(&("x-api-key", ANTHROPIC_KEY))]);
}

#[tokio::test]
async fn a_live_token_of_somebody_else_inside_is_refused() {
    let world = World::new(&[]).await;
    let other = world.gateway.create_token(&world.owner, "me", "t").await;
    let curl = world
        .curl(&world.token, Http::One)
        .header("x-api-key", &other.text);
    let fetched = curl.message(&world, &message("")).fetch().await;
    assert_eq!(fetched.last().status, 401, "{fetched:?}");
    assert!(world.anthropic().requests().is_empty());
}

#[tokio::test]
async fn where_own_credentials_are_forbidden_they_go_nowhere() {
    let world = World::new(&[("CODER_AIBRIDGE_ALLOW_BYOK", "false")]).await;
    for (name, value, status) in [
        ("x-api-key", "own-key", 403),
        ("authorization", "Bearer own-key", 403),
        ("x-api-key", PLACEHOLDER, 200),
    ] {
        let curl = world.curl(&world.token, Http::One).header(name, value);
        let fetched = curl.message(&world, &message("")).fetch().await;
        assert_eq!(fetched.last().status, status, "{name}: {value}: {fetched:?}");
    }
    assert_eq!(world.anthropic().requests().len(), 1);
}

/// Nothing but a live gateway token opens a connection, wherever it is to lead.
#[tokio::test]
async fn without_a_live_token_there_is_no_way_through() {
    let world = World::new(&[]).await;
    let removed = world.gateway.create_token(&world.owner, "me", "t").await;
    assert_eq!(world.gateway.remove_token(&world.owner, &removed).await, 204);
    let mut made_up = world.token.text.clone();
    made_up.replace_range(4..14, "0000000000");
    let passwords = [
        None,
        Some(String::new()),
        Some(removed.text),
        Some(made_up),
        Some(ANTHROPIC_KEY.to_owned()),
        Some(OPENAI_KEY.to_owned()),
        Some(PLACEHOLDER.to_owned()),
    ];
    for password in passwords {
        let credential = password.map(|password| format!("coder:{password}"));
        let curl = world.curl_with(credential.as_deref(), Http::One, &world.ca);
        let fetched = curl.message(&world, &message("")).fetch().await;
        assert_eq!(
            (fetched.last().connect, fetched.last().status),
            (407, 0),
            "{credential:?}: {fetched:?}"
        );
        let challenge = "< Proxy-Authenticate: Basic realm=";
        assert!(fetched.told.contains(challenge), "{fetched:?}");
        assert_ne!(fetched.exit, 0);
    }
    let token = Token {
        text: "cdr_nonsense".to_owned(),
    };
    assert_eq!(
        world
            .connect("elsewhere.example:443", Some(&token))
            .await
            .status(),
        407
    );
    assert_eq!(world.connect("elsewhere.example:443", None).await.status(), 407);
    assert!(world.anthropic().requests().is_empty());
}

/// A client that does not trust the proxy's authority sends nothing.
#[tokio::test]
async fn the_proxys_authority_must_be_trusted() {
    let world = World::new(&[]).await;
    let stranger = world.gateway.site.path("stranger.pem");
    std::fs::write(&stranger, certificate().0).unwrap();
    let credential = format!("coder:{}", world.token.text);
    let curl = world.curl_with(Some(&credential), Http::One, &stranger);
    let fetched = curl.message(&world, &message("")).fetch().await;
    // 60: the certificate is not trusted.
    assert_eq!((fetched.exit, fetched.last().connect), (60, 200), "{fetched:?}");
    assert!(world.anthropic().requests().is_empty());
}
