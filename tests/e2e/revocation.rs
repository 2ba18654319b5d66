//! Access ends at once, for exactly those whose right was taken away.

use std::collections::HashSet;
use std::time::Instant;

use futures_util::future::join_all;

use crate::client::{Client, End};
use crate::support::{Engine, Gateway, MESSAGES, Token, message, patiently};

const USERS: usize = 5;
const TOKENS: usize = 10;
const STREAMS: usize = 200;

struct Stream {
    client: Client,
    /// Which token it runs with.
    token: usize,
    reads: bool,
}

async fn open(gateway: &Gateway, tokens: &[Token]) -> Vec<Stream> {
    join_all((0..STREAMS).map(|index| async move {
        let token = index % TOKENS;
        let reads = index % 3 != 0;
        // Those who do not read are sent more than any buffer holds; the others wait at the gate after three events.
        let (mut client, directives) = if reads {
            (gateway.connect().await, "chunks=20 gate=all gate_after=3")
        } else {
            (
                Client::connect_narrow(gateway.address()).await,
                "size=6000000 chunks=60",
            )
        };
        client
            .post(
                MESSAGES,
                &[("x-api-key", &tokens[token].text)],
                &message(directives),
            )
            .await;
        if reads {
            client.read_some().await;
        }
        Stream { client, token, reads }
    }))
    .await
}

/// Tokens 0 and 5 are user0's, 1 and 6 user1's, and so on.
async fn world(engine: Engine) -> (Gateway, Token, Vec<Token>) {
    let (gateway, owner) = Gateway::with_owner(engine, &[]).await;
    for user in 0..USERS {
        gateway.create_user(&owner, &format!("user{user}")).await;
    }
    let mut tokens = Vec::new();
    for index in 0..TOKENS {
        let user = format!("user{}", index % USERS);
        tokens.push(
            gateway
                .create_token(&owner, &user, &format!("token{index}"))
                .await,
        );
    }
    (gateway, owner, tokens)
}

async fn two_hundred_streams(engine: Engine) {
    let (gateway, owner, tokens) = world(engine).await;
    let streams = open(&gateway, &tokens).await;
    patiently(
        "all requests at the provider",
        gateway.site.sim.wait_for_requests(STREAMS),
    )
    .await;

    // One token removed, one user deleted, one user suspended.
    let started = Instant::now();
    assert_eq!(gateway.remove_token(&owner, &tokens[0]).await, 204);
    assert_eq!(
        gateway
            .call("DELETE", "/api/v2/users/user1", Some(&owner), None)
            .await
            .0,
        200
    );
    assert_eq!(
        gateway
            .call("PUT", "/api/v2/users/user2/status/suspend", Some(&owner), None)
            .await
            .0,
        200
    );
    assert!(started.elapsed().as_secs() < 10, "took {:?}", started.elapsed());
    let is_dead = |token: usize| token == 0 || matches!(token % USERS, 1 | 2);
    for (index, token) in tokens.iter().enumerate() {
        let expected = if is_dead(index) { 401 } else { 200 };
        assert_eq!(gateway.status_of(token).await, expected, "token {index}");
    }

    // What was sent before the calls returned may still be read; nothing of what the gate holds back may come.
    gateway.site.sim.open_gate("all");
    let ended = join_all(streams.into_iter().map(|mut stream| async move {
        let answer = stream.client.answer().await;
        (stream.token, stream.reads, answer)
    }))
    .await;
    let sent: HashSet<_> = gateway
        .site
        .sim
        .answers()
        .into_iter()
        .filter(|sent| sent.complete)
        .map(|sent| sent.body)
        .collect();
    for (token, reads, answer) in ended {
        if is_dead(token) {
            assert_eq!(answer.end, End::Cut, "token {token}");
            assert!(
                !answer.text().contains("message_stop"),
                "token {token} got an answer that looks complete"
            );
        } else {
            assert_eq!(
                (answer.status, answer.end),
                (200, End::Complete),
                "token {token}, reads: {reads}"
            );
            assert!(
                sent.contains(answer.body.as_slice()),
                "token {token}, reads: {reads}: not what the provider sent"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_on_sqlite() {
    two_hundred_streams(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_on_postgres() {
    two_hundred_streams(Engine::Postgres).await;
}

/// Every act that takes a right away cuts what is in flight before it returns.
#[tokio::test]
async fn each_way_to_lose_access_cuts() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let acts: [(&str, &str, &str, Option<serde_json::Value>); 5] = [
        ("remove", "DELETE", "/api/v2/users/{user}/keys/{id}", None),
        ("expire", "PUT", "/api/v2/users/{user}/keys/{id}/expire", None),
        ("suspend", "PUT", "/api/v2/users/{user}/status/suspend", None),
        (
            "password",
            "PUT",
            "/api/v2/users/{user}/password",
            Some(serde_json::json!({"password": "another horse battery staple"})),
        ),
        ("delete", "DELETE", "/api/v2/users/{user}", None),
    ];
    for (name, method, path, body) in acts {
        let user = format!("lose-{name}");
        gateway.create_user(&owner, &user).await;
        let token = gateway.create_token(&owner, &user, "t").await;
        let gate = format!("chunks=20 gate={name} gate_after=3");
        let mut client = gateway.connect().await;
        client
            .post(MESSAGES, &[("x-api-key", &token.text)], &message(&gate))
            .await;
        client.read_some().await;
        let path = path.replace("{user}", &user).replace("{id}", token.id());
        let (status, reply) = gateway.call(method, &path, Some(&owner), body).await;
        assert!((200..300).contains(&status), "{name}: {status} {reply}");
        assert_eq!(gateway.status_of(&token).await, 401, "{name}");
        gateway.site.sim.open_gate(name);
        let answer = client.answer().await;
        // An expired token's stream may finish; everything else is cut.
        if name != "expire" {
            assert_eq!(answer.end, End::Cut, "{name}");
            assert!(
                answer.text().contains("event: error"),
                "{name}: {}",
                answer.text()
            );
        }
    }
}

/// Removing the same token twice at the same moment: both callers see it dead when they are told so.
#[tokio::test]
async fn two_removals_at_once_both_mean_it() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    for round in 0..20 {
        let token = gateway.create_token(&owner, "me", &format!("t{round}")).await;
        let mut client = gateway.connect().await;
        let directives = format!("chunks=20 gate=g{round} gate_after=3");
        client
            .post(MESSAGES, &[("x-api-key", &token.text)], &message(&directives))
            .await;
        client.read_some().await;
        let removal = || async {
            let status = gateway.remove_token(&owner, &token).await;
            (status, gateway.status_of(&token).await)
        };
        let (first, second) = tokio::join!(removal(), removal());
        for (status, after) in [first, second] {
            assert!(matches!(status, 204 | 404), "{status}");
            assert_eq!(after, 401);
        }
        assert_eq!(client.answer().await.end, End::Cut);
    }
}
