//! Reading what was recorded: whose, which, how much of it.

use gateway_core::interception::{Mark, Outcome};
use serde_json::{Value, json};

use crate::recorded::{Asker, Recorded};
use crate::support::{Server, id_of};

/// The server with an owner, an auditor and two members, of whom both have asked.
struct Scene {
    server: Server,
    recorded: Recorded,
    owner: String,
    auditor: String,
    alice: String,
    bob: String,
    /// Alice and Bob.
    askers: [Asker; 2],
}

impl Scene {
    async fn new() -> Self {
        let (server, owner) = Server::with_owner().await;
        let auditor = server.user(&owner, "auditor", &["auditor"]).await;
        let alice = server.user(&owner, "alice", &[]).await;
        let bob = server.user(&owner, "bob", &[]).await;
        let recorded = Recorded::beside(&server).await;
        let askers = [Asker::of(&server, &alice).await, Asker::of(&server, &bob).await];
        let [of_alice, of_bob] = &askers;
        recorded
            .add([
                of_alice.asks(1, "How do I bake bread?").in_session("kitchen"),
                of_alice.asks(2, "And a cake?").in_session("kitchen"),
                of_alice.asks(3, "Paint it 100% blue").with(|exchange| {
                    exchange.start.provider = gateway_core::ProviderKind::OpenAi;
                    exchange.start.provider_name = "openai".parse().unwrap();
                    exchange.start.model = "gpt-5".into();
                    exchange.start.client = "Codex".into();
                    exchange.start.marks.insert(Mark::PromptCut);
                    exchange.end.as_mut().unwrap().outcome = Outcome::ProviderError;
                }),
                of_alice
                    .asks(4, "Are you still there?")
                    .with(|exchange| exchange.end = None),
                of_bob.asks(5, "The secret plan of Bob").in_session("kitchen"),
                of_bob
                    .asks(6, "Second part")
                    .in_session("bobs-own")
                    .with(|exchange| exchange.start.model = "bobs-model".into()),
            ])
            .await;
        Self {
            server,
            recorded,
            owner,
            auditor,
            alice,
            bob,
            askers,
        }
    }

    async fn get(&self, path: &str, caller: &str) -> Value {
        let reply = self.server.get(&format!("/aibridge{path}"), caller).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// The prompts of what is listed.
    async fn prompts(&self, query: &str, caller: &str) -> Vec<String> {
        let page = self.get(&format!("/interceptions?{query}"), caller).await;
        let results = page["results"].as_array().unwrap();
        assert_eq!(page["count"], json!(results.len()), "{query}");
        results
            .iter()
            .map(|one| one["user_prompts"][0]["prompt"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The id of the interception of so many seconds after noon.
    async fn id(&self, second: usize) -> String {
        let all = self.get("/interceptions", &self.owner).await;
        all["results"][6 - second]["id"].as_str().unwrap().to_owned()
    }

    async fn export(&self, path: &str, accept: &str, caller: &str) -> String {
        let reply = self
            .server
            .send(|http, base| {
                http.get(format!("{base}/api/v2/aibridge{path}"))
                    .header("accept", accept)
                    .header("coder-session-token", caller)
            })
            .await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.text
    }
}

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

impl Scene {
    async fn prompts_after(&self, id: &str) -> usize {
        let page = self
            .get(&format!("/interceptions?after_id={id}"), &self.alice)
            .await;
        page["results"].as_array().unwrap().len()
    }
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
async fn an_interception_is_shown_with_the_columns_of_the_reference() {
    let scene = Scene::new().await;
    let id = scene.id(3).await;
    let shown = scene.get(&format!("/interceptions/{id}"), &scene.alice).await;
    let alias = scene
        .server
        .get(&format!("/ai-gateway/interceptions/{id}"), &scene.alice)
        .await;
    assert_eq!(alias.json(), shown);
    let alice = scene.askers[0].id.to_string();
    let mut expected = json!({
        "id": id,
        "initiator": {"id": alice, "username": "alice", "name": ""},
        "initiator_id": alice,
        "api_key_id": "0123456789",
        "provider": "openai",
        "provider_name": "openai",
        "model": "gpt-5",
        "answered_model": "claude-opus-1",
        "route": "messages",
        "metadata": {},
        "started_at": "2026-01-31T12:00:03.000000Z",
        "ended_at": "2026-01-31T12:00:04.000000Z",
        "client": "Codex",
        "client_version": "2.1",
        "user_agent": "claude-cli/2.1",
        "client_session_id": null,
        "session_id": id,
        "thread_parent_id": null,
        "thread_root_id": null,
        "credential_kind": "centralized",
        "credential_hint": "sk-...1234",
        "is_streamed": true,
        "status": 200,
        "outcome": "provider_error",
        "stop_reason": "end_turn",
        "error_type": null,
        "error_message": null,
        "provider_response_id": "msg_3",
        "marks": ["prompt_cut"],
        "observation_incomplete": false,
    });
    let children = json!({
        "token_usages": [{
            "id": id,
            "interception_id": id,
            "provider_response_id": "msg_3",
            "input_tokens": 10,
            "output_tokens": 20,
            "cache_read_input_tokens": 300,
            "cache_write_input_tokens": 40,
            "reasoning_tokens": 5,
            "service_tier": "standard",
            "is_partial": false,
            "metadata": {"web_search_requests": 2},
            "created_at": "2026-01-31T12:00:04.000000Z",
        }],
        "user_prompts": [{
            "id": id,
            "interception_id": id,
            "provider_response_id": "msg_3",
            "prompt": "Paint it 100% blue",
            "metadata": {},
            "created_at": "2026-01-31T12:00:03.000000Z",
        }],
        "tool_usages": [{
            "id": id,
            "interception_id": id,
            "provider_response_id": null,
            "provider_tool_call_id": "toolu_alice_3",
            "provider_item_id": null,
            "tool": "Bash",
            "kind": "function",
            "server_url": null,
            "input": "{\"command\":\"ls\"}",
            "is_cut": false,
            "injected": false,
            "invocation_error": null,
            "metadata": {},
            "created_at": "2026-01-31T12:00:03.000000Z",
        }],
        "model_thoughts": [{
            "interception_id": id,
            "content": "hmm",
            "is_cut": false,
            "metadata": {"source": "thinking"},
            "created_at": "2026-01-31T12:00:04.000000Z",
        }],
    });
    for (name, rows) in children.as_object().unwrap() {
        expected[name] = rows.clone();
    }
    assert_eq!(shown, expected);
    let in_flight = scene.id(4).await;
    let shown = scene
        .get(&format!("/interceptions/{in_flight}"), &scene.alice)
        .await;
    assert_eq!(
        (&shown["ended_at"], &shown["outcome"], &shown["token_usages"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
}

#[tokio::test]
async fn a_session_is_shown_with_its_threads() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let root = scene.id(1).await;
    scene
        .recorded
        .add([alice.asks(8, "unused").in_session("kitchen").with(|exchange| {
            exchange.start.prompt = None;
            exchange.start.correlating_tool_call_id = Some("toolu_alice_1".to_owned());
        })])
        .await;
    let session = scene.get("/sessions/kitchen", &scene.alice).await;
    assert_eq!(session["id"], json!(root));
    assert_eq!(session["token_usage_summary"]["output_tokens"], 60);
    assert_eq!(session["last_prompt"], "And a cake?");
    let threads = session["threads"].as_array().unwrap();
    let prompts: Vec<&Value> = threads.iter().map(|thread| &thread["prompt"]).collect();
    assert_eq!(prompts, [&json!("And a cake?"), &json!("How do I bake bread?")]);
    let bread = &threads[1];
    assert_eq!(bread["agentic_actions"].as_array().unwrap().len(), 2);
    assert_eq!(bread["token_usage"]["input_tokens"], 20);
    assert_eq!(bread["agentic_actions"][0]["tool_calls"][0]["tool"], "Bash");
    assert_eq!(bread["agentic_actions"][0]["thinking"], json!([{"text": "hmm"}]));
    assert_eq!(bread["is_cut"], false);

    let one = scene.get("/sessions/kitchen?limit=1", &scene.alice).await;
    assert_eq!(one["threads"].as_array().unwrap().len(), 1);
    let newest = one["threads"][0]["id"].as_str().unwrap();
    for (query, prompt) in [
        (format!("after_id={newest}"), "How do I bake bread?"),
        (format!("before_id={root}"), "And a cake?"),
    ] {
        let page = scene
            .get(&format!("/sessions/{root}?{query}"), &scene.alice)
            .await;
        assert_eq!(page["threads"][0]["prompt"], prompt, "{query}");
    }
    let listed = scene.get("/sessions?session_id=kitchen", &scene.alice).await;
    assert_eq!(listed["sessions"][0]["threads"], 2);
    assert_eq!(listed["sessions"][0]["interceptions"], 3);
    let all = scene.get("/sessions", &scene.auditor).await;
    let lines = scene
        .export("/sessions", "application/x-ndjson", &scene.auditor)
        .await;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all["sessions"], json!(lines));
    let csv = scene
        .export("/sessions?session_id=kitchen", "text/csv", &scene.alice)
        .await;
    let row = csv.split("\r\n").nth(1).unwrap();
    assert!(
        row.ends_with(",anthropic,claude-opus,2,3,30,60,900,120,15,And a cake?"),
        "{row}"
    );
    let both = scene.get("/sessions?limit=2", &scene.auditor).await;
    let last = both["sessions"][1]["id"].as_str().unwrap();
    let rest = scene
        .get(&format!("/sessions?after_session_id={last}"), &scene.auditor)
        .await;
    assert_eq!(rest["sessions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn usage_is_summed_by_what_is_asked() {
    let scene = Scene::new().await;
    let all = scene.get("/usage", &scene.auditor).await;
    assert_eq!(
        all["results"],
        json!([{
            "requests": 5,
            "errors": 1,
            "input_tokens": 50,
            "output_tokens": 100,
            "cache_read_input_tokens": 1500,
            "cache_write_input_tokens": 200,
            "reasoning_tokens": 25,
        }])
    );
    let rows = scene
        .get("/usage?group_by=day,model&client=Claude+Code", &scene.auditor)
        .await;
    let rows: Vec<Value> = rows["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["day"], row["model"], row["requests"], row["client"]]))
        .collect();
    assert_eq!(
        json!(rows),
        json!([
            ["2026-01-31", "bobs-model", 1, null],
            ["2026-01-31", "claude-opus", 3, null]
        ])
    );
    for (query, requests) in [
        ("started_after=2026-01-31T23:00:00Z", 5),
        ("started_after=2026-02-01T00:00:00Z", 0),
        ("started_before=2026-01-31T00:00:00Z", 0),
        ("initiator=bob", 2),
        ("provider=openai", 1),
        ("model=gpt-5&client=Codex", 1),
    ] {
        let sums = scene.get(&format!("/usage?{query}"), &scene.owner).await;
        assert_eq!(sums["results"][0]["requests"], requests, "{query}");
    }
    let csv = scene.export("/usage?group_by=user", "text/csv", &scene.bob).await;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[1].contains(",bob,,,,,2,0,20,40,600,80,10"), "{csv}");
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

#[tokio::test]
async fn csv_holds_no_formulas() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let prompts = [
        "=cmd|'/C calc'!A0",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "a \"b\",\r\n=c",
    ];
    scene
        .recorded
        .add((50..).zip(prompts).map(|(second, prompt)| {
            alice
                .asks(second, prompt)
                .with(|exchange| exchange.start.model = format!("={second}"))
        }))
        .await;
    let path = "/interceptions?started_after=2026-01-31T12:00:50Z";
    let text = scene.export(path, "text/csv", &scene.alice).await;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (prompt, model) = (column("prompt"), column("model"));
    let mut read: Vec<String> = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        assert!(record[model].starts_with("'="));
        for cell in &record {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
        }
        read.insert(0, record[prompt].trim_start_matches('\'').to_owned());
    }
    assert_eq!(read, prompts);
}

#[tokio::test]
async fn an_export_needs_its_right_and_a_place() {
    let scene = Scene::new().await;
    let token = scene.server.token(&scene.alice, json!({})).await;
    let path = "/aibridge/interceptions";
    let reply = scene
        .server
        .send(|http, base| {
            http.get(format!("{base}/api/v2{path}"))
                .header("accept", "text/csv")
                .header("coder-session-token", &token)
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.headers["content-type"],
        "text/csv; charset=utf-8; header=present"
    );
    assert_eq!(
        reply.headers["content-disposition"],
        "attachment; filename=\"interceptions.csv\""
    );
    assert_eq!(reply.headers["cache-control"], "no-store");
    scene
        .server
        .delete(&format!("/users/me/keys/{}", id_of(&token)), &scene.alice)
        .await;
    let refused = scene
        .server
        .send(|http, base| {
            http.get(format!("{base}/api/v2{path}"))
                .header("accept", "text/csv")
                .header("coder-session-token", &token)
        })
        .await;
    assert_eq!(refused.status, 401);
}
