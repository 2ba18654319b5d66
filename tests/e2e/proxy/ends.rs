//! Revocation and shutdown reach what goes through the proxy.

use std::time::Duration;

use tokio::net::TcpStream;

use super::World;
use super::curl::{Http, Running};
use crate::support::{Site, message, patiently};

/// A stream of which some has come, while the provider holds the rest back.
async fn held(world: &World, http: Http) -> Running {
    let body = message("chunks=20 gate=all gate_after=3");
    let mut stream = world.curl(&world.token, http).message(world, &body).start();
    stream.read_until("event: message_start").await;
    stream
}

#[tokio::test]
async fn a_stream_is_cut_before_the_removal_of_its_token_returns() {
    for http in [Http::One, Http::Two] {
        let world = World::new(&[]).await;
        let other = world.gateway.create_token(&world.owner, "me", "t").await;
        let stream = held(&world, http).await;
        assert_eq!(world.gateway.remove_token(&world.owner, &world.token).await, 204);
        let target = world.anthropic().address().to_string();
        assert_eq!(world.connect(&target, Some(&world.token)).await.status(), 407);
        assert_eq!(world.connect(&target, Some(&other)).await.status(), 200);

        // Nothing of what the gate holds back may come.
        world.anthropic().open_gate("all");
        let fetched = stream.end().await;
        assert_ne!(
            fetched.exit, 0,
            "{http:?}: an answer that looks whole: {fetched:?}"
        );
        assert!(!fetched.text().contains("message_stop"), "{http:?}: {fetched:?}");
        let record = &world.recorded().await[0];
        assert_eq!(record["outcome"], "revoked", "{record}");

        let again = world.curl(&world.token, http).message(&world, &message(""));
        let fetched = again.fetch().await;
        assert_eq!(fetched.last().connect, 407, "{http:?}: {fetched:?}");
    }
}

/// Every act that takes a right away reaches the proxy's connections.
#[tokio::test]
async fn each_way_to_lose_access_cuts() {
    let world = World::new(&[]).await;
    let target = world.anthropic().address().to_string();
    for (name, method, path) in [
        ("suspend", "PUT", "/api/v2/users/{user}/status/suspend"),
        ("delete", "DELETE", "/api/v2/users/{user}"),
    ] {
        let user = format!("lose-{name}");
        world.gateway.create_user(&world.owner, &user).await;
        let token = world.gateway.create_token(&world.owner, &user, "t").await;
        let body = message(&format!("chunks=20 gate={name} gate_after=3"));
        let mut stream = world.curl(&token, Http::Two).message(&world, &body).start();
        stream.read_until("event: message_start").await;
        let path = path.replace("{user}", &user);
        let (status, reply) = world.gateway.call(method, &path, Some(&world.owner), None).await;
        assert_eq!(status, 200, "{name}: {reply}");
        assert_eq!(world.connect(&target, Some(&token)).await.status(), 407, "{name}");
        world.anthropic().open_gate(name);
        let fetched = stream.end().await;
        assert_ne!(fetched.exit, 0, "{name}: {fetched:?}");
        assert!(!fetched.text().contains("message_stop"), "{name}: {fetched:?}");
    }
}

#[tokio::test]
async fn a_shutdown_lets_streams_finish_and_nobody_else_in() {
    let world = World::new(&[]).await;
    let (one, two) = (held(&world, Http::One).await, held(&world, Http::Two).await);
    world.gateway.signal("TERM");
    patiently("that the proxy refuses newcomers", async {
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    world.anthropic().open_gate("all");
    let sent: Vec<_> = {
        let (one, two) = tokio::join!(one.end(), two.end());
        for fetched in [&one, &two] {
            assert!(fetched.is_whole(), "{fetched:?}");
            assert!(fetched.text().contains("event: message_stop"), "{fetched:?}");
        }
        vec![one.body, two.body]
    };
    for answer in world.anthropic().answers() {
        assert!(
            sent.iter().any(|body| *body == answer.body),
            "not what the provider sent"
        );
    }
    let (site, is_success): (Site, bool) = world.gateway.ended().await;
    assert!(is_success, "{}", site.log());
}
