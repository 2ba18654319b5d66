//! Exports: as long as it takes, whole or visibly not.

use serde_json::{Value, json};

use crate::recorded::{Asker, Recorded};
use crate::support::{Server, id_of};

/// An export that has begun.
async fn begin(server: &Server, token: &str, accept: &str, query: &str) -> reqwest::Response {
    let request = server
        .http()
        .get(format!("{}/api/v2/aibridge/interceptions?{query}", server.base()))
        .header("accept", accept)
        .header("coder-session-token", token);
    request.send().await.unwrap()
}

async fn rows(server: &Server, token: &str, query: &str) -> Vec<Value> {
    let response = begin(server, token, "application/x-ndjson", query).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn an_export_is_what_the_pages_are() {
    let (server, owner) = Server::with_owner().await;
    let asker = Asker::of(&server, &owner).await;
    let recorded = Recorded::beside(&server).await;
    recorded
        .add((0..10_001).map(|second| asker.asks(second, &format!("prompt {second}"))))
        .await;

    let mut paged: Vec<Value> = Vec::new();
    while paged.len() < 5000 {
        let after = paged.last().map_or(String::new(), |one| {
            format!("&after_id={}", one["id"].as_str().unwrap())
        });
        let page = server
            .get(&format!("/aibridge/interceptions?limit=1000{after}"), &owner)
            .await
            .json();
        assert_eq!(
            (&page["count"], &page["count_capped"]),
            (&json!(10_000), &json!(true))
        );
        paged.extend(page["results"].as_array().unwrap().iter().cloned());
    }
    assert!(rows(&server, &owner, "limit=5000").await == paged);
    let csv = begin(&server, &owner, "text/csv", "limit=5000")
        .await
        .text()
        .await
        .unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let ids: Vec<String> = reader
        .records()
        .map(|record| record.unwrap()[0].to_owned())
        .collect();
    assert!(ids.iter().eq(paged.iter().map(|one| one["id"].as_str().unwrap())));

    assert_eq!(rows(&server, &owner, "").await.len(), 10_001);
    let last = paged.last().unwrap()["id"].as_str().unwrap();
    assert_eq!(
        rows(&server, &owner, &format!("after_id={last}")).await.len(),
        5001
    );
    assert_eq!(rows(&server, &owner, "search=prompt+77").await.len(), 111);
    let page = server
        .get("/aibridge/interceptions?limit=1&search=prompt+77", &owner)
        .await
        .json();
    assert_eq!(
        (&page["count"], &page["count_capped"]),
        (&json!(111), &json!(false))
    );
}

/// More than stands in buffers between server and client.
async fn much(server: &Server, owner: &str) {
    let asker = Asker::of(server, owner).await;
    let recorded = Recorded::beside(server).await;
    let prompt = "x".repeat(32 * 1024);
    recorded
        .add((0..1500).map(|second| asker.asks(second, &prompt)))
        .await;
}

#[tokio::test]
async fn a_revoked_token_cuts_its_exports_and_no_others() {
    let (server, owner) = Server::with_owner().await;
    much(&server, &owner).await;
    let token = server.token(&owner, json!({})).await;
    let other = server.token(&owner, json!({})).await;
    let mut cut = begin(&server, &token, "text/csv", "").await;
    assert!(cut.chunk().await.unwrap().is_some());
    let mut whole = begin(&server, &other, "application/x-ndjson", "").await;
    assert!(whole.chunk().await.unwrap().is_some());

    let removed = server
        .delete(&format!("/users/me/keys/{}", id_of(&token)), &owner)
        .await;
    assert_eq!(removed.status, 204, "{removed:?}");
    let broken = loop {
        match cut.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "it looks complete");
    while whole.chunk().await.unwrap().is_some() {}
}

#[tokio::test]
async fn few_exports_run_at_once_and_the_end_of_one_makes_room() {
    let (server, owner) = Server::with_owner().await;
    much(&server, &owner).await;
    let first = begin(&server, &owner, "text/csv", "").await;
    let second = begin(&server, &owner, "text/csv", "").await;
    assert_eq!(
        (first.status(), second.status()),
        (200.try_into().unwrap(), first.status())
    );
    let third = begin(&server, &owner, "text/csv", "").await;
    assert_eq!(third.status(), 429);
    assert!(third.headers().contains_key("retry-after"));
    // Pages are no exports.
    assert_eq!(server.get("/aibridge/interceptions", &owner).await.status, 200);
    drop(first);
    let mut tries = 0;
    while begin(&server, &owner, "text/csv", "limit=1").await.status() != 200 {
        tries += 1;
        assert!(
            tries < 1000,
            "the place of an export that its client left is not given back"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn few_long_texts_wait_for_their_clients() {
    let (server, owner) = Server::with_owner().await;
    let asker = Asker::of(&server, &owner).await;
    let recorded = Recorded::beside(&server).await;
    let long = "x".repeat(12 * 1024 * 1024);
    recorded
        .add([asker.asks(1, &long).in_session("long"), asker.asks(2, "short")])
        .await;
    let all = server.get("/aibridge/interceptions", &owner).await.json();
    let id = |place: usize| all["results"][place]["id"].as_str().unwrap().to_owned();
    let get = async |path: String| {
        let request = server
            .http()
            .get(format!("{}{path}", server.base()))
            .header("cookie", format!("coder_session={owner}"))
            .header("coder-session-token", &owner);
        request.send().await.unwrap()
    };
    let record = format!("/api/v2/aibridge/interceptions/{}", id(1));
    let pages = [
        record.clone(),
        "/api/v2/aibridge/sessions/long".to_owned(),
        format!("/ai-gateway/interceptions/{}/text/prompt", id(1)),
        format!("/ai-gateway/interceptions/{}/all.json", id(1)),
    ];
    for path in &pages {
        let reply = get(path.clone()).await;
        assert_eq!(reply.status(), 200, "{path}");
        let said = reply.content_length();
        let text = reply.text().await.unwrap();
        assert_eq!(said, Some(text.len() as u64), "{path}");
        assert!(text.contains(&long), "{path}");
    }
    let (first, second) = (get(record.clone()).await, get(record.clone()).await);
    assert_eq!(
        (first.status(), second.status()),
        (200.try_into().unwrap(), first.status())
    );
    for path in pages {
        assert_eq!(get(path.clone()).await.status(), 429, "{path}");
    }
    let short = format!("/api/v2/aibridge/interceptions/{}", id(0));
    assert_eq!(get(short).await.status(), 200);
    drop(first);
    let mut tries = 0;
    while get(record.clone()).await.status() != 200 {
        tries += 1;
        assert!(
            tries < 1000,
            "the place of a text that its client left is not given back"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_export_that_cannot_go_on_never_looks_complete() {
    let (server, owner) = Server::with_owner().await;
    much(&server, &owner).await;
    let mut export = begin(&server, &owner, "application/x-ndjson", "").await;
    assert!(export.chunk().await.unwrap().is_some());
    for name in ["coder.db", "coder.db-wal"] {
        let path = server.directory().join(name);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(4096).unwrap();
    }
    loop {
        match export.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it looks complete"),
            Err(_) => break,
        }
    }
}
