//! What survives a restart, and that a killed server leaves no half state.

use serde_json::json;

use crate::support::{Engine, Gateway, Token};

async fn a_restart_keeps_everything(engine: Engine) {
    let (gateway, owner) = Gateway::with_owner(engine, &[]).await;
    gateway.create_user(&owner, "alice").await;
    gateway.create_user(&owner, "bob").await;
    let kept = gateway.create_token(&owner, "alice", "kept").await;
    let removed = gateway.create_token(&owner, "alice", "removed").await;
    let suspended = gateway.create_token(&owner, "bob", "suspended").await;
    assert_eq!(gateway.remove_token(&owner, &removed).await, 204);
    assert_eq!(
        gateway
            .call("PUT", "/api/v2/users/bob/status/suspend", Some(&owner), None)
            .await
            .0,
        200
    );
    gateway.signal("TERM");
    let (site, ended_well) = gateway.ended().await;
    assert!(ended_well);
    let gateway = site.start(&[]).await;
    for (token, status) in [(&owner, 200), (&kept, 200), (&removed, 401), (&suspended, 401)] {
        assert_eq!(gateway.status_of(token).await, status);
    }
    assert_eq!(
        gateway
            .call("PUT", "/api/v2/users/bob/status/activate", Some(&owner), None)
            .await
            .0,
        200
    );
    assert_eq!(
        gateway.status_of(&suspended).await,
        200,
        "activation brings the tokens back"
    );
}

#[tokio::test]
async fn a_restart_keeps_everything_on_sqlite() {
    a_restart_keeps_everything(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_restart_keeps_everything_on_postgres() {
    a_restart_keeps_everything(Engine::Postgres).await;
}

/// Kills the server in the middle of making and removing tokens, and looks at what is left: a token that was handed
/// out works, one whose removal was confirmed does not, and the list agrees with what authenticates.
async fn kill_loop(engine: Engine, rounds: u32) {
    let (mut gateway, owner) = Gateway::with_owner(engine, &[]).await;
    for round in 0..rounds {
        let steady = gateway
            .create_token(&owner, "me", &format!("steady{round}"))
            .await;
        let doomed = gateway
            .create_token(&owner, "me", &format!("doomed{round}"))
            .await;
        let body = json!({"token_name": format!("new{round}")});
        let create = gateway.try_call("POST", "/api/v2/users/me/keys/tokens", Some(&owner), Some(body));
        let path = format!("/api/v2/users/me/keys/{}", doomed.id());
        let remove = gateway.try_call("DELETE", &path, Some(&owner), None);
        // A little later every round, so that the kill meets every step.
        let kill = async {
            tokio::time::sleep(std::time::Duration::from_micros(u64::from(round) * 100)).await;
            gateway.signal("KILL");
        };
        let (created, removed, ()) = tokio::join!(create, remove, kill);
        gateway = gateway.ended().await.0.start(&[]).await;

        assert_eq!(gateway.status_of(&steady).await, 200, "round {round}");
        if let Ok((status, reply)) = &created
            && *status == 201
        {
            let token = Token {
                text: reply["key"].as_str().unwrap().to_owned(),
            };
            assert_eq!(
                gateway.status_of(&token).await,
                200,
                "round {round}: a token that was handed out is lost"
            );
        }
        let (_, list) = gateway
            .call("GET", "/api/v2/users/me/keys/tokens", Some(&owner), None)
            .await;
        let listed = |id: &str| list.as_array().unwrap().iter().any(|token| token["id"] == id);
        let lives = gateway.status_of(&doomed).await == 200;
        assert_eq!(
            lives,
            listed(doomed.id()),
            "round {round}: the list and the gateway disagree"
        );
        if removed.is_ok_and(|(status, _)| status == 204) {
            assert!(!lives, "round {round}: a removed token is back");
        }
        // Tidy up, so that the limit on tokens is never met; whatever is listed can be removed.
        for token in list.as_array().unwrap() {
            let path = format!("/api/v2/users/me/keys/{}", token["id"].as_str().unwrap());
            assert_eq!(
                gateway.call("DELETE", &path, Some(&owner), None).await.0,
                204,
                "round {round}"
            );
        }
    }
}

#[tokio::test]
async fn a_killed_server_leaves_no_half_state_on_sqlite() {
    kill_loop(Engine::Sqlite, 100).await;
}

#[tokio::test]
async fn a_killed_server_leaves_no_half_state_on_postgres() {
    kill_loop(Engine::Postgres, 100).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_sqlite_file_refuses_to_start() {
    let (gateway, _owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let mut second = crate::support::coder(&gateway.site.path("server"));
    let output = crate::support::run(second.arg("server").env("CODER_HTTP_ADDRESS", "127.0.0.1:0")).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("in use") || stderr.contains("is using"),
        "{stderr}"
    );
}
