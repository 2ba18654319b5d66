//! Logging in and out, and what is kept of it.

use std::fs;

use serde_json::{Value, json};

use crate::support::{FakeServer, Home, TOKEN, user};

/// What the server gives out in these tests; it is stored as it comes.
const SESSION: &str = "cdr_0000000000_0000000000000000000000";

fn set_up() -> FakeServer {
    let server = FakeServer::start();
    server
        .on("GET /users/first", 200, &json!({"message": "set up"}))
        .on("POST /users/login", 201, &json!({"session_token": SESSION}))
        .on("GET /users/me", 200, &user("alice", &["owner"]));
    server
}

fn body(server: &FakeServer, line: &str) -> Value {
    let asked = server.asked();
    let asked = asked.iter().find(|asked| asked.line == line).unwrap();
    serde_json::from_str(&asked.body).unwrap()
}

#[test]
fn with_a_password_from_the_environment() {
    let server = set_up();
    let home = Home::new().with("CODER_LOGIN_PASSWORD", "correct horse");
    let ended = home.run(&["login", &server.url, "--email", "alice@example.com"]);
    assert_eq!(
        ended.success(),
        format!("Logged in to {} as alice.\n", server.url)
    );
    assert_eq!(
        body(&server, "POST /users/login"),
        json!({"email": "alice@example.com", "password": "correct horse"})
    );
    assert_eq!(
        fs::read_to_string(home.config().join("session")).unwrap().trim(),
        SESSION
    );
    assert_eq!(
        fs::read_to_string(home.config().join("url")).unwrap().trim(),
        server.url
    );
    assert_eq!(home.run(&["login", "token"]).success(), format!("{SESSION}\n"));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_session() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = set_up();
    let home = Home::new().with("CODER_LOGIN_PASSWORD", "p");
    home.run(&["login", &server.url, "--email", "a@b"]).success();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.config()), 0o700);
    assert_eq!(mode(home.config().join("session")), 0o600);
}

#[test]
fn with_answers_on_standard_input() {
    let server = set_up();
    let home = Home::new().with_input("alice@example.com\ncorrect horse\n");
    let ended = home.run(&["login", &server.url]);
    assert!(ended.stderr.contains("Password:"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("correct horse"));
    ended.success();
    let home = Home::new().with_input("alice@example.com\n");
    let stderr = home.run(&["login", &server.url]).failure(1);
    assert!(stderr.contains("CODER_LOGIN_PASSWORD"), "{stderr}");
}

#[test]
fn a_wrong_password_is_told_as_the_server_tells_it() {
    let server = set_up();
    server.on(
        "POST /users/login",
        401,
        &json!({"message": "wrong e-mail address or password"}),
    );
    let home = Home::new().with("CODER_LOGIN_PASSWORD", "hunter2hunter2");
    let stderr = home
        .run(&["login", &server.url, "--email", "a@b", "-v"])
        .failure(1);
    assert!(
        stderr.starts_with("error: wrong e-mail address or password\n"),
        "{stderr}"
    );
    assert!(!stderr.contains("hunter2"), "{stderr}");
    assert!(!home.config().exists(), "nothing is kept");
}

#[test]
fn a_token_is_exchanged_for_a_session() {
    let server = set_up();
    server.on("POST /users/me/keys", 201, &json!({"key": SESSION}));
    let home = Home::new().with("CODER_SESSION_TOKEN", TOKEN);
    home.run(&["login", &server.url]).success();
    assert_eq!(
        fs::read_to_string(home.config().join("session")).unwrap().trim(),
        SESSION
    );
    let asked = server.asked();
    let made = asked
        .iter()
        .find(|asked| asked.line == "POST /users/me/keys")
        .unwrap();
    assert_eq!(made.token.as_deref(), Some(TOKEN));

    let home = Home::new();
    home.run(&["login", &server.url, "--token", TOKEN, "--use-token-as-session"])
        .success();
    assert_eq!(
        fs::read_to_string(home.config().join("session")).unwrap().trim(),
        TOKEN
    );

    let stderr = Home::new()
        .run(&["login", &server.url, "--token", "sk-ant-hunter2"])
        .failure(1);
    assert!(stderr.contains("not of the form of a gateway token"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn the_first_user() {
    let server = set_up();
    server.on("GET /users/first", 404, &json!({"message": "no users yet"})).on(
        "POST /users/first",
        201,
        &json!({"user_id": "01890a5d-ac96-774b-bcce-b302099a8057", "organization_id": "00000000-0000-0000-0000-000000000000"}),
    );
    let home = Home::new()
        .with("CODER_FIRST_USER_PASSWORD", "correct horse")
        .with("CODER_FIRST_USER_CODE", "a-code");
    home.run(&[
        "login",
        &server.url,
        "--first-user-username",
        "alice",
        "--first-user-email",
        "alice@example.com",
        "--first-user-trial=false",
    ])
    .success();
    assert_eq!(
        body(&server, "POST /users/first"),
        json!({
            "email": "alice@example.com", "username": "alice", "password": "correct horse", "setup_code": "a-code",
        })
    );
    assert_eq!(
        body(&server, "POST /users/login"),
        json!({"email": "alice@example.com", "password": "correct horse"})
    );

    let stderr = Home::new().run(&["login", &server.url]).failure(1);
    assert!(stderr.contains("--first-user-username"), "{stderr}");
}

#[test]
fn the_stored_token_is_for_its_own_server() {
    let server = set_up();
    let home = Home::logged_in(&server);
    assert_eq!(home.run(&["login", "token"]).success(), format!("{TOKEN}\n"));
    let same = server.url.trim_end_matches('/');
    assert_eq!(
        home.run(&["login", "token", "--url", same]).success(),
        format!("{TOKEN}\n")
    );
    let stderr = home
        .run(&["login", "token", "--url", "https://other.example"])
        .failure(1);
    assert!(stderr.contains("https://other.example"), "{stderr}");
    assert!(server.asked().is_empty(), "nothing is asked");
}

#[test]
fn logging_out_asks_and_forgets() {
    let server = set_up();
    server.on("POST /users/logout", 200, &json!({"message": "logged out"}));
    let home = Home::logged_in(&server).with_input("no\n");
    assert_eq!(home.run(&["logout"]).code, 1);
    assert!(home.config().join("session").exists() && server.asked().is_empty());
    let stderr = Home::logged_in(&server).run(&["logout"]).failure(1);
    assert!(stderr.contains("answer yes beforehand with -y"), "{stderr}");

    let home = home.with_input("y\n");
    assert_eq!(home.run(&["logout"]).success(), "You are logged out.\n");
    assert!(!home.config().join("session").exists() && !home.config().join("url").exists());

    // The session is gone at the server already: what was asked for is so.
    server.on("POST /users/logout", 401, &json!({"message": "expired"}));
    let home = Home::logged_in(&server);
    assert_eq!(home.run(&["logout", "-y"]).success(), "You are logged out.\n");

    // The server cannot be told: the session is forgotten here, and that it may live on is said.
    server.on("POST /users/logout", 500, &json!({"message": "broken"}));
    let home = Home::logged_in(&server);
    let stderr = home.run(&["logout", "-y"]).failure(1);
    assert!(
        stderr.contains("may still honour it") && stderr.contains("broken"),
        "{stderr}"
    );
    assert!(!home.config().join("session").exists());
}

#[test]
fn a_given_token_is_logged_out_and_the_stored_session_stays() {
    let server = set_up();
    server.on("POST /users/logout", 200, &json!({"message": "logged out"}));
    let home = Home::logged_in(&server);
    fs::write(home.config().join("session"), SESSION).unwrap();
    home.run(&["logout", "-y", "--token", TOKEN]).success();
    assert_eq!(server.asked()[0].token.as_deref(), Some(TOKEN));
    assert!(home.config().join("session").exists());
}

#[test]
fn whoami() {
    let server = set_up();
    let home = Home::logged_in(&server);
    assert_eq!(
        home.run(&["whoami"]).success(),
        format!("Logged in to {} as alice (owner)\n", server.url)
    );
    let shown: Value = serde_json::from_str(&home.run(&["whoami", "-o", "json"]).success()).unwrap();
    assert_eq!(shown["url"], server.url);
    assert_eq!(shown["username"], "alice");
}
