//! What Claude Code asks its provider's host beside models: refused and counted, or passed on for its user only.

use std::sync::atomic::Ordering;

use gateway_relay::{SideCall, SideCalls};

use crate::support::{Host, World, WorldOptions};

const CALLS: [(&str, &str); 4] = [
    ("GET", "/api/claude_code/settings?x=1"),
    ("POST", "/api/claude_code/metrics"),
    ("POST", "/api/event_logging/v2/batch"),
    ("POST", "/api/eval/sdk-abc"),
];

const BASE: &str = "/api/v2/aibridge/anthropic";

async fn world(side_calls: SideCalls) -> World {
    World::with(WorldOptions {
        side_calls,
        ..WorldOptions::default()
    })
    .await
}

fn counted(world: &World) -> [u64; 3] {
    SideCall::ALL.map(|call| {
        let counts = &world.relay.counters().refused_side_calls;
        counts.of(call).load(Ordering::Relaxed)
    })
}

/// The same call both ways in.
async fn both_ways(
    world: &World,
    host: &Host,
    method: &str,
    path: &str,
    governance: (&str, &str),
    headers: &[(&str, &str)],
) -> [(u16, String, Option<String>); 2] {
    let direct: Vec<_> = headers.iter().copied().chain([governance]).collect();
    let direct = world.send(method, &format!("{BASE}{path}"), &direct, b"{}").await;
    let through = host.send(method, path, headers, b"{}").await;
    let mut seen = Vec::new();
    for mut client in [direct, through] {
        let answer = client.answer().await;
        let retry = answer.header("x-should-retry").map(str::to_owned);
        seen.push((answer.status, answer.text(), retry));
    }
    seen.try_into().unwrap()
}

#[tokio::test]
async fn by_default_they_are_404_and_counted() {
    let mut world = world(SideCalls::default()).await;
    let (_, token) = world.token();
    let host = world.host("anthropic", &token).await;
    let governance = ("x-coder-ai-governance-token", token.expose());
    for (method, path) in CALLS {
        let own = [("authorization", "Bearer own")];
        for (status, text, retry) in both_ways(&world, &host, method, path, governance, &own).await {
            assert_eq!((status, retry.as_deref()), (404, Some("false")), "{path}");
            assert!(text.contains("not_found_error"), "{text}");
        }
    }
    assert_eq!(counted(&world), [4, 2, 2]);
    // No side calls: not on any list, and not counted.
    for (method, path) in [
        ("DELETE", "/api/eval/x"),
        ("GET", "/api/hello"),
        ("GET", "/api/eval/%2e%2e"),
    ] {
        for (status, ..) in both_ways(&world, &host, method, path, governance, &[]).await {
            assert_eq!(status, 404, "{path}");
        }
    }
    assert_eq!(counted(&world), [4, 2, 2]);
    world.assert_nothing_sent();
}

#[tokio::test]
async fn relayed_ones_go_with_the_users_own_credential_as_they_are() {
    let mut world = world(SideCalls::Relay).await;
    let (_, token) = world.token();
    let host = world.host("anthropic", &token).await;
    let headers = [("x-api-key", "sk-ant-own"), ("accept-encoding", "gzip, br")];
    let direct = [
        headers[0],
        headers[1],
        ("x-coder-ai-governance-token", token.expose()),
    ];
    for (method, path) in CALLS {
        let clients = [
            world.send(method, &format!("{BASE}{path}"), &direct, b"{}").await,
            host.send(method, path, &headers, b"{}").await,
        ];
        for mut client in clients {
            let exchange = world.exchange().await;
            assert_eq!(exchange.head.uri.path_and_query().unwrap(), path);
            assert_eq!(exchange.head.headers["x-api-key"], "sk-ant-own");
            assert_eq!(exchange.head.headers["accept-encoding"], "gzip, br");
            assert!(!exchange.head.headers.contains_key("authorization"));
            exchange.answer(http::Response::new(())).finish().await;
            assert_eq!(client.answer().await.status, 200, "{path}");
        }
    }
    assert_eq!(counted(&world), [0; 3]);
    assert!(world.records.all().is_empty());
}

#[tokio::test]
async fn the_organisations_key_is_never_used_for_them() {
    let mut world = world(SideCalls::Relay).await;
    let (_, token) = world.token();
    let host = world.host("anthropic", &token).await;
    let governance = ("x-coder-ai-governance-token", token.expose());
    let placeholder = [("x-api-key", "coder-aibridge")];
    for (method, path) in CALLS {
        for headers in [&[][..], &placeholder] {
            for (status, _, retry) in both_ways(&world, &host, method, path, governance, headers).await {
                assert_eq!((status, retry.as_deref()), (404, Some("false")), "{path}");
            }
        }
    }
    assert_eq!(counted(&world), [8, 4, 4]);
    // Who asks is still asked first.
    let nobody = world
        .send("GET", &format!("{BASE}/api/eval/x"), &[], b"")
        .await
        .answer()
        .await;
    assert_eq!(nobody.status, 401);
    world.assert_nothing_sent();
}

#[tokio::test]
async fn own_credentials_that_are_switched_off_are_off_here_too() {
    let options = WorldOptions {
        side_calls: SideCalls::Relay,
        allow_byok: false,
        ..WorldOptions::default()
    };
    let mut world = World::with(options).await;
    let (_, token) = world.token();
    let host = world.host("anthropic", &token).await;
    let own = [("x-api-key", "sk-ant-own")];
    let answer = host.send("GET", CALLS[0].1, &own, b"").await.answer().await;
    assert_eq!(answer.status, 403);
    world.assert_nothing_sent();
}
