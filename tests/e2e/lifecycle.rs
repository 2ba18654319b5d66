//! Starting and stopping.

use crate::client::End;
use crate::support::{Engine, Gateway, MESSAGES, Site, coder, message, run};

#[tokio::test]
async fn a_signal_lets_streams_finish() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let mut client = gateway.connect().await;
    client
        .post(
            MESSAGES,
            &[("x-api-key", &owner.text)],
            &message("chunks=20 gate=g gate_after=3"),
        )
        .await;
    client.read_some().await;
    gateway.signal("TERM");
    // New connections are no longer taken once the listener is closed; the stream goes on.
    crate::support::patiently("the end of the listener", async {
        while tokio::net::TcpStream::connect(gateway.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gateway.site.sim.open_gate("g");
    assert_eq!(client.answer().await.end, End::Complete);
    let (_site, ended_well) = gateway.ended().await;
    assert!(ended_well);
}

#[tokio::test]
async fn what_is_left_at_the_deadline_is_cut() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[("CODER_SHUTDOWN_TIMEOUT", "300ms")]).await;
    let mut client = gateway.connect().await;
    client
        .post(
            MESSAGES,
            &[("x-api-key", &owner.text)],
            &message("chunks=20 stall_after=3"),
        )
        .await;
    client.read_some().await;
    gateway.signal("TERM");
    assert_eq!(client.answer().await.end, End::Cut);
    gateway.ended().await;
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_named_at_once() {
    let site = Site::new(Engine::Sqlite).await;
    let mut command = coder(&site.path("server"));
    command
        .args(["server", "--aibridge-token-in-body", "allow"])
        .env("CODER_HTTP_ADDRESS", "nonsense")
        .env("CODER_AIBRIDGE_ALOW_BYOK", "false")
        .env("CODER_AIBRIDGE_OPENAI_BASE_URL", "ftp://example.com")
        .env("CODER_MAX_TOKEN_LIFETIME", "30");
    let output = run(&mut command).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for name in [
        "CODER_HTTP_ADDRESS",
        "CODER_AIBRIDGE_ALOW_BYOK",
        "CODER_AIBRIDGE_OPENAI_BASE_URL",
        "CODER_MAX_TOKEN_LIFETIME",
    ] {
        assert!(stderr.contains(name), "{name} is not named in: {stderr}");
    }
}

#[tokio::test]
async fn probes_need_no_token_and_say_little() {
    let (gateway, _owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    for path in [
        "/healthz",
        "/api/v2/buildinfo",
        "/api/v2/openapi.json",
        "/api/v2/aibridge/anthropic",
    ] {
        assert_eq!(gateway.call("GET", path, None, None).await.0, 200, "{path}");
    }
    assert_eq!(gateway.call("HEAD", "/healthz", None, None).await.0, 200);
    assert_eq!(gateway.call("GET", "/api/v2/users", None, None).await.0, 401);
    assert_eq!(gateway.call("GET", "/api/v2/nothing", None, None).await.0, 404);
}
