//! The description of the API says what is there.

use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn every_described_operation_exists_and_every_other_method_does_not() {
    let (server, owner) = Server::with_owner().await;
    let document = server.get("/openapi.json", "").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 20, "{}", paths.len());
    for (path, operations) in paths {
        let concrete = path
            .replace("{user}", "nobody")
            .replace("{id}", "0123456789")
            .replace("{name}", "x");
        for method in ["get", "post", "put", "delete"] {
            let is_described = operations.get(method).is_some();
            let body = (method != "get").then(|| json!({"nonsense": true}));
            let reply = server
                .send(|http, base| {
                    let mut request = http
                        .request(
                            method.to_uppercase().parse().unwrap(),
                            format!("{base}{concrete}"),
                        )
                        .header("coder-session-token", &owner);
                    if path.ends_with("/logout") {
                        request = request.header("coder-session-token", "none");
                    }
                    match body {
                        Some(body) => request.json(&body),
                        None => request,
                    }
                })
                .await;
            assert_eq!(
                reply.status != 405,
                is_described,
                "{method} {path}: {}",
                reply.status
            );
            assert!(reply.status < 500, "{method} {path}");
            assert_ne!(
                reply.text, r#"{"message":"there is nothing here"}"#,
                "{method} {path} is not routed"
            );
        }
    }
}

#[tokio::test]
async fn every_reference_in_it_leads_somewhere() {
    let server = Server::empty().await;
    let document = server.get("/openapi.json", "").await.json();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(reference) if key == "$ref" => references.push(reference.to_owned()),
                    _ => collect(value, references),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_build_says_who_it_is() {
    let server = Server::empty().await;
    let info = server.get("/buildinfo", "").await.json();
    assert!(info["version"].as_str().unwrap().starts_with('v'));
    assert_eq!(info["dashboard_url"], "https://gateway.example.com/");
    assert_eq!(info["telemetry"], false);
}
