//! Making, changing and removing users.

use serde_json::json;

use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn users_are_made_shown_changed_and_removed() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let token = server.token(&alice, json!({})).await;
    let me = server.get("/users/me", &alice).await.json();
    assert_eq!(
        (me["username"].as_str(), me["status"].as_str()),
        (Some("alice"), Some("active"))
    );
    assert_eq!(
        server
            .get(&format!("/users/{}", me["id"].as_str().unwrap()), &alice)
            .await
            .json(),
        me
    );
    assert_eq!(
        server
            .put(
                "/users/me/profile",
                &alice,
                json!({"username": "alicia", "name": "A"})
            )
            .await
            .status,
        200
    );
    assert_eq!(server.get("/users/alicia", &owner).await.json()["name"], "A");
    let deleted = server.delete("/users/alicia", &owner).await;
    assert_eq!(deleted.status, 200);
    for dead in [&alice, &token] {
        assert_eq!(server.get("/users/me", dead).await.status, 401);
    }
    assert_eq!(server.delete("/users/alicia", &owner).await.status, 404);
    assert_eq!(
        server
            .delete(&format!("/users/{}", me["id"].as_str().unwrap()), &owner)
            .await
            .status,
        404
    );
    server.user(&owner, "alicia", &[]).await;
}

#[tokio::test]
async fn names_and_addresses_are_unique_whatever_their_case() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &[]).await;
    for (username, email, field) in [
        ("Alice", "x@example.com", "username"),
        ("bob", "ALICE@example.com", "email"),
    ] {
        let body = json!({"username": username, "email": email, "password": PASSWORD});
        let reply = server.post("/users", &owner, body).await;
        assert_eq!(
            (reply.status, reply.faulty_fields()),
            (409, vec![field.to_owned()])
        );
    }
}

#[tokio::test]
async fn the_last_owner_and_oneself_are_protected() {
    let (server, owner) = Server::with_owner().await;
    assert_eq!(server.delete("/users/me", &owner).await.status, 403);
    assert_eq!(
        server
            .call("PUT", "/users/me/status/suspend", &owner, None)
            .await
            .status,
        400
    );
    assert_eq!(
        server
            .put("/users/me/roles", &owner, json!({"roles": []}))
            .await
            .status,
        400
    );
    let second = server.user(&owner, "second", &["owner"]).await;
    // Both at once: one of them stays.
    let (one, two) = tokio::join!(
        server.delete("/users/second", &owner),
        server.delete("/users/admin", &second)
    );
    let gone = [one.status, two.status]
        .iter()
        .filter(|status| **status == 200)
        .count();
    assert_eq!(gone, 1, "{one:?} {two:?}");
}

#[tokio::test]
async fn roles_take_effect_at_once() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    assert_eq!(server.get("/users", &alice).await.status, 403);
    let given = server
        .put(
            "/users/alice/roles",
            &owner,
            json!({"roles": ["auditor", "member"]}),
        )
        .await;
    assert_eq!(given.json()["roles"][0]["name"], "auditor");
    assert_eq!(server.get("/users", &alice).await.status, 200);
    assert_eq!(
        server
            .put("/users/alice/roles", &owner, json!({"roles": []}))
            .await
            .status,
        200
    );
    assert_eq!(server.get("/users", &alice).await.status, 403);
    let unknown = server
        .put("/users/alice/roles", &owner, json!({"roles": ["king"]}))
        .await;
    assert_eq!(
        (unknown.status, unknown.faulty_fields()),
        (400, vec!["roles".to_owned()])
    );
}

#[tokio::test]
async fn lists_are_searched_and_paged() {
    let (server, owner) = Server::with_owner().await;
    for name in ["anna", "bert", "carl"] {
        server.user(&owner, name, &[]).await;
    }
    let names = async |query: &str| {
        let page = server.get(&format!("/users{query}"), &owner).await.json();
        let users: Vec<String> = page["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect();
        (users.join(","), page["count"].as_u64().unwrap())
    };
    assert_eq!(names("").await, ("admin,anna,bert,carl".to_owned(), 4));
    assert_eq!(names("?limit=2&offset=1").await, ("anna,bert".to_owned(), 4));
    assert_eq!(names("?q=ANN").await, ("anna".to_owned(), 1));
    assert_eq!(names("?q=role:owner").await, ("admin".to_owned(), 1));
    server
        .call("PUT", "/users/bert/status/suspend", &owner, None)
        .await;
    assert_eq!(names("?q=status:suspended").await, ("bert".to_owned(), 1));
    for bad in [
        "?limit=0",
        "?limit=1001",
        "?q=status:odd",
        "?q=color:red",
        "?limit=x",
        "?after_id=x",
        "?nonsense=1",
    ] {
        assert_eq!(
            server.get(&format!("/users{bad}"), &owner).await.status,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn service_accounts_have_neither_address_nor_password() {
    let (server, owner) = Server::with_owner().await;
    let make = async |extra: serde_json::Value| {
        let mut body = json!({"username": "ci", "is_service_account": true});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        server.post("/users", &owner, body).await
    };
    assert_eq!(
        make(json!({"email": "ci@example.com"})).await.faulty_fields(),
        ["email"]
    );
    assert_eq!(
        make(json!({"password": PASSWORD})).await.faulty_fields(),
        ["password"]
    );
    let account = make(json!({})).await.json();
    assert_eq!(
        (account["email"].as_str(), account["login_type"].as_str()),
        (Some(""), Some("none"))
    );
    assert_eq!(
        server
            .put("/users/ci/password", &owner, json!({"password": PASSWORD}))
            .await
            .status,
        400
    );
    let token = server
        .post("/users/ci/keys/tokens", &owner, json!({"scope": "aibridge"}))
        .await
        .json();
    let token = token["key"].as_str().unwrap().to_owned();
    assert_eq!(
        server.get("/users/me", &token).await.status,
        403,
        "it can call models and nothing else"
    );
}
