//! `coder aibridge`: tables, and one of each.

use serde_json::{Value, json};

use crate::support::{FakeServer, Home};

pub(crate) const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// An interception as the server shows it, with a number of its own in the id.
pub(crate) fn interception(number: u32) -> Value {
    let id = format!("01890a5d-ac{number:02x}-774b-bcce-b302099a8057");
    json!({
        "id": id,
        "initiator": {"id": ID, "username": "alice", "name": "Alice"},
        "initiator_id": ID,
        "api_key_id": "0123456789",
        "provider": "anthropic",
        "provider_name": "anthropic",
        "model": "claude-opus-4-1",
        "answered_model": "claude-opus-4-1-20250805",
        "route": "messages",
        "metadata": {},
        "started_at": "2026-01-02T03:04:05.000006Z",
        "ended_at": "2026-01-02T03:04:07.000006Z",
        "client": "Claude Code",
        "client_version": "2.1",
        "user_agent": "claude-cli/2.1",
        "client_session_id": "kitchen",
        "session_id": "kitchen",
        "thread_parent_id": null,
        "thread_root_id": null,
        "credential_kind": "centralized",
        "credential_hint": "sk-...1234",
        "is_streamed": true,
        "status": 200,
        "outcome": "completed",
        "stop_reason": "end_turn",
        "provider_response_id": "msg_1",
        "marks": [],
        "token_usages": [{
            "id": id,
            "interception_id": id,
            "provider_response_id": "msg_1",
            "input_tokens": 12,
            "output_tokens": 3456,
            "cache_read_input_tokens": 100_000,
            "cache_write_input_tokens": 0,
            "created_at": "2026-01-02T03:04:07.000006Z",
        }],
        "user_prompts": [{
            "id": id,
            "interception_id": id,
            "provider_response_id": "msg_1",
            "prompt": "Please write\n\tthe whole program for me, and make it so that everybody likes it \u{1b}[2J",
            "created_at": "2026-01-02T03:04:05.000006Z",
        }],
        "tool_usages": [{
            "id": id,
            "interception_id": id,
            "tool": "Bash",
            "kind": "function",
            "input": "{\"command\":\"ls\"}",
            "created_at": "2026-01-02T03:04:06.000006Z",
        }],
        "model_thoughts": [{
            "interception_id": id,
            "content": "They want a program.",
            "metadata": {"source": "thinking"},
            "created_at": "2026-01-02T03:04:06.000006Z",
        }],
        "a_field_of_a_newer_server": 1,
    })
}

pub(crate) fn others() -> Vec<Value> {
    let mut open = interception(2);
    for field in ["ended_at", "outcome", "status", "answered_model"] {
        open[field] = Value::Null;
    }
    for field in ["token_usages", "tool_usages", "model_thoughts"] {
        open[field] = json!([]);
    }
    open["user_prompts"][0]["prompt"] = json!("short");
    let mut failed = interception(1);
    failed["status"] = json!(529);
    failed["outcome"] = json!("provider_error");
    failed["error_type"] = json!("overloaded_error");
    failed["error_message"] = json!("Overloaded");
    failed["model"] = json!("a-model-with-a-name-that-is-longer-than-any-table");
    failed["token_usages"] = json!([]);
    failed["user_prompts"] = json!([]);
    vec![open, failed]
}

pub(crate) fn page(results: &[Value]) -> Value {
    json!({"count": results.len(), "count_capped": false, "results": results})
}

pub(crate) fn session() -> Value {
    json!({
        "id": ID,
        "session_id": "kitchen",
        "initiator": {"id": ID, "username": "alice", "name": ""},
        "client": "Claude Code",
        "providers": ["anthropic"],
        "models": ["claude-haiku-4-5", "claude-opus-4-1"],
        "started_at": "2026-01-02T03:04:05.000006Z",
        "ended_at": null,
        "last_active_at": "2026-01-02T04:04:05.000006Z",
        "last_prompt": "And a cake?",
        "interceptions": 3,
        "token_usage_summary": {
            "input_tokens": 30,
            "output_tokens": 4567,
            "cache_read_input_tokens": 1_000_000,
            "cache_write_input_tokens": 5,
        },
        "threads": 2,
    })
}

#[test]
fn list() {
    let server = FakeServer::start();
    let results = [vec![interception(3)], others()].concat();
    let last = results[2]["id"].as_str().unwrap();
    server
        .on("GET /aibridge/interceptions?limit=100", 200, &page(&results))
        .on(
            &format!("GET /aibridge/interceptions?limit=97&after_id={last}"),
            200,
            &page(&[]),
        );
    let home = Home::logged_in(&server);
    let ended = home.run(&["aibridge", "interceptions", "ls"]);
    assert_eq!(ended.stderr, "");
    insta::assert_snapshot!("aibridge_interceptions", ended.success());
    insta::assert_snapshot!(
        "aibridge_interceptions_columns",
        home.run(&[
            "aibridge",
            "interceptions",
            "list",
            "-c",
            "error,tools,cache read,full id,session,credential,status,ended at"
        ])
        .success()
    );
}

#[test]
fn filters_and_limits_are_passed_on() {
    let server = FakeServer::start();
    let query = "initiator=me&provider=openai&model=gpt-5&client=Claude+Code&session_id=a%2Fb\
        &started_after=2026-01-01T00%3A00%3A00.000000Z&started_before=2026-02-01T00%3A00%3A00.000000Z&search=50%25";
    let filters = [
        "--initiator=me",
        "--provider=openai",
        "--model=gpt-5",
        "--client=Claude Code",
        "--session-id=a/b",
        "--started-after=2026-01-01T00:00:00Z",
        "--started-before=2026-02-01T01:00:00+01:00",
        "--search=50%",
    ];
    let home = Home::logged_in(&server);
    for (noun, reply) in [
        ("interceptions", page(&[])),
        ("sessions", json!({"count": 0, "sessions": []})),
    ] {
        server.on(&format!("GET /aibridge/{noun}?{query}&limit=5"), 200, &reply);
        let arguments = [&["aibridge", noun, "list", "--limit=5"][..], &filters].concat();
        let ended = home.run(&arguments);
        assert_eq!(ended.stderr, "Nothing found.\n", "{noun}");
        assert_eq!(ended.success(), "");
    }
    let stderr = home
        .run(&["aibridge", "sessions", "list", "--limit=5", "--all"])
        .failure(2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn a_table_takes_as_many_as_are_wanted_and_says_if_there_are_more() {
    let server = FakeServer::start();
    let [one, two] = [3, 2].map(interception);
    let after = one["id"].as_str().unwrap();
    let of_three = |row: &Value| json!({"count": 3, "results": [row]});
    server
        .on("GET /aibridge/interceptions?limit=2", 200, &of_three(&one))
        .on(
            &format!("GET /aibridge/interceptions?limit=1&after_id={after}"),
            200,
            &of_three(&two),
        );
    let home = Home::logged_in(&server);
    let ended = home.run(&["aibridge", "interceptions", "list", "--limit=2", "-c", "id"]);
    assert_eq!(ended.stderr, "There are more than these 2; `--all` shows all.\n");
    assert_eq!(ended.success(), "ID\n01890a5d-ac03-774b\n01890a5d-ac02-774b\n");
}

#[test]
fn show() {
    let server = FakeServer::start();
    let found = interception(3);
    let id = found["id"].as_str().unwrap();
    server
        .on(&format!("GET /aibridge/interceptions/{id}"), 200, &found)
        .on(
            "GET /aibridge/interceptions?after_id=01890a5d-ac03-774b-ffff-ffffffffffff&limit=2",
            200,
            &page(&[found.clone(), others().remove(0)]),
        )
        .on(
            "GET /aibridge/interceptions?after_id=01890a5d-ffff-ffff-ffff-ffffffffffff&limit=2",
            200,
            &page(&[found.clone(), others().remove(0)]),
        );
    let home = Home::logged_in(&server);
    let show = ["aibridge", "interceptions", "show"];
    let run = |arguments: &[&str]| home.run(&[&show[..], arguments].concat());
    let whole = run(&[id]).success();
    insta::assert_snapshot!("aibridge_interceptions_show", whole);
    assert_eq!(run(&["01890a5d-ac03-774b"]).success(), whole);
    let stderr = run(&["01890a5d"]).failure(1);
    assert!(
        stderr.contains("more than one id begins with 01890a5d"),
        "{stderr}"
    );
    let stderr = run(&["nonsense"]).failure(1);
    assert!(
        stderr.contains("no interception with the id \"nonsense\""),
        "{stderr}"
    );
    let shown = run(&[id, "-o", "json"]).success();
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["id"], json!(id));

    let failed = others().remove(1);
    let id = failed["id"].as_str().unwrap();
    server.on(&format!("GET /aibridge/interceptions/{id}"), 200, &failed);
    insta::assert_snapshot!("aibridge_interceptions_show_failed", run(&[id]).success());
}

/// The session with a thread.
fn session_detail() -> Value {
    let mut detail = session();
    let tokens = json!({
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 0,
        "cache_write_input_tokens": 0,
    });
    detail["threads"] = json!([{
        "id": ID,
        "prompt": "How do I bake\nbread?",
        "provider": "anthropic",
        "provider_name": "anthropic",
        "model": "claude-opus-4-1",
        "credential_kind": "centralized",
        "credential_hint": "sk-...1234",
        "started_at": "2026-01-02T03:04:05.000006Z",
        "ended_at": null,
        "token_usage": tokens,
        "error_type": "overloaded_error",
        "error_message": "Overloaded",
        "is_cut": true,
        "agentic_actions": [{
            "interception_id": ID,
            "model": "claude-opus-4-1",
            "started_at": "2026-01-02T03:04:05.000006Z",
            "ended_at": null,
            "outcome": null,
            "thinking": [{"text": "hmm"}],
            "token_usage": tokens,
            "tool_calls": interception(1)["tool_usages"],
        }],
    }]);
    detail
}

#[test]
fn sessions() {
    let server = FakeServer::start();
    let detail = session_detail();
    let mut rest = detail.clone();
    rest["threads"] = json!([]);
    let list = json!({"count": 1, "count_capped": false, "sessions": [session()]});
    server
        .on("GET /aibridge/sessions?limit=100", 200, &list)
        .on(
            &format!("GET /aibridge/sessions?limit=99&after_id={ID}"),
            200,
            &json!({"count": 1, "sessions": []}),
        )
        .on("GET /aibridge/sessions/kitchen?limit=200", 200, &detail)
        .on(&format!("GET /aibridge/sessions/{ID}?limit=200"), 200, &detail)
        .on(
            &format!("GET /aibridge/sessions/{ID}?limit=200&after_id={ID}"),
            200,
            &rest,
        )
        .on(
            &format!("GET /aibridge/sessions/kitchen?limit=200&after_id={ID}"),
            200,
            &rest,
        )
        .on(
            "GET /aibridge/sessions?after_id=01890a5d-ac96-774b-ffff-ffffffffffff&limit=2",
            200,
            &list,
        )
        .on_text(
            &format!("GET /aibridge/interceptions?initiator={ID}&session_id=kitchen"),
            200,
            "id\r\n",
            &[("content-type", "text/csv")],
        );
    let home = Home::logged_in(&server);
    let run = |arguments: &[&str]| home.run(&[&["aibridge", "sessions"], arguments].concat());
    insta::assert_snapshot!("aibridge_sessions", run(&["list"]).success());
    insta::assert_snapshot!(
        "aibridge_sessions_columns",
        run(&[
            "list",
            "-c",
            "full id,session,last active at,ended at,providers,threads,cache read"
        ])
        .success()
    );
    let shown = run(&["show", "kitchen"]).success();
    insta::assert_snapshot!("aibridge_sessions_show", shown);
    assert_eq!(run(&["show", "01890a5d-ac96-774b"]).success(), shown);
    let json = run(&["show", "kitchen", "-o", "json"]).success();
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap()["threads"][0]["is_cut"],
        true
    );
    assert_eq!(run(&["show", "kitchen", "-o", "csv"]).success(), "id\r\n");
    let stderr = run(&["show", "nobodys"]).failure(1);
    assert!(stderr.contains("no session with the id \"nobodys\""), "{stderr}");
}

#[test]
fn usage() {
    let server = FakeServer::start();
    let row = |day: &str, model: &str, requests: u64| {
        json!({
            "day": day,
            "initiator": {"id": ID, "username": "alice", "name": ""},
            "model": model,
            "client": "Claude Code",
            "requests": requests,
            "errors": 0,
            "input_tokens": requests * 1000,
            "output_tokens": requests * 10,
            "cache_read_input_tokens": 0,
            "cache_write_input_tokens": 7,
            "reasoning_tokens": 0,
        })
    };
    let rows = json!({"results": [
        row("2026-01-31", "claude-opus-4-1", 12345),
        row("2026-02-01", "gpt-5", 1),
    ]});
    let by_model = json!({"results": [{
        "model": "gpt-5",
        "requests": 1,
        "errors": 0,
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 3,
        "cache_write_input_tokens": 4,
    }]});
    server
        .on(
            "GET /aibridge/usage?group_by=day%2Cuser%2Cmodel%2Cclient",
            200,
            &rows,
        )
        .on(
            "GET /aibridge/usage?group_by=model&initiator=alice&client=Codex",
            200,
            &by_model,
        )
        .on("GET /aibridge/usage?group_by=day", 200, &json!({"results": []}));
    let home = Home::logged_in(&server);
    let run = |arguments: &[&str]| home.run(&[&["aibridge", "usage"], arguments].concat());
    insta::assert_snapshot!("aibridge_usage", run(&[]).success());
    insta::assert_snapshot!("aibridge_usage_json", run(&["-o", "json"]).success());
    insta::assert_snapshot!(
        "aibridge_usage_by_model",
        run(&["--by=model", "--initiator=alice", "--client=Codex"]).success()
    );
    assert_eq!(run(&["--by", "day"]).stderr, "Nothing found.\n");
    server.on_text(
        "GET /aibridge/usage?group_by=day%2Cuser%2Cmodel%2Cclient",
        200,
        "day\r\n",
        &[("content-type", "text/csv")],
    );
    assert_eq!(run(&["-o", "csv"]).success(), "day\r\n");
}
