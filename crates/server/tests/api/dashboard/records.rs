//! What was recorded, as pages: whose it is, what is filtered, and that none of it becomes markup.

use gateway_core::interception::{Mark, Outcome};

use super::browser::Browser;
use crate::scene::Scene;
use crate::support::Server;

/// All of it is before today.
const ALWAYS: &str = "/ai-gateway/sessions?from=2026-01-01";

/// Well-formed, and nothing's id.
const NOWHERE: &str = "0190a000-0000-7000-8000-000000000000";

const HOSTILE: &str = "</pre></title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

pub(super) async fn browser<'a>(scene: &'a Scene, name: &str) -> Browser<'a> {
    let email = if name == "owner" { "admin" } else { name };
    Browser::signed_in(&scene.server, &format!("{email}@example.com")).await
}

/// How many sessions a page lists.
fn listed(page: &str) -> usize {
    page.matches("class=\"name prompt\"").count()
}

#[tokio::test]
async fn everybody_sees_their_own_and_auditors_and_owners_all() {
    let scene = Scene::new().await;
    let bobs = scene.id(5).await;
    for (name, count) in [("alice", 3), ("bob", 2), ("auditor", 5), ("owner", 5)] {
        let sees_all = count == 5;
        let mut browser = browser(&scene, name).await;
        let page = browser.get(ALWAYS).await;
        assert_eq!((page.status, listed(&page.text)), (200, count), "{name}");
        assert_eq!(page.text.contains("The secret plan of Bob"), name != "alice");
        assert_eq!(page.text.contains("name=\"person\""), sees_all, "{name}");
        assert_eq!(page.text.contains("href=\"/audit\""), sees_all, "{name}");
        assert_eq!(
            page.text.contains("href=\"/ai-gateway/providers\""),
            sees_all,
            "{name}"
        );
        let status = if name == "alice" { 404 } else { 200 };
        for path in [
            format!("/ai-gateway/sessions/{bobs}"),
            format!("/ai-gateway/interceptions/{bobs}"),
            format!("/ai-gateway/interceptions/{bobs}/all.json"),
            format!("/ai-gateway/interceptions/{bobs}/text/prompt"),
        ] {
            let reply = browser.get(&path).await;
            assert_eq!(reply.status, status, "{name} {path}");
            assert_eq!(reply.headers["cache-control"], "no-store");
        }
        let status = if sees_all { 200 } else { 404 };
        for path in ["/audit", "/ai-gateway/providers"] {
            assert_eq!(browser.get(path).await.status, status, "{name} {path}");
        }
    }
    let others = format!("{ALWAYS}&person=bob");
    assert_eq!(listed(&browser(&scene, "alice").await.get(&others).await.text), 0);
    assert_eq!(
        listed(&browser(&scene, "auditor").await.get(&others).await.text),
        2
    );
}

#[tokio::test]
async fn nobody_sees_anything_without_signing_in() {
    let (server, _owner) = Server::with_owner().await;
    for path in [
        "/ai-gateway/sessions",
        "/ai-gateway/sessions/x",
        "/ai-gateway/interceptions/x/text/prompt",
        "/ai-gateway/export/sessions.csv",
        "/ai-gateway/usage",
        "/ai-gateway/providers",
        "/ai-gateway/proxy",
        "/ai-gateway/proxy/ca-cert.pem",
        "/audit",
    ] {
        let reply = Browser::new(&server).get(path).await;
        assert_eq!(reply.status, 303, "{path}");
        let location = reply.headers["location"].to_str().unwrap();
        assert!(location.starts_with("/login?next="), "{path} {location}");
    }
    // Of files back to the page that leads to them: what is saved in place of one would be the page that signs in.
    for (file, page) in [
        (
            "/ai-gateway/export/sessions.csv?from=",
            "/ai-gateway/sessions?from=",
        ),
        (
            "/ai-gateway/interceptions/1/all.json",
            "/ai-gateway/interceptions/1",
        ),
        ("/ai-gateway/proxy/ca-cert.pem", "/ai-gateway/proxy"),
    ] {
        let reply = Browser::new(&server).get(file).await;
        let login = url::Url::parse("http://local.invalid").unwrap();
        let login = login.join(super::browser::location(&reply)).unwrap();
        assert_eq!(login.query_pairs().next().unwrap().1, page, "{file}");
    }
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let scene = Scene::new().await;
    let mut browser = browser(&scene, "owner").await;
    for (query, count) in [
        ("", 5),
        ("&client=Codex", 1),
        ("&client=Nobody", 0),
        ("&provider=openai", 1),
        ("&model=bobs-model", 1),
        ("&text=CAKE", 1),
        ("&text=%25", 1),
        ("&person=alice", 3),
        ("&person=alice&model=bobs-model", 0),
        ("&until=2026-01-31", 5),
        ("&until=2026-01-30", 0),
    ] {
        let page = browser.get(&format!("{ALWAYS}{query}")).await;
        assert_eq!((page.status, listed(&page.text)), (200, count), "{query}");
    }
    let everything = browser.get("/ai-gateway/sessions?from=").await;
    assert_eq!(listed(&everything.text), 5);
    for (query, status) in [
        ("&until=soon", 400),
        ("&after=x", 404),
        (&*format!("&text={}", "x".repeat(257)), 400),
    ] {
        let page = browser.get(&format!("{ALWAYS}{query}")).await;
        assert_eq!(page.status, status, "{query}");
    }
}

#[tokio::test]
async fn the_list_has_pages_and_a_part_that_is_asked_for_again() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let many = (100..130).map(|second| alice.asks(second, &format!("Prompt {second}")));
    scene.recorded.add(many).await;
    let mut browser = browser(&scene, "alice").await;
    let first = browser.get(ALWAYS).await.text;
    assert_eq!(listed(&first), 20);
    assert!(first.contains("Prompt 129") && first.contains("data-live="));
    // Asking again for a text would cost as much each time.
    let searched = browser.get(&format!("{ALWAYS}&text=Prompt")).await.text;
    assert!(listed(&searched) == 20 && !searched.contains("data-live"));
    let older = first.split("rel=\"next\" href=\"").nth(1).unwrap();
    let older = older.split('"').next().unwrap().replace("&#38;", "&");
    let second = browser.get(&older).await.text;
    assert_eq!(listed(&second), 13);
    assert!(second.contains("Prompt 109") && !second.contains("Prompt 110"));
    assert!(!second.contains("data-live="));
    let part = browser.get(&format!("{ALWAYS}&part=list")).await.text;
    assert_eq!(listed(&part), 20);
    assert!(!part.contains("<html"));
}

#[tokio::test]
async fn a_session_is_a_timeline() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let root = scene.id(1).await;
    let failed = |exchange: &mut crate::recorded::Exchange| {
        exchange.start.prompt = None;
        exchange.start.correlating_tool_call_id = Some("toolu_alice_1".to_owned());
        exchange.start.marks.insert(Mark::ObservationIncomplete);
        let end = exchange.end.as_mut().unwrap();
        end.outcome = Outcome::Interrupted;
        end.error_type = Some("overloaded_error".to_owned());
        end.error_message = Some("Too busy".to_owned());
    };
    let step = alice.asks(8, "").in_session("kitchen").with(failed);
    scene.recorded.add([step]).await;
    let mut browser = browser(&scene, "alice").await;
    let page = browser.get(&format!("/ai-gateway/sessions/{root}")).await.text;
    for words in [
        "How do I bake bread?",
        "And a cake?",
        "claude-opus",
        "Claude Code",
        "10 in, 20 out, 300 from cache, 40 to cache, 5 reasoning",
        "1.0 s",
        "hmm",
        "<code>Bash</code>",
        "{&#34;command&#34;:&#34;ls&#34;}",
        "organisation&#39;s key sk-...1234",
        "Interrupted: server ended",
        "Incomplete: something in the answer could not be read",
        "overloaded_error: Too busy",
        "2 threads, 3 requests",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(page.find("And a cake?") < page.find("How do I bake bread?"));
    for wrong in ["nowhere", NOWHERE] {
        let reply = browser.get(&format!("/ai-gateway/sessions/{wrong}")).await;
        assert_eq!(reply.status, 404, "{wrong}");
    }
    for query in ["thread=x", "after=x", "before=x", &format!("thread={NOWHERE}")] {
        let reply = browser.get(&format!("/ai-gateway/sessions/{root}?{query}")).await;
        assert_eq!(reply.status, 404, "{query}");
    }
}

#[tokio::test]
async fn long_sessions_have_pages() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let threads = (100..112).map(|second| {
        alice
            .asks(second, &format!("Prompt {second}."))
            .in_session("long")
    });
    scene.recorded.add(threads).await;
    let steps = (200..230).map(|second| {
        alice.asks(second, "").in_session("long").with(|exchange| {
            exchange.start.prompt = None;
            exchange.start.correlating_tool_call_id = Some("toolu_alice_111".to_owned());
        })
    });
    scene.recorded.add(steps).await;
    let mut browser = browser(&scene, "alice").await;
    let first = browser.get("/ai-gateway/sessions/long").await.text;
    assert!(first.contains("Prompt 111.") && first.contains("Prompt 107.") && !first.contains("Prompt 106."));
    assert!(first.contains("Steps 1 to 8 of 31"), "{first}");
    let link = |page: &str, mark: &str| {
        let (before, _) = page.split_once(mark).unwrap();
        let address = before.rsplit("href=\"").next().unwrap();
        address.split('"').next().unwrap().replace("&#38;", "&")
    };
    let second = browser.get(&link(&first, ">Older</a>")).await.text;
    assert!(
        second.contains("Prompt 106.") && second.contains("Prompt 102.") && !second.contains("Prompt 107.")
    );
    let back = browser.get(&link(&second, ">Newer</a>")).await.text;
    assert!(
        back.contains("Prompt 111.") && !back.contains(">Newer</a>"),
        "{back}"
    );
    let alone = browser.get(&link(&first, ">More steps</a>")).await.text;
    assert!(
        alone.contains("Steps 9 to ") && alone.contains(" of 31") && alone.contains("Earlier steps"),
        "{alone}"
    );
    assert!(!alone.contains("Prompt 110."));
}

#[tokio::test]
async fn long_texts_are_shortened_and_whole_elsewhere() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let long = format!("{}the end", "<&\"> ".repeat(20_000));
    let filled = |exchange: &mut crate::recorded::Exchange| {
        let tool = exchange.tools[0].clone();
        exchange.tools = (0..40)
            .map(|ordinal| {
                let mut tool = tool.clone();
                tool.ordinal = ordinal;
                tool.input = Some(long.clone());
                tool
            })
            .collect();
        exchange.end.as_mut().unwrap().thoughts[0]
            .content
            .clone_from(&long);
        exchange.start.client_session_id = Some("large".to_owned());
    };
    let exchanges = (100..110).map(|second| alice.asks(second, &long).with(filled));
    scene.recorded.add(exchanges).await;
    let mut browser = browser(&scene, "alice").await;
    let page = browser.get("/ai-gateway/sessions/large").await.text;
    assert!(page.len() < 40_000 && !page.contains("the end"), "{}", page.len());
    let found = scene
        .get("/interceptions?session_id=large&limit=1", &scene.alice)
        .await;
    let id = found["results"][0]["id"].as_str().unwrap().to_owned();
    let page = browser.get(&format!("/ai-gateway/interceptions/{id}")).await.text;
    assert!(page.len() < 40_000 && page.contains("all.json"), "{}", page.len());
    for part in ["prompt", "tool-39", "thought-0"] {
        let whole = browser
            .get(&format!("/ai-gateway/interceptions/{id}/text/{part}"))
            .await;
        assert_eq!((whole.status, whole.text == long), (200, true), "{part}");
        assert_eq!(whole.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(whole.headers["x-content-type-options"], "nosniff");
    }
    for part in ["tool-40", "thought-1", "tool--1", "nothing"] {
        let reply = browser
            .get(&format!("/ai-gateway/interceptions/{id}/text/{part}"))
            .await;
        assert_eq!(reply.status, 404, "{part}");
    }
}

#[tokio::test]
async fn nothing_that_was_recorded_becomes_markup() {
    let scene = Scene::new().await;
    let [alice, _] = &scene.askers;
    let hostile = |exchange: &mut crate::recorded::Exchange| {
        let start = &mut exchange.start;
        for text in [
            &mut start.model,
            &mut start.client,
            &mut start.credential_hint,
            &mut start.initiator_username,
        ] {
            HOSTILE.clone_into(text);
        }
        for text in [
            &mut start.client_version,
            &mut start.user_agent,
            &mut start.client_session_id,
        ] {
            *text = Some(HOSTILE.to_owned());
        }
        exchange.tools[0].tool = HOSTILE.to_owned();
        exchange.tools[0].input = Some(HOSTILE.to_owned());
        let end = exchange.end.as_mut().unwrap();
        end.outcome = Outcome::ProviderError;
        for text in [
            &mut end.answered_model,
            &mut end.provider_response_id,
            &mut end.stop_reason,
            &mut end.error_type,
            &mut end.error_message,
        ] {
            *text = Some(HOSTILE.to_owned());
        }
        HOSTILE.clone_into(&mut end.thoughts[0].content);
        end.usage.as_mut().unwrap().extra = vec![(HOSTILE.to_owned(), 1)];
    };
    scene.recorded.add([alice.asks(100, HOSTILE).with(hostile)]).await;
    let found = scene.get("/interceptions?limit=1", &scene.owner).await;
    let id = found["results"][0]["id"].as_str().unwrap().to_owned();
    let mut browser = browser(&scene, "owner").await;
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for path in [
        ALWAYS.to_owned(),
        format!("{ALWAYS}&part=list"),
        format!(
            "{ALWAYS}&text={encoded}&person={encoded}&client={encoded}&model={encoded}&provider={encoded}"
        ),
        format!("/ai-gateway/sessions/{id}"),
        format!("/ai-gateway/sessions/{id}?thread={id}"),
        format!("/ai-gateway/interceptions/{id}"),
        "/ai-gateway/usage?by=month&until=2026-01-31".to_owned(),
        format!("/ai-gateway/usage?until=2026-01-31&person={encoded}"),
        format!("/audit?actor={encoded}&target={encoded}"),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        let text = &page.text;
        assert!(
            !text.contains("<script>") && !text.contains("<img") && !text.contains("\"'>"),
            "{path}: {text}"
        );
        assert!(
            text.contains("&#60;script&#62;alert(1)") || path.contains("person="),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn what_is_filtered_is_exported() {
    let scene = Scene::new().await;
    let path = |name: &str| format!("/ai-gateway/export/{name}?from=2026-01-01");
    for (name, sessions, interceptions) in [("alice", 3, 4), ("auditor", 5, 6)] {
        let mut browser = browser(&scene, name).await;
        let csv = browser.get(&path("sessions.csv")).await;
        assert_eq!(
            csv.headers["content-disposition"],
            "attachment; filename=\"sessions.csv\""
        );
        assert_eq!(csv.text.lines().count(), sessions + 1, "{csv:?}");
        let lines = browser.get(&path("interceptions.ndjson")).await;
        assert_eq!(lines.text.lines().count(), interceptions, "{lines:?}");
        assert_eq!(lines.text.contains("The secret plan of Bob"), name == "auditor");
        let narrowed = browser
            .get(&format!("{}&client=Codex", path("interceptions.csv")))
            .await;
        assert_eq!(narrowed.text.lines().count(), 2, "{narrowed:?}");
        for wrong in ["sessions", "sessions.html", "users.csv"] {
            assert_eq!(browser.get(&path(wrong)).await.status, 404, "{wrong}");
        }
        let others = browser
            .get(&format!("{}&person=bob", path("sessions.ndjson")))
            .await;
        assert_eq!(others.text.lines().count(), if name == "alice" { 0 } else { 2 });
    }
}

#[tokio::test]
async fn usage_is_drawn_and_told() {
    let scene = Scene::new().await;
    for (name, requests, people) in [("alice", 3, false), ("auditor", 5, true)] {
        let mut browser = browser(&scene, name).await;
        for by in ["day", "week", "month"] {
            let path = format!("/ai-gateway/usage?by={by}&until=2026-01-31");
            let page = browser.get(&path).await;
            assert_eq!(page.status, 200, "{path}");
            let text = &page.text;
            assert!(text.len() < 40_000, "{by}: {}", text.len());
            assert!(text.contains(&format!("{requests} requests")), "{by}: {text}");
            assert_eq!(
                text.matches("role=\"img\"").count(),
                8,
                "four charts, each in two shapes"
            );
            assert!(
                text.contains("url(#p1)") && text.contains("claude-opus"),
                "{text}"
            );
            assert!(
                text.contains("model=claude-opus") && text.contains("client=Codex"),
                "{text}"
            );
            assert_eq!(text.contains("Top people"), people, "{name}");
            assert!(!text.contains(" style="), "{text}");
            assert!(!text.contains("bobs-model") || people);
        }
        let empty = browser.get("/ai-gateway/usage?until=2020-01-31").await;
        assert!(empty.text.contains("0 requests"), "{empty:?}");
        assert_eq!(browser.get("/ai-gateway/usage?until=x").await.status, 400);
    }
}

#[tokio::test]
async fn the_audit_log_tells_before_and_after() {
    let scene = Scene::new().await;
    let agent = "<script>alert(1)</script>";
    let reply = scene
        .server
        .send(|http, base| {
            let body = serde_json::json!({"email": "admin@example.com", "password": "<b>wrong</b>"});
            http.post(format!("{base}/api/v2/users/login"))
                .header("user-agent", agent)
                .json(&body)
        })
        .await;
    assert_eq!(reply.status, 401);
    let alice = &scene.askers[0];
    let roles = serde_json::json!({"roles": ["auditor"]});
    let path = format!("/users/{}/roles", alice.id);
    assert_eq!(scene.server.put(&path, &scene.owner, roles).await.status, 200);
    let mut browser = browser(&scene, "auditor").await;
    let page = browser.get("/audit?action=roles_changed").await.text;
    for words in [
        "Roles changed",
        "user alice",
        ">admin</b>",
        "127.0.0.1",
        "auditor</ins>",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("User created</b>"));
    assert!(
        browser
            .get("/audit?actor=nobody")
            .await
            .text
            .contains("Nothing matches")
    );
    assert!(
        browser
            .get("/audit?until=2020-01-01")
            .await
            .text
            .contains("Nothing matches")
    );
    for (query, status) in [("action=x", 404), ("after=x", 404), ("from=x", 400)] {
        assert_eq!(
            browser.get(&format!("/audit?{query}")).await.status,
            status,
            "{query}"
        );
    }
    let all = browser.get("/audit").await.text;
    assert!(
        all.contains("&#60;script&#62;") && !all.contains(agent) && !all.contains("wrong</b>"),
        "{all}"
    );
    // To others it is not there, whatever they ask it for.
    let mut bob = self::browser(&scene, "bob").await;
    for query in ["", "action=x", "from=x"] {
        assert_eq!(bob.get(&format!("/audit?{query}")).await.status, 404, "{query}");
    }
}
