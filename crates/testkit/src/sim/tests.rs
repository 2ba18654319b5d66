//! The simulated provider over real connections.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Coding, Sim, SimConfig, respond::Route};

type Http = Client<HttpConnector, Full<Bytes>>;

fn client(h2: bool) -> Http {
    Client::builder(TokioExecutor::new()).http2_only(h2).build_http()
}

async fn sim() -> Sim {
    Sim::start(SimConfig::default()).await.unwrap()
}

async fn post(
    http: &Http,
    sim: &Sim,
    path: &str,
    body: &Value,
) -> (http::response::Parts, Result<Bytes, hyper::Error>) {
    let request = Request::post(format!("{}{path}", sim.base_url()))
        .header("authorization", "Bearer key")
        .body(Full::from(body.to_string()))
        .unwrap();
    let (head, body) = http.request(request).await.unwrap().into_parts();
    (
        head,
        body.collect().await.map(http_body_util::Collected::to_bytes),
    )
}

fn message(text: &str) -> Value {
    json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "input": text,
        "max_tokens": 9, "messages": [{"role": "user", "content": text}]})
}

const STREAMS: [&str; 3] = [
    "/v1/messages",
    "/v1/chat/completions",
    "/backend-api/codex/responses",
];

#[tokio::test]
async fn sequences() {
    for path in STREAMS {
        for words in ["chunks=2 reasoning cached=900", "tools=2", "error_event_after=2"] {
            let sim = sim().await;
            let text = format!("Hi [[sim: {words}]]");
            let (head, body) = post(&client(false), &sim, path, &message(&text)).await;
            assert_eq!(head.status, StatusCode::OK);
            let name = format!("{} {words}", path.rsplit('/').next().unwrap()).replace([' ', '='], "_");
            insta::assert_snapshot!(name, String::from_utf8(body.unwrap().to_vec()).unwrap());
        }
    }
}

#[tokio::test]
async fn documents() {
    for path in STREAMS {
        let sim = sim().await;
        let mut body = message("Hi [[sim: reasoning]]");
        body["stream"] = json!(false);
        let (head, body) = post(&client(false), &sim, path, &body).await;
        assert_eq!(head.headers["content-type"], "application/json");
        let value: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        insta::assert_json_snapshot!(format!("{}_document", path.rsplit('/').next().unwrap()), value);
    }
}

#[tokio::test]
async fn breaks_leave_the_body_incomplete() {
    for h2 in [false, true] {
        for kind in ["fin", "rst", "mid_event"] {
            for stream in [true, false] {
                let sim = sim().await;
                let mut body = message(&format!("Hi [[sim: break_after=2 break={kind}]]"));
                body["stream"] = json!(stream);
                let (_, body) = post(&client(h2), &sim, "/v1/messages", &body).await;
                assert!(body.is_err(), "h2 {h2}, {kind}, stream {stream}");
                let answers = sim.answers();
                assert!(!answers[0].complete && !answers[0].body.is_empty());
                assert_eq!(
                    sim.requests()[0].client_gone_after,
                    None,
                    "the break is the provider's own"
                );
            }
        }
    }
}

#[tokio::test]
async fn random_cuts_change_no_byte() {
    let mut bodies = Vec::new();
    for words in ["seed=1", "split=random seed=7", "split=random seed=8"] {
        let sim = sim().await;
        let request = message("Grüße 🦀").to_string();
        let request = Request::post(format!("{}/v1/messages", sim.base_url()))
            .header("x-api-key", "key")
            .header("x-sim", words)
            .body(Full::from(request))
            .unwrap();
        let mut body = client(false).request(request).await.unwrap().into_body();
        let (mut all, mut frames) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            frames.push(data.len());
            all.extend_from_slice(&data);
        }
        assert_eq!(sim.answers()[0].body, all);
        bodies.push((all, frames));
    }
    assert_eq!(bodies[0].0, bodies[1].0);
    assert_eq!(bodies[0].0, bodies[2].0);
    assert_ne!(bodies[1].1, bodies[2].1, "another seed cuts elsewhere");
    assert!(bodies[1].1.len() > bodies[0].1.len());
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    for h2 in [false, true] {
        let sim = sim().await;
        let request = Request::post(format!("{}/v1/messages", sim.base_url()))
            .header("x-api-key", "key")
            .body(Full::from(message("Hi [[sim: stall_after=3]]").to_string()))
            .unwrap();
        let mut body = client(h2).request(request).await.unwrap().into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        drop(body);
        let seen = sim
            .wait_until(|all| all.iter().any(|one| one.client_gone_after.is_some()))
            .await;
        assert_eq!(
            seen[0].client_gone_after,
            Some(seen[0].answer.as_ref().unwrap().body.len() as u64)
        );
    }
}

#[tokio::test]
async fn gates_hold_until_opened() {
    let sim = sim().await;
    let (http, body) = (client(false), message("Hi [[sim: gate=a gate_after=1]]"));
    let answer = post(&http, &sim, "/v1/messages", &body);
    let open = async {
        sim.wait_at_gate("a", 1).await;
        assert!(!sim.answers()[0].complete);
        sim.open_gate("a");
    };
    let ((_, body), ()) = tokio::join!(answer, open);
    assert!(body.unwrap().ends_with(b"\n\n"));
    assert!(sim.answers()[0].complete);
}

/// Headers, `x-sim`, and the status that they lead to.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16);

#[tokio::test]
async fn errors_and_credentials() {
    let sim = Sim::start(SimConfig {
        accept_keys: vec!["good".into()],
        ..SimConfig::default()
    })
    .await
    .unwrap();
    let cases: [Case<'_>; 7] = [
        (&[("x-api-key", "good")], "", 200),
        (&[("authorization", "Bearer good")], "", 200),
        (&[("authorization", "Bearer bad")], "", 401),
        (&[], "", 401),
        (
            &[("x-api-key", "good"), ("authorization", "Bearer other")],
            "",
            401,
        ),
        (&[("x-api-key", "good")], "error=529", 529),
        (&[("x-api-key", "good")], "no_such_thing", 400),
    ];
    for (headers, words, status) in cases {
        let mut request = Request::post(format!("{}/v1/messages", sim.base_url())).header("x-sim", words);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(message("Hi").to_string())).unwrap();
        let answer = client(false).request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{headers:?} {words}");
    }
    let (head, body) = post(&client(false), &sim, "/v1/responses", &message("Hi")).await;
    assert_eq!(head.status, 401);
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "invalid_api_key");
}

#[tokio::test]
async fn encoded_and_unpleasant_answers() {
    let sim = sim().await;
    let http = client(false);
    let (_, plain) = post(
        &http,
        &sim,
        "/v1/chat/completions",
        &message("Hi [[sim: size=5000]]"),
    )
    .await;
    assert!(plain.unwrap().len() > 5000);
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Br, Coding::Zstd] {
        let text = format!(
            "Hi [[sim: encoded={} crlf comments extra_headers]]",
            coding.name()
        );
        let (head, body) = post(&http, &sim, "/v1/messages", &message(&text)).await;
        assert_eq!(head.headers["content-encoding"], coding.name());
        assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(head.headers["connection"], "x-sim-hop");
        let plain = String::from_utf8(coding.decode(&body.unwrap()).unwrap()).unwrap();
        assert!(
            plain.starts_with(": keep-alive\r\n\r\nevent: message_start\r\n"),
            "{plain}"
        );
    }
    let (head, body) = post(&http, &sim, "/v1/messages", &message("Hi [[sim: status=204]]")).await;
    assert_eq!((head.status.as_u16(), body.unwrap().len()), (204, 0));
}

#[tokio::test]
async fn a_body_is_left_unread() {
    let sim = sim().await;
    let mut stream = tokio::net::TcpStream::connect(sim.address()).await.unwrap();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: sim\r\nx-api-key: k\r\nx-sim: no_read error=413\r\ncontent-length: 9999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    let seen = sim.wait_for_requests(1).await;
    assert!(!seen[0].body_complete && seen[0].body.is_empty());
    sim.shutdown().await;
}

#[tokio::test]
async fn everything_received_is_recorded_and_served() {
    let sim = sim().await;
    let request = Request::post(format!("{}/v1/messages?beta=true&x=%20", sim.base_url()))
        .header("x-twice", "1")
        .header("x-api-key", "key")
        .header("x-twice", "2")
        .body(Full::from("{\"messages\":[]}"))
        .unwrap();
    client(true).request(request).await.unwrap();
    let seen = sim.wait_for_requests(1).await;
    assert_eq!(seen[0].query.as_deref(), Some("beta=true&x=%20"));
    assert_eq!(seen[0].header("x-twice"), [b"1", b"2"]);
    assert_eq!(
        (seen[0].version, seen[0].body.as_ref()),
        (http::Version::HTTP_2, b"{\"messages\":[]}".as_ref())
    );
    let get = Request::get(format!("{}/_sim/requests", sim.base_url()))
        .body(Full::default())
        .unwrap();
    let body = client(false)
        .request(get)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let all: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(all[0]["body_base64"], "eyJtZXNzYWdlcyI6W119");
}

#[tokio::test]
async fn stored_responses() {
    let sim = sim().await;
    let (_, body) = post(
        &client(false),
        &sim,
        "/v1/responses",
        &json!({"model": "m", "input": "Hi"}),
    )
    .await;
    let made: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let url = format!("{}/v1/responses/{}", sim.base_url(), made["id"].as_str().unwrap());
    for (method, path, status) in [
        ("GET", "", 200),
        ("GET", "/input_items", 200),
        ("DELETE", "", 200),
        ("GET", "", 404),
    ] {
        let request = Request::builder().method(method).uri(format!("{url}{path}"));
        let request = request
            .header("authorization", "Bearer key")
            .body(Full::default())
            .unwrap();
        assert_eq!(
            client(false).request(request).await.unwrap().status(),
            status,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn tls_starts_with_a_made_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let tls = super::TlsPem {
        certificates: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    };
    let sim = Sim::start(SimConfig {
        tls: Some(tls),
        ..SimConfig::default()
    })
    .await
    .unwrap();
    assert!(sim.base_url().starts_with("https://127.0.0.1:"));
    let bad = super::TlsPem {
        certificates: b"no pem".to_vec(),
        key: Vec::new(),
    };
    assert!(
        Sim::start(SimConfig {
            tls: Some(bad),
            ..SimConfig::default()
        })
        .await
        .is_err()
    );
}

#[test]
fn routes() {
    assert_eq!(Route::of("/v1/messages/count_tokens"), Route::CountTokens);
    assert_eq!(Route::of("/backend-api/codex/responses"), Route::Responses);
    assert_eq!(Route::of("/v1/responses/compact"), Route::Compact);
    assert_eq!(Route::of("/v1/responses/r/input_items"), Route::InputItems("r"));
    assert_eq!(Route::of("/v1/conversations/c"), Route::Conversation("c"));
    assert_eq!(Route::of("/v1/nothing"), Route::Unknown);
}
