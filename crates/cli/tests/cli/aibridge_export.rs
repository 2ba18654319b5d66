//! `coder aibridge ... list -o json|csv`: what the server streams is copied.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::aibridge::{interception, others};
use crate::support::{FakeServer, Home, TOKEN};

fn lines_of(results: &[Value]) -> String {
    let lines: Vec<String> = results.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

#[test]
fn json_and_csv_are_copied() {
    let server = FakeServer::start();
    let results = [vec![interception(3)], others()].concat();
    let ndjson = [("content-type", "application/x-ndjson")];
    server.on_text("GET /aibridge/interceptions", 200, &lines_of(&results), &ndjson);
    let home = Home::logged_in(&server);
    let list = ["aibridge", "interceptions", "list", "-o"];
    let ended = home.run(&[&list[..], &["json"]].concat());
    assert_eq!(ended.stderr, "", "no bar where there is no terminal");
    let text = ended.success();
    insta::assert_snapshot!("aibridge_interceptions_json", text);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!(results));
    assert_eq!(server.asked()[0].headers["accept"], "application/x-ndjson");
    assert_eq!(server.lines().len(), 1);

    let csv = "id,prompt\r\n1,\"a\nb\"\r\n";
    server.on_text(
        "GET /aibridge/interceptions?limit=7",
        200,
        csv,
        &[("content-type", "text/csv; charset=utf-8; header=present")],
    );
    let copied = home.run(&[&list[..], &["csv", "--limit=7"]].concat()).success();
    assert_eq!(copied, csv);

    server.on_text("GET /aibridge/sessions", 200, "", &ndjson);
    let none = home
        .run(&["aibridge", "sessions", "list", "--all", "-o", "json"])
        .success();
    assert_eq!(none, "[]\n");
}

#[test]
fn what_is_not_an_export_is_not_copied() {
    let server = FakeServer::start();
    server
        .on(
            "GET /aibridge/interceptions",
            200,
            &json!({"count": 0, "results": []}),
        )
        .on(
            "GET /aibridge/sessions",
            400,
            &json!({"message": "no", "validations": [{"field": "limit", "detail": "too many"}]}),
        );
    let home = Home::logged_in(&server);
    let stderr = home
        .run(&["aibridge", "interceptions", "list", "-o", "csv"])
        .failure(1);
    assert!(stderr.contains("is this the URL of a coder server?"), "{stderr}");
    let stderr = home
        .run(&["aibridge", "sessions", "list", "-o", "csv"])
        .failure(1);
    assert_eq!(stderr, "error: no\n  limit: too many\n");
}

/// A server that sends `pieces` of an endless CSV and then goes away.
fn broken_server(pieces: usize) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n";
        let piece = format!(
            "{:x}\r\n{}\r\n",
            64 * 1024,
            "a,b\r\nc,d\n".repeat(64 * 1024 / 9 + 1).split_at(64 * 1024).0
        );
        let _ = socket.write_all(head.as_bytes());
        for _ in 0..pieces {
            if socket.write_all(piece.as_bytes()).is_err() {
                break;
            }
        }
    });
    (url, thread)
}

#[test]
fn an_export_that_breaks_off_is_a_failure() {
    let (url, thread) = broken_server(1);
    let home = Home::new();
    let ended = home.run(&[
        "aibridge",
        "interceptions",
        "list",
        "-o",
        "csv",
        "--url",
        &url,
        "--token",
        TOKEN,
    ]);
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.stderr,
        "error: the server broke its answer off; what was printed is not all of it\n"
    );
    assert_eq!(ended.stdout.len(), 64 * 1024);
    thread.join().unwrap();
}

#[test]
fn a_reader_that_has_enough_ends_an_export_well() {
    let (url, thread) = broken_server(1_000_000);
    let home = Home::new();
    let mut child = home
        .command(&[
            "aibridge",
            "interceptions",
            "list",
            "-o",
            "csv",
            "--url",
            &url,
            "--token",
            TOKEN,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
    thread.join().unwrap();
}
