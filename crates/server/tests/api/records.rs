//! Reading what was recorded: whose, which, how much of it.

use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn members_see_their_own_and_nothing_of_others() {
    let scene = Scene::new().await;
    let mut own = scene.prompts("", &scene.alice).await;
    own.sort_unstable();
    assert_eq!(
        own,
        [
            "And a cake?",
            "Are you still there?",
            "How do I bake bread?",
            "Paint it 100% blue"
        ]
    );
    let bob = scene.askers[1].id.to_string();
    for query in [
        "initiator=bob".to_owned(),
        "initiator=nobody".to_owned(),
        format!("initiator={bob}"),
        "session_id=bobs-own".to_owned(),
        "search=secret+plan".to_owned(),
        "model=bobs-model".to_owned(),
    ] {
        let nothing = Vec::<String>::new();
        assert_eq!(scene.prompts(&query, &scene.alice).await, nothing, "{query}");
        for accept in ["text/csv", "application/x-ndjson"] {
            let path = format!("/interceptions?{query}");
            let text = scene.export(&path, accept, &scene.alice).await;
            assert!(text.lines().count() <= 1, "{query}: {text}");
        }
        let sessions = scene.get(&format!("/sessions?{query}"), &scene.alice).await;
        assert_eq!(
            (&sessions["count"], &sessions["sessions"]),
            (&json!(0), &json!([])),
            "{query}"
        );
    }
    // A session of the same name is one's own.
    assert_eq!(scene.prompts("session_id=kitchen", &scene.alice).await.len(), 2);
    let shared = scene.get("/sessions/kitchen", &scene.alice).await;
    assert_eq!(shared["initiator"]["username"], "alice");
    let of_bob = scene.id(6).await;
    for path in [
        format!("/interceptions/{of_bob}"),
        format!("/sessions/{of_bob}"),
        "/sessions/bobs-own".to_owned(),
    ] {
        let reply = scene.server.get(&format!("/aibridge{path}"), &scene.alice).await;
        assert_eq!(reply.status, 404, "{path}");
        let absent = path.replace(&of_bob, "01890a5d-ac96-774b-bcce-b302099a8057");
        let other = scene
            .server
            .get(
                &format!("/aibridge{}", absent.replace("bobs-own", "nobodys")),
                &scene.alice,
            )
            .await;
        assert_eq!(reply.text, other.text, "as if it were not there");
    }
    let after = scene.prompts_after(&of_bob).await;
    assert_eq!(after, 4, "the place of another's is only a place in time");
    assert_eq!(
        scene.get("/models", &scene.alice).await,
        json!(["claude-opus", "gpt-5"])
    );
    assert_eq!(
        scene.get("/usage?group_by=user", &scene.alice).await["results"][0]["initiator"]["username"],
        "alice"
    );
    assert_eq!(
        scene.get("/usage?initiator=bob", &scene.alice).await["results"][0]["requests"],
        0
    );
}

#[tokio::test]
async fn auditors_and_owners_see_all_and_tokens_for_models_nothing() {
    let scene = Scene::new().await;
    for reader in [&scene.auditor, &scene.owner] {
        assert_eq!(scene.prompts("", reader).await.len(), 6);
        assert_eq!(scene.prompts("initiator=bob", reader).await.len(), 2);
        assert_eq!(scene.prompts("initiator=BOB", reader).await.len(), 2);
        assert_eq!(scene.prompts("initiator=me", reader).await.len(), 0);
        assert_eq!(scene.prompts("session_id=kitchen", reader).await.len(), 3);
        assert_eq!(scene.get("/sessions", reader).await["count"], 5);
        assert_eq!(scene.get("/models?prefix=b", reader).await, json!(["bobs-model"]));
        assert_eq!(
            scene.get("/clients?limit=1", reader).await,
            json!(["Claude Code"])
        );
    }
    // What is recorded about a user outlives the user.
    let bob = scene.askers[1].id;
    assert_eq!(scene.server.delete("/users/bob", &scene.owner).await.status, 200);
    assert_eq!(
        scene
            .prompts(&format!("initiator={bob}"), &scene.auditor)
            .await
            .len(),
        2
    );
    let token = scene
        .server
        .token(&scene.alice, json!({"scope": "aibridge"}))
        .await;
    let id = scene.id(1).await;
    for path in ["interceptions", "sessions", "usage", "models", "clients"] {
        for (caller, status) in [(token.as_str(), 403), ("", 401)] {
            let path = format!("/aibridge/{path}");
            assert_eq!(scene.server.get(&path, caller).await.status, status, "{path}");
        }
    }
    let path = format!("/aibridge/interceptions/{id}");
    assert_eq!(scene.server.get(&path, &token).await.status, 403);
}

#[tokio::test]
async fn each_filter_takes_out_what_it_says() {
    let scene = Scene::new().await;
    for (query, expected) in [
        ("provider=openai", &["Paint it 100% blue"][..]),
        ("provider_name=openai", &["Paint it 100% blue"]),
        (
            "provider=anthropic&initiator=bob",
            &["Second part", "The secret plan of Bob"],
        ),
        ("model=gpt-5", &["Paint it 100% blue"]),
        ("client=Codex", &["Paint it 100% blue"]),
        ("search=BAKE", &["How do I bake bread?"]),
        ("search=100%25", &["Paint it 100% blue"]),
        ("search=_", &[]),
        ("search=bake&model=gpt-5", &[]),
        ("session_id=bobs-own", &["Second part"]),
        (
            "started_after=2026-01-31T12:00:05Z",
            &["Second part", "The secret plan of Bob"],
        ),
        ("started_before=2026-01-31T12:00:02Z", &["How do I bake bread?"]),
        (
            "started_after=2026-01-31T13:00:02%2B01:00&started_before=2026-01-31T12:00:03Z",
            &["And a cake?"],
        ),
        (
            "model=",
            &[
                "Second part",
                "The secret plan of Bob",
                "Are you still there?",
                "Paint it 100% blue",
                "And a cake?",
                "How do I bake bread?",
            ],
        ),
        ("model=nul%00", &[]),
    ] {
        assert_eq!(scene.prompts(query, &scene.owner).await, expected, "{query}");
    }
    let by_search = scene.get("/sessions?search=cake", &scene.owner).await;
    assert_eq!(by_search["sessions"][0]["session_id"], "kitchen");
    assert_eq!(by_search["count"], 1);
}

#[tokio::test]
async fn pages_hold_still_while_others_write() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let mut seen: Vec<String> = Vec::new();
    for second in 100.. {
        let after = seen.last().map_or(String::new(), |id| format!("&after_id={id}"));
        let page = scene
            .get(&format!("/interceptions?limit=2{after}"), &scene.owner)
            .await;
        let results = page["results"].as_array().unwrap();
        if results.is_empty() {
            break;
        }
        seen.extend(results.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        scene.recorded.add([alice.asks(second, "one more")]).await;
    }
    let mut ordered = seen.clone();
    ordered.sort_unstable_by(|one, other| other.cmp(one));
    ordered.dedup();
    assert_eq!((seen.len(), seen), (6, ordered));
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let scene = Scene::new().await;
    let long = format!("interceptions?search={}", "x".repeat(257));
    for (path, field) in [
        ("interceptions?limit=0", "limit"),
        ("interceptions?limit=1001", "limit"),
        ("interceptions?limit=99999999999", "limit"),
        ("interceptions?limit=-1", "query"),
        ("interceptions?after_id=1", "after_id"),
        ("interceptions?started_after=yesterday", "started_after"),
        ("interceptions?started_before=1", "started_before"),
        ("interceptions?colour=blue", "query"),
        ("interceptions?model=a&model=b", "query"),
        (long.as_str(), "search"),
        ("sessions?limit=0", "limit"),
        ("sessions?after_session_id=x", "after_id"),
        ("sessions/kitchen?limit=201", "limit"),
        ("sessions/kitchen?after_id=x", "after_id"),
        (
            "sessions/kitchen?after_id=01890a5d-ac96-774b-bcce-b302099a8057&before_id=01890a5d-ac96-774b-bcce-b302099a8057",
            "before_id",
        ),
        ("usage?group_by=colour", "group_by"),
        ("usage?session_id=x", "query"),
        ("models?limit=1001", "limit"),
        ("clients?q=x", "query"),
    ] {
        let reply = scene.server.get(&format!("/aibridge/{path}"), &scene.owner).await;
        assert_eq!(
            (reply.status, reply.faulty_fields()),
            (400, vec![field.to_owned()]),
            "{path}: {reply:?}"
        );
    }
    for path in [
        "interceptions/nonsense",
        "interceptions/01890a5d-ac96-774b-bcce-b302099a8057",
        "sessions/nul%00",
        "sessions/nobodys",
        "keys",
        "providers/x",
        "interceptions/a/b",
    ] {
        let reply = scene.server.get(&format!("/aibridge/{path}"), &scene.owner).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.json()["message"].is_string(), "{path}");
    }
    let posted = scene
        .server
        .post("/aibridge/interceptions", &scene.owner, json!({}))
        .await;
    assert_eq!(posted.status, 405);
    // Everything else under the prefix is the data plane's.
    let relayed = scene.server.get("/aibridge/anthropic/v1/models", "").await;
    assert!(relayed.json().get("message").is_none(), "{relayed:?}");
}
