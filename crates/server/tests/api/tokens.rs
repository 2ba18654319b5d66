//! Making, showing and removing tokens.

use serde_json::{Value, json};

use crate::support::{Server, id_of};

const DAY: i64 = 86_400_000_000_000;

#[tokio::test]
async fn a_token_is_shown_once_and_then_without_its_secret() {
    let (server, owner) = Server::with_owner().await;
    let token = server
        .token(
            &owner,
            json!({"token_name": "my-ai-token", "lifetime": 2 * DAY, "scope": "all"}),
        )
        .await;
    assert_eq!(server.get("/users/me", &token).await.status, 200);
    let list = server.get("/users/me/keys/tokens", &owner).await;
    let listed = &list.json()[0];
    assert_eq!(listed["id"], id_of(&token));
    assert_eq!(listed["token_name"], "my-ai-token");
    assert_eq!(listed["username"], "admin");
    assert_eq!(listed["lifetime_seconds"], 2 * 86_400);
    assert_eq!(listed["login_type"], "token");
    assert_eq!(listed["scopes"], json!(["all"]));
    assert!(!list.text.contains(&token[15..]));
    for path in [
        "/users/me/keys/tokens/my-ai-token".to_owned(),
        format!("/users/me/keys/{}", id_of(&token)),
    ] {
        assert_eq!(server.get(&path, &owner).await.json()["id"], id_of(&token));
    }
}

#[tokio::test]
async fn lifetimes_have_a_default_and_a_ceiling_by_role() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let ceiling = async |token: &str| {
        server
            .get("/users/me/keys/tokens/tokenconfig", token)
            .await
            .json()["max_token_lifetime"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(
        (ceiling(&alice).await, ceiling(&owner).await),
        (90 * DAY, 365 * DAY)
    );
    let attempt = async |token: &str, lifetime: i64| {
        server
            .post("/users/me/keys/tokens", token, json!({"lifetime": lifetime}))
            .await
    };
    for (token, lifetime, status) in [
        (&alice, 90 * DAY, 201),
        (&alice, 90 * DAY + 1, 400),
        (&owner, 365 * DAY, 201),
        (&owner, 365 * DAY + 1, 400),
        (&alice, 1, 201),
        (&alice, -1, 400),
        (&alice, i64::MIN, 400),
        (&alice, i64::MAX, 400),
        (&alice, 0, 201),
    ] {
        let reply = attempt(token, lifetime).await;
        assert_eq!(reply.status, status, "{lifetime}: {reply:?}");
        if status == 400 {
            assert_eq!(reply.faulty_fields(), ["lifetime"]);
        }
    }
    let made = server.token(&alice, json!({"token_name": "default"})).await;
    let shown = server
        .get(&format!("/users/me/keys/{}", id_of(&made)), &alice)
        .await
        .json();
    assert_eq!(shown["lifetime_seconds"], 30 * 86_400);
}

#[tokio::test]
async fn names_clash_only_among_the_living_tokens_of_one_user() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let named = json!({"token_name": "same"});
    let first = server.token(&owner, named.clone()).await;
    server.token(&alice, named.clone()).await;
    let clash = server.post("/users/me/keys/tokens", &owner, named.clone()).await;
    assert_eq!(clash.status, 409);
    assert_eq!(
        server
            .delete(&format!("/users/me/keys/{}", id_of(&first)), &owner)
            .await
            .status,
        204
    );
    let second = server.token(&owner, named.clone()).await;
    assert_eq!(
        server
            .call(
                "PUT",
                &format!("/users/me/keys/{}/expire", id_of(&second)),
                &owner,
                None
            )
            .await
            .status,
        204
    );
    server.token(&owner, named).await;
    // Expired ones are shown when asked for, unless their name was taken over.
    let all = server
        .get("/users/me/keys/tokens?include_expired=true", &owner)
        .await
        .json();
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_removed_or_expired_is_dead_at_once_and_stays_so() {
    let (server, owner) = Server::with_owner().await;
    let removed = server.token(&owner, json!({})).await;
    let expired = server.token(&owner, json!({})).await;
    let path = format!("/users/me/keys/{}", id_of(&removed));
    assert_eq!(server.delete(&path, &owner).await.status, 204);
    assert_eq!(server.delete(&path, &owner).await.status, 404);
    assert_eq!(server.get("/users/me", &removed).await.status, 401);
    let path = format!("/users/me/keys/{}/expire", id_of(&expired));
    assert_eq!(server.call("PUT", &path, &owner, None).await.status, 204);
    assert_eq!(
        server.call("PUT", &path, &owner, None).await.status,
        204,
        "expiring twice is fine"
    );
    let refused = server.get("/users/me", &expired).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("expired"), "{}", refused.text);
}

#[tokio::test]
async fn a_token_can_remove_itself() {
    let (server, owner) = Server::with_owner().await;
    let token = server.token(&owner, json!({})).await;
    assert_eq!(
        server
            .delete(&format!("/users/me/keys/{}", id_of(&token)), &token)
            .await
            .status,
        204
    );
    assert_eq!(server.get("/users/me", &token).await.status, 401);
}

#[tokio::test]
async fn lists_come_in_pages_and_are_never_null() {
    let (server, owner) = Server::with_owner().await;
    assert_eq!(
        server.get("/users/me/keys/tokens", &owner).await.json(),
        json!([])
    );
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(id_of(&server.token(&owner, json!({})).await).to_owned());
    }
    made.sort();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen
            .last()
            .map(|id| format!("&after_id={id}"))
            .unwrap_or_default();
        let page = server
            .get(&format!("/users/me/keys/tokens?limit=2{after}"), &owner)
            .await
            .json();
        let page: Vec<Value> = page.as_array().unwrap().clone();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        seen.extend(page.iter().map(|token| token["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, made);
}
