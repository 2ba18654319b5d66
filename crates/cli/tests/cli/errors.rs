//! Failures: exit codes, and one clear line that says what to do.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use serde_json::json;

use crate::support::{FakeServer, Home, TOKEN, key, user};

#[test]
fn wrong_usage_ends_with_two() {
    let home = Home::new();
    for (arguments, says) in [
        (&["tokens", "create", "--lifetime", "30"][..], "without a unit"),
        (&["tokens", "create", "--lifetime", "1.5d"], "is not a lifetime"),
        (
            &["tokens", "create", "--scope", "workspace:read"],
            "unknown scope",
        ),
        (&["tokens", "list", "-c", "colour"], "invalid value 'colour'"),
        (&["tokens", "list", "-o", "xml"], "invalid value 'xml'"),
        (&["tokens", "rm"], "NAME|ID|TOKEN"),
        (
            &["users", "edit-roles", "bob", "--roles", "king"],
            "unknown role \"king\"",
        ),
        (&["users", "edit-roles", "bob"], "give --roles"),
        (
            &["users", "create", "--service-account", "--email", "a@b"],
            "no e-mail address",
        ),
        (&["nonsense"], "unrecognized subcommand"),
        (&["login", "ftp://a.example"], "must begin with http"),
        (&["login"], "name the server"),
        (&["completion"], "name the shell"),
    ] {
        let stderr = home.run(arguments).failure(2);
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}

#[test]
fn without_a_login_it_says_how_to_log_in() {
    let home = Home::new();
    for arguments in [
        &["whoami"][..],
        &["tokens", "list"],
        &["logout", "-y"],
        &["login", "token"],
    ] {
        let stderr = home.run(arguments).failure(1);
        assert!(
            stderr.contains("run `coder login URL`"),
            "{arguments:?}: {stderr}"
        );
    }
    let stderr = home.run(&["--url", "http://127.0.0.1:9", "whoami"]).failure(1);
    assert!(
        stderr.contains("run `coder login http://127.0.0.1:9/`"),
        "{stderr}"
    );
}

#[test]
fn an_unreachable_server_is_one_line() {
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let home = Home::new().with("CODER_SESSION_TOKEN", TOKEN);
    let url = format!("http://{address}");
    let stderr = home.run(&["--url", &url, "whoami"]).failure(1);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.starts_with(&format!("error: cannot reach {url}/: "))
            && stderr.contains("is the server running"),
        "{stderr}"
    );
    let verbose = home.run(&["-v", "--url", &url, "whoami"]).failure(1);
    assert!(verbose.contains("caused by:"), "{verbose}");
}

#[test]
fn a_server_of_another_kind_is_recognised() {
    let server = FakeServer::start();
    let home = Home::logged_in(&server);
    for (status, body) in [
        (200, "<html>hello</html>"),
        (404, "not found"),
        (401, "<html>sign in</html>"),
        (502, "bad gateway"),
        (200, "{\"login\":\"octocat\"}"),
        (500, "[]"),
    ] {
        server.on_text("GET /users/me", status, body, &[]);
        let stderr = home.run(&["whoami"]).failure(1);
        assert!(
            stderr.contains("is this the URL of a coder server?"),
            "{body}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn redirects_are_not_followed() {
    let (server, elsewhere) = (FakeServer::start(), FakeServer::start());
    let target = format!("{}api/v2/users/me", elsewhere.url);
    server.on_text("GET /users/me", 307, "", &[("location", &target)]);
    let stderr = Home::logged_in(&server).run(&["whoami"]).failure(1);
    assert!(stderr.contains(elsewhere.url.trim_end_matches('/')), "{stderr}");
    assert!(elsewhere.asked().is_empty(), "the token stays here");
}

#[test]
fn an_expired_session_says_so() {
    let server = FakeServer::start();
    server.on("GET /users/me", 401, &json!({"message": "signed out or expired"}));
    let home = Home::logged_in(&server);
    let stderr = home.run(&["whoami"]).failure(1);
    assert_eq!(
        stderr,
        format!(
            "error: your session has expired or was removed; run `coder login {}`\n",
            server.url
        )
    );
    let stderr = home.run(&["whoami", "--token", TOKEN]).failure(1);
    assert!(
        stderr.contains("--token or CODER_SESSION_TOKEN was refused"),
        "{stderr}"
    );
    assert!(!stderr.contains("ABCDEF"), "{stderr}");
}

#[test]
fn a_refusal_names_the_fields() {
    let server = FakeServer::start();
    server
        .on(
            "GET /users/me/keys/tokens/tokenconfig",
            200,
            &json!({"max_token_lifetime": 1_i64 << 62}),
        )
        .on(
            "POST /users/me/keys/tokens",
            409,
            &json!({
                "message": "this name is taken",
                "detail": "remove the other token first\u{1b}[2J",
                "validations": [{"field": "token_name", "detail": "already in use"}],
            }),
        );
    let home = Home::logged_in(&server);
    let stderr = home.run(&["tokens", "create", "-n", "ci"]).failure(1);
    insta::assert_snapshot!("a_refusal", stderr);
    let verbose = home.run(&["tokens", "create", "-n", "ci", "-v"]).failure(1);
    assert!(
        verbose.contains("POST http://127.0.0.1:") && verbose.contains("409 Conflict"),
        "{verbose}"
    );
}

#[test]
fn the_session_is_sent_to_its_own_server_only() {
    let (server, other) = (FakeServer::start(), FakeServer::start());
    let home = Home::logged_in(&server);
    let stderr = home.run(&["whoami", "--url", &other.url]).failure(1);
    assert!(
        stderr.contains("you are logged in to") && stderr.contains(&other.url),
        "{stderr}"
    );
    assert!(other.asked().is_empty());
}

#[test]
fn headers_of_the_caller_are_added_and_their_faults_do_not_show_them() {
    let server = FakeServer::start();
    server.on(
        "GET /users/me/keys/tokens?include_all=false&include_expired=false&limit=1000",
        200,
        &json!([]),
    );
    let home = Home::logged_in(&server).with("CODER_HEADER", "X-One=1\nX-Two=2");
    home.run(&["tokens", "list"]).success();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.headers["x-one"], "1");
    assert_eq!(asked.headers["x-two"], "2");
    assert_eq!(asked.token.as_deref(), Some(TOKEN));
    let agent = asked.headers["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("coder-cli/"), "{agent}");
    let stderr = home.run(&["tokens", "list", "--header", "hunter2"]).failure(2);
    assert!(
        stderr.contains("header number 1") && !stderr.contains("hunter2"),
        "{stderr}"
    );
}

#[test]
fn a_closed_pipe_is_success() {
    let server = FakeServer::start();
    let many: Vec<_> = (0..999).map(|n| key(&format!("{n:010}"), "x", "alice")).collect();
    server.on(
        "GET /users/me/keys/tokens?include_all=false&include_expired=false&limit=1000",
        200,
        &json!(many),
    );
    let home = Home::logged_in(&server);
    let mut child = home
        .command(&["tokens", "list", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_server_on_this_machine_is_not_reached_through_a_proxy() {
    let (server, proxy) = (FakeServer::start(), FakeServer::start());
    server.on("GET /users/me", 200, &user("alice", &[]));
    let mut home = Home::logged_in(&server);
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        home = home.with(variable, &proxy.url);
    }
    home.run(&["whoami"]).success();
    assert!(proxy.asked().is_empty());

    // Another one is, and the proxy gets the whole URL.
    let home = home.with("CODER_SESSION_TOKEN", TOKEN);
    home.run(&["whoami", "--url", "http://coder.example"]).failure(1);
    assert_eq!(proxy.lines(), ["GET http://coder.example/users/me"]);
}

#[test]
fn plain_http_where_tls_is_expected_is_told() {
    let server = FakeServer::start();
    let url = server.url.replace("http://", "https://");
    let stderr = Home::new()
        .with("CODER_SESSION_TOKEN", TOKEN)
        .run(&["whoami", "--url", &url])
        .failure(1);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: cannot "), "{stderr}");
    assert!(server.asked().is_empty());
}
