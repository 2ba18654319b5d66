//! What is shown of what was recorded, and in which form.

use serde_json::{Value, json};

use crate::scene::Scene;
use crate::support::id_of;

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
        "first_byte_at": "2026-01-31T12:00:04.000000Z",
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
            "first_byte_ms": 1000,
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
