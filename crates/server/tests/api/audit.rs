//! The audit log as the API fills and shows it.

use std::time::Duration;

use gateway_core::audit::{Action, Actor, AuditId, Changes, Entry, Source, Target};
use gateway_core::{Clock as _, Lifetime, SystemClock, UserId};
use gateway_store::AuditFilter;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, id_of, open};

const WRONG: &str = "wrong wrong wrong";

async fn list(server: &Server, caller: &str, query: &str) -> Vec<Value> {
    let reply = server.get(&format!("/audit?{query}"), caller).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["results"].as_array().unwrap().clone()
}

/// The actions, the oldest first.
fn actions(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

async fn attempt(server: &Server, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password});
    server.post("/users/login", "", body).await.status
}

#[tokio::test]
async fn every_administrative_act_is_told() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let token = server.token(&alice, json!({"token_name": "ci"})).await;
    let id = id_of(&token);
    let another = "another horse battery staple";
    let calls = [
        ("PUT", format!("/users/me/keys/{id}/expire"), &alice, None),
        ("DELETE", format!("/users/me/keys/{id}"), &alice, None),
        ("POST", "/users/me/keys".to_owned(), &alice, None),
        (
            "PUT",
            "/users/alice/roles".to_owned(),
            &owner,
            Some(json!({"roles": ["auditor"]})),
        ),
        (
            "PUT",
            "/users/alice/profile".to_owned(),
            &owner,
            Some(json!({"username": "alina"})),
        ),
        ("PUT", "/users/alina/status/suspend".to_owned(), &owner, None),
        ("PUT", "/users/alina/status/activate".to_owned(), &owner, None),
        (
            "PUT",
            "/users/alina/password".to_owned(),
            &owner,
            Some(json!({"password": another})),
        ),
        ("DELETE", "/users/alina".to_owned(), &owner, None),
    ];
    for (method, path, caller, body) in calls {
        let reply = server.call(method, &path, caller, body).await;
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
    }
    let session = server.login("admin@example.com").await;
    assert_eq!(
        server.call("POST", "/users/logout", &owner, None).await.status,
        200
    );
    let entries = list(&server, &session, "").await;
    assert_eq!(
        actions(&entries),
        [
            "configuration_changed",
            "set_up",
            "login",
            "user_created",
            "login",
            "token_created",
            "token_expired",
            "token_removed",
            "token_created",
            "roles_changed",
            "profile_changed",
            "user_suspended",
            "user_activated",
            "password_changed",
            "user_deleted",
            "login",
            "logout",
        ]
    );
    let suspended = &entries[5];
    assert_eq!(suspended["actor"]["username"], "admin");
    assert_eq!(suspended["actor"]["token_id"], id_of(&owner));
    assert_eq!(suspended["address"], "127.0.0.1");
    assert_eq!(suspended["target"]["name"], "alina");
    assert_eq!(
        suspended["changes"],
        json!({"status": {"before": "active", "after": "suspended"}})
    );
    let text = serde_json::to_string(&entries).unwrap();
    for secret in [PASSWORD, another, &token[15..], &owner[15..], &session[15..]] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_failed_login_says_who_from_where_and_why() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "bob", &[]).await;
    server
        .call("PUT", "/users/bob/status/suspend", &owner, None)
        .await;
    let body = json!({"email": "admin@example.com", "password": WRONG});
    let sent = server
        .send(|http, base| {
            http.post(format!("{base}/api/v2/users/login"))
                .header("user-agent", "x".repeat(500))
                .json(&body)
        })
        .await;
    assert_eq!(sent.status, 401);
    assert_eq!(attempt(&server, "nobody@example.com", PASSWORD).await, 401);
    assert_eq!(attempt(&server, PASSWORD, PASSWORD).await, 401);
    assert_eq!(attempt(&server, "bob@example.com", PASSWORD).await, 401);
    let change = json!({"password": PASSWORD, "old_password": WRONG});
    assert_eq!(server.put("/users/me/password", &owner, change).await.status, 400);

    let entries = list(&server, &owner, "action=login_failed").await;
    let told: Vec<Value> = entries
        .iter()
        .rev()
        .map(|entry| {
            json!([
                entry["actor"]["username"],
                entry["target"]["name"],
                entry["detail"]
            ])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["admin", "admin", "wrong password"],
            [null, "nobody@example.com", "unknown account"],
            [null, null, "unknown account"],
            ["bob", "bob", "account suspended"],
        ]),
        "a password in the wrong field is not kept; a further failure for one account waits"
    );
    let first = entries.last().unwrap();
    assert_eq!(first["user_agent"], "x".repeat(256));
    assert_eq!(first["address"], "127.0.0.1");
    assert!(!serde_json::to_string(&entries).unwrap().contains("horse"));
}

#[tokio::test]
async fn a_flood_of_failed_logins_leaves_little_and_is_counted() {
    let (server, owner) = Server::with_owner().await;
    let mut refused = 0;
    for n in 0..70 {
        // The address may try sixty times a minute, one of which was the owner's own.
        refused += u16::from(attempt(&server, &format!("u{}@example.com", n % 50), WRONG).await == 429);
    }
    assert_eq!(refused, 11);
    let entries = list(&server, &owner, "action=login_failed").await;
    assert_eq!(entries.len(), 30);

    // What was only counted is written when the server stops, if not before.
    let directory = server.stop().await;
    let store = open(&directory).await;
    let left = store.audit().list(AuditFilter::default()).await.unwrap();
    store.close().await;
    let counted = |detail: &str| {
        detail
            .split("stands for ")
            .nth(1)?
            .split(' ')
            .next()?
            .parse::<usize>()
            .ok()
    };
    let further: Vec<usize> = left
        .iter()
        .filter_map(|entry| counted(entry.detail.as_deref()?))
        .collect();
    assert_eq!(further.iter().sum::<usize>() + 30, 70);
    assert!(further.len() <= 31, "{further:?}");
}

#[tokio::test]
async fn entries_are_filtered_and_paged() {
    let (server, owner) = Server::with_owner().await;
    let alice = server.user(&owner, "alice", &[]).await;
    let alice_id = server.get("/users/me", &alice).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let token = server.token(&alice, json!({"token_name": "ci"})).await;

    for (query, expected) in [
        ("actor=ALICE", vec!["login", "token_created"]),
        (&format!("actor={alice_id}"), vec!["login", "token_created"]),
        (&format!("target={alice_id}"), vec!["user_created"]),
        ("target=alice&actor=admin", vec!["user_created"]),
        ("target=ci", vec!["token_created"]),
        (&format!("target={}", id_of(&token)), vec!["token_created"]),
        ("action=set_up", vec!["set_up"]),
        ("action=set_up&actor=alice", vec![]),
        ("actor=", actions(&list(&server, &owner, "").await)),
        ("actor=nul%00", vec![]),
        ("started_after=2999-01-01T00:00:00Z", vec![]),
        ("started_before=2000-01-01T00:00:00Z", vec![]),
    ]
    .map(|(query, expected): (&str, Vec<&str>)| {
        (
            query.to_owned(),
            expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    }) {
        assert_eq!(actions(&list(&server, &owner, &query).await), expected, "{query}");
    }

    let all = list(&server, &owner, "").await;
    let mut paged: Vec<Value> = Vec::new();
    loop {
        let after = paged
            .last()
            .map_or("", |entry| entry["id"].as_str().unwrap())
            .to_owned();
        let page = list(&server, &owner, &format!("limit=2&after_id={after}")).await;
        let is_last = page.len() < 2;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged, all);
    let at = all[2]["at"].as_str().unwrap();
    let halves = (
        list(&server, &owner, &format!("started_after={at}")).await,
        list(&server, &owner, &format!("started_before={at}")).await,
    );
    assert_eq!((halves.0, halves.1), (all[..3].to_vec(), all[3..].to_vec()));
}

#[tokio::test]
async fn bad_queries_are_refused_by_name() {
    let (server, owner) = Server::with_owner().await;
    for (query, field) in [
        ("action=hacked", "action"),
        ("started_after=yesterday", "started_after"),
        ("started_before=1", "started_before"),
        ("after_id=1", "after_id"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "query"),
        ("who=alice", "query"),
        ("actor=a&actor=b", "query"),
    ] {
        let reply = server.get(&format!("/audit?{query}"), &owner).await;
        assert_eq!(
            (reply.status, reply.faulty_fields()),
            (400, vec![field.to_owned()]),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_start_with_other_options_is_told_once() {
    let (server, _) = Server::with_owner().await;
    let directory = server.stop().await;
    let other = |parts: &mut gateway_server::Parts| {
        parts.options.insert("log-filter".to_owned(), "debug".to_owned());
        parts
            .options
            .insert("aibridge-openai-key".to_owned(), "set".to_owned());
    };
    let directory = Server::start(directory, other).await.stop().await;
    let server = Server::start(directory, other).await;
    let owner = server.login("admin@example.com").await;
    let changes = list(&server, &owner, "action=configuration_changed").await;
    assert_eq!(changes.len(), 2, "the first start and the second");
    assert_eq!(
        changes[0]["changes"],
        json!({
            "aibridge-openai-key": {"before": null, "after": "set"},
            "log-filter": {"before": "info", "after": "debug"},
        })
    );
    assert_eq!(changes[0]["actor"], json!({"kind": "system"}));
}

#[tokio::test]
async fn old_entries_go_if_so_configured() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let at = SystemClock.now().minus(Duration::from_hours(49));
    let old = (0..1200).map(|_| Entry {
        id: AuditId::generate(at),
        at,
        actor: Actor::SYSTEM,
        source: Source::default(),
        action: Action::UserDeleted,
        target: Target::user(UserId::generate(), "gone"),
        changes: Changes::default(),
        detail: None,
    });
    store.audit().note(&old.collect::<Vec<_>>()).await.unwrap();
    store.close().await;

    let keep = |days| {
        move |parts: &mut gateway_server::Parts| parts.jobs.audit_retention = Lifetime::from_days(days)
    };
    let server = Server::start(directory, keep(3)).await;
    let body = json!({"email": "admin@example.com", "username": "admin", "password": PASSWORD});
    assert_eq!(server.post("/users/first", "", body).await.status, 201);
    let owner = server.login("admin@example.com").await;
    assert_eq!(list(&server, &owner, "target=gone").await.len(), 1000);

    let server = Server::start(server.stop().await, keep(2)).await;
    let wait = async {
        while !list(&server, &owner, "target=gone").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    assert_eq!(
        list(&server, &owner, "action=set_up").await.len(),
        1,
        "younger ones stay"
    );
}
