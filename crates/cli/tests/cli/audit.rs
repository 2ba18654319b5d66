//! `coder audit`.

use serde_json::{Value, json};

use crate::support::{FakeServer, Home};

/// An entry as the server shows it, with a number of its own in the id.
fn entry(number: u32) -> Value {
    json!({
        "id": format!("01890a5d-ac96-774b-bcce-{number:012}"),
        "at": "2026-01-02T03:04:05.000006Z",
        "actor": {"kind": "user", "id": "01890a5d-ac96-774b-bcce-b302099a8057", "username": "admin", "token_id": "0123456789"},
        "address": "192.0.2.7",
        "user_agent": "coder-cli/0.1.0 (linux/x86_64)",
        "action": "roles_changed",
        "target": {"kind": "user", "id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "bob"},
        "changes": {"roles": {"before": "auditor", "after": null}},
    })
}

fn others() -> Vec<Value> {
    let failed = json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8059",
        "at": "2026-01-02T03:04:04.000006Z",
        "actor": {"kind": "user"},
        "address": "2001:db8::1",
        "user_agent": "evil \u{1b}[2J",
        "action": "login_failed",
        "target": {"kind": "user", "name": "nobody@example.com"},
        "changes": {},
        "detail": "unknown account; stands for 12 attempts",
    });
    let started = json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8060",
        "at": "2026-01-02T03:04:03.000006Z",
        "actor": {"kind": "system"},
        "action": "configuration_changed",
        "target": {"kind": "configuration"},
        "changes": {
            "aibridge-openai-key": {"before": "unset", "after": "set"},
            "log-filter": {"before": null, "after": "info"},
        },
        "a_field_of_a_newer_server": 1,
    });
    let expired = json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8061",
        "at": "2026-01-02T03:04:02.000006Z",
        "actor": {"kind": "user", "username": "bob"},
        "action": "token_expired",
        "target": {"kind": "session", "id": "0123456789"},
        "changes": {"owner": {"before": "bob", "after": "bob"}},
    });
    vec![failed, started, expired]
}

#[test]
fn list() {
    let server = FakeServer::start();
    let results = [vec![entry(1)], others()].concat();
    server.on("GET /audit?limit=101", 200, &json!({"results": results}));
    let home = Home::logged_in(&server);
    let ended = home.run(&["audit", "ls"]);
    assert_eq!(ended.stderr, "");
    insta::assert_snapshot!("audit_list", ended.success());
    insta::assert_snapshot!(
        "audit_list_columns",
        home.run(&["audit", "list", "-c", "user agent,token,id,action"])
            .success()
    );
    insta::assert_snapshot!(
        "audit_list_json",
        home.run(&["audit", "list", "-o", "json"]).success()
    );
}

#[test]
fn filters_are_passed_on() {
    let server = FakeServer::start();
    let query = "actor=admin&action=roles_changed&target=bob%2Fx&started_after=2026-01-01T00%3A00%3A00.000000Z\
        &started_before=2026-02-01T00%3A00%3A00.000000Z&limit=6";
    server.on(&format!("GET /audit?{query}"), 200, &json!({"results": []}));
    let home = Home::logged_in(&server);
    let ended = home.run(&[
        "audit",
        "list",
        "--actor=admin",
        "--action=roles_changed",
        "--target=bob/x",
        "--after=2026-01-01T00:00:00Z",
        "--before=2026-02-01T01:00:00+01:00",
        "--limit=5",
    ]);
    assert_eq!(ended.stderr, "Nothing found.\n");
    assert_eq!(ended.success(), "");
    home.run(&["audit", "list", "--after=7d"]).failure(1);
    let line = server.lines().pop().unwrap();
    assert!(line.starts_with("GET /audit?started_after=20"), "{line}");
    for (arguments, says) in [
        (["audit", "list", "--after=yesterday"], "how long ago, as in 7d"),
        (["audit", "list", "--action=hacked"], "possible values: login,"),
    ] {
        let stderr = home.run(&arguments).failure(2);
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn a_limit_is_kept_and_said() {
    let server = FakeServer::start();
    let three: Vec<Value> = (1..=3).map(entry).collect();
    server.on("GET /audit?limit=3", 200, &json!({"results": three}));
    server.on("GET /audit?limit=4", 200, &json!({"results": three}));
    let home = Home::logged_in(&server);
    let ended = home.run(&["audit", "list", "--limit=2"]);
    assert_eq!(
        ended.stderr,
        "There are more than these 2; `--limit 0` shows all.\n"
    );
    assert_eq!(ended.success().lines().count(), 3);
    let ended = home.run(&["audit", "list", "--limit=3"]);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.success().lines().count(), 4);
}

#[test]
fn all_pages_are_asked_for() {
    let server = FakeServer::start();
    let page: Vec<Value> = (1..=1000).map(entry).collect();
    server
        .on("GET /audit?limit=1000", 200, &json!({"results": page}))
        .on(
            "GET /audit?limit=1000&after_id=01890a5d-ac96-774b-bcce-000000001000",
            200,
            &json!({"results": [entry(1001)]}),
        );
    let home = Home::logged_in(&server);
    let listed = home.run(&["audit", "list", "--limit=0", "-c", "id"]).success();
    assert_eq!(listed.lines().count(), 1002);
}

#[test]
fn many_changes_are_cut_in_the_table_only() {
    let server = FakeServer::start();
    let mut started = entry(1);
    for number in 0..50 {
        started["changes"][format!("option-{number}")] = json!({"before": null, "after": "ä"});
    }
    server.on("GET /audit?limit=101", 200, &json!({"results": [started]}));
    let home = Home::logged_in(&server);
    let table = home.run(&["audit", "list", "-c", "changes"]).success();
    assert_eq!(table.lines().nth(1).unwrap().chars().count(), 121, "{table}");
    let whole = home.run(&["audit", "list", "-o", "json"]).success();
    assert!(whole.contains("option-49"), "{whole}");
}

#[test]
fn who_may_not_is_told() {
    let server = FakeServer::start();
    server.on(
        "GET /audit?limit=101",
        403,
        &json!({"message": "your roles do not allow this"}),
    );
    let stderr = Home::logged_in(&server).run(&["audit", "list"]).failure(1);
    assert!(stderr.contains("your roles do not allow this"), "{stderr}");
}
