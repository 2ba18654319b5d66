//! The main job, with the command line a person types: log in, make a token, call a model, lose access.

use serde_json::Value;

use crate::client::{Client, End};
use crate::support::{Engine, MESSAGES, PASSWORD, Site, Token, coder, message, run, stdout_of};

#[tokio::test]
async fn a_person_logs_in_makes_a_token_calls_a_model_and_loses_access() {
    let gateway = Site::new(Engine::Sqlite).await.start(&[]).await;
    let home = gateway.site.path("home");
    let url = gateway.url();
    let mut login = coder(&home);
    login.args([
        "login",
        &url,
        "--first-user-username",
        "admin",
        "--first-user-email",
        "admin@example.com",
    ]);
    stdout_of(login.env("CODER_FIRST_USER_PASSWORD", PASSWORD)).await;

    let token =
        stdout_of(coder(&home).args(["tokens", "create", "--lifetime", "30d", "-n", "my-ai-token"])).await;
    let token = token.strip_suffix('\n').unwrap().to_owned();
    assert!(!token.contains(char::is_whitespace), "{token:?}");

    let mut client = gateway.connect().await;
    client
        .post(MESSAGES, &[("x-api-key", &token)], &message("chunks=5"))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.end), (200, End::Complete));
    assert!(answer.text().contains("event: message_stop"), "{}", answer.text());

    // The stored session token works just as well, and is printed alone.
    let session = stdout_of(coder(&home).args(["login", "token"])).await;
    let session = Token {
        text: session.strip_suffix('\n').unwrap().to_owned(),
    };
    assert_eq!(gateway.status_of(&session).await, 200);

    let listed = stdout_of(coder(&home).args(["tokens", "list", "-o", "json"])).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["token_name"], "my-ai-token");
    assert_eq!(listed[0]["lifetime_seconds"], 30 * 86_400);
    assert!(!listed.to_string().contains(&token));

    stdout_of(coder(&home).args(["tokens", "rm", "my-ai-token"])).await;
    let token = Token { text: token };
    assert_eq!(gateway.status_of(&token).await, 401);
    // The name can be used again at once.
    stdout_of(coder(&home).args(["tokens", "create", "-n", "my-ai-token"])).await;

    stdout_of(coder(&home).args(["logout", "-y"])).await;
    assert_eq!(gateway.status_of(&session).await, 401);
    let output = run(coder(&home).args(["tokens", "list"])).await;
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_service_account_gets_a_token_from_the_owner_only() {
    let (gateway, owner) = crate::support::Gateway::with_owner(Engine::Sqlite, &[]).await;
    let home = gateway.site.path("home");
    let cli = |args: &[&str]| {
        let mut command = coder(&home);
        command
            .args(args)
            .env("CODER_URL", gateway.url())
            .env("CODER_SESSION_TOKEN", &owner.text);
        command
    };
    stdout_of(&mut cli(&[
        "users",
        "create",
        "--username",
        "ci",
        "--service-account",
    ]))
    .await;
    let token = stdout_of(&mut cli(&[
        "tokens", "create", "--user", "ci", "-n", "build", "--scope", "aibridge",
    ]))
    .await;
    let token = Token {
        text: token.trim().to_owned(),
    };
    assert_eq!(gateway.status_of(&token).await, 200);
    // It can call models and nothing else.
    assert_eq!(
        gateway
            .call("GET", "/api/v2/users/me", Some(&token), None)
            .await
            .0,
        403
    );
    stdout_of(&mut cli(&["users", "suspend", "ci", "-y"])).await;
    assert_eq!(gateway.status_of(&token).await, 401);
    stdout_of(&mut cli(&["users", "activate", "ci", "-y"])).await;
    assert_eq!(gateway.status_of(&token).await, 200);
    stdout_of(&mut cli(&["users", "delete", "ci"])).await;
    assert_eq!(gateway.status_of(&token).await, 401);
}

/// Rotation as documented: a second token, the client switches, the first is removed; no request fails meanwhile.
#[tokio::test]
async fn rotating_a_token_fails_no_request() {
    let (gateway, owner) = crate::support::Gateway::with_owner(Engine::Sqlite, &[]).await;
    let first = gateway.create_token(&owner, "me", "first").await;
    let (switch, current) = tokio::sync::watch::channel(first.clone());
    let (address, old) = (gateway.address(), first.clone());
    let switched = tokio::sync::Semaphore::new(0);
    let client = || async {
        let mut client = Client::connect(address).await;
        let mut with_the_new = 0;
        while with_the_new < 20 {
            let token = current.borrow().clone();
            client
                .post(MESSAGES, &[("x-api-key", &token.text)], &message("chunks=3"))
                .await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.end), (200, End::Complete));
            if token.text != old.text {
                with_the_new += 1;
                if with_the_new == 1 {
                    switched.add_permits(1);
                }
            }
        }
    };
    let rotate = async {
        let second = gateway.create_token(&owner, "me", "second").await;
        switch.send(second).unwrap();
        // Once all four have used the new one, the old one is out of use.
        let _all = switched.acquire_many(4).await.unwrap();
        assert_eq!(gateway.remove_token(&owner, &first).await, 204);
    };
    tokio::join!(client(), client(), client(), client(), rotate);
    assert_eq!(gateway.status_of(&first).await, 401);
}
