//! Logging in through a browser, with the test in the place of the browser.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::support::{FakeServer, Home, TOKEN, user};

const SESSION: &str = "cdr_0000000000_0000000000000000000000";

fn server() -> FakeServer {
    let server = FakeServer::start();
    server
        .on("GET /users/first", 200, &json!({"message": "set up"}))
        .on("POST /users/login/code", 201, &json!({"session_token": SESSION}))
        .on("GET /users/me", 200, &user("alice", &[]));
    server
}

/// The program while it waits, and the address that it asks to have opened.
fn start(home: &Home, server: &FakeServer) -> (Child, Url) {
    let mut child = home
        .command(&["login", &server.url, "--web", "--no-open"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines
        .find_map(|line| line.unwrap().trim().parse::<Url>().ok())
        .unwrap();
    (child, address)
}

fn query(address: &Url, name: &str) -> String {
    let pair = address.query_pairs().find(|(found, _)| found == name);
    pair.unwrap().1.into_owned()
}

/// What a browser would be answered.
fn get(port: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_code_that_the_browser_brings_becomes_a_session() {
    let (server, home) = (server(), Home::new().with("CODER_SESSION_TOKEN", TOKEN));
    let (child, address) = start(&home, &server);
    assert_eq!(address.path(), "/cli-auth");
    let (port, state) = (query(&address, "port"), query(&address, "state"));
    // What is not the answer is turned away, and somebody who says nothing keeps nobody waiting.
    let silent = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    for other in ["/favicon.ico", "/callback?code=evil&state=guessed"] {
        assert!(get(&port, other).starts_with("HTTP/1.1 404 "), "{other}");
    }
    let reply = get(&port, &format!("/callback?code=the-code&state={state}"));
    assert!(reply.starts_with("HTTP/1.1 303 "), "{reply}");
    assert!(
        reply.contains(&format!("Location: {}cli-auth/done\r\n", server.url)),
        "{reply}"
    );
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    drop(silent);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout, format!("Logged in to {} as alice.\n", server.url));
    let kept = fs::read_to_string(home.config().join("session")).unwrap();
    assert_eq!(kept.trim(), SESSION);

    let asked = server.asked();
    let exchange = asked
        .iter()
        .find(|asked| asked.line == "POST /users/login/code")
        .unwrap();
    let body: Value = serde_json::from_str(&exchange.body).unwrap();
    assert_eq!(body["code"], "the-code");
    let verifier = body["verifier"].as_str().unwrap();
    assert!(verifier.len() >= 43 && !address.as_str().contains(verifier));
    let digest = Sha256::digest(verifier.as_bytes());
    let digest: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(query(&address, "challenge"), digest.concat());
}

#[test]
fn a_code_that_the_server_refuses_is_told_as_the_server_tells_it() {
    let (server, home) = (server(), Home::new());
    server.on("POST /users/login/code", 401, &json!({"message": "start again"}));
    let (child, address) = start(&home, &server);
    let target = format!("/callback?code=x&state={}", query(&address, "state"));
    get(&query(&address, "port"), &target);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!home.config().exists(), "nothing is kept");
}
