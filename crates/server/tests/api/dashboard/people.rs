//! People and service accounts: who may see and do what, and that it takes effect at once.

use serde_json::json;

use super::browser::{Browser, copied, location, value};
use crate::support::{PASSWORD, Server, id_of};

const OWNER: &str = "admin@example.com";
const CHOSEN: &str = "another battery staple horse";

/// What nobody should see live.
const MARKUP: &str = "\"'><script>alert(1)<&lt;script>";

/// The address of somebody's page.
async fn page_of(server: &Server, owner: &str, name: &str) -> String {
    let user = server.get(&format!("/users/{name}"), owner).await.json();
    format!("/users/{}", user["id"].as_str().unwrap())
}

async fn signs_in(server: &Server, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password});
    server.post("/users/login", "", body).await.status
}

#[tokio::test]
async fn who_may_see_what() {
    let (server, owner) = Server::with_owner().await;
    for (name, roles) in [
        ("alice", &[][..]),
        ("bob", &["user-admin"]),
        ("carol", &["auditor"]),
    ] {
        server.user(&owner, name, roles).await;
    }
    let admin = page_of(&server, &owner, "admin").await;
    let alice = page_of(&server, &owner, "alice").await;
    let token = server
        .token(&server.login("alice@example.com").await, json!({}))
        .await;
    let of_token = format!("{alice}/tokens/{}/delete", id_of(&token));
    // For the owner, a user admin, an auditor and a member.
    for (path, statuses) in [
        ("/users".to_owned(), [200, 200, 200, 404]),
        ("/users/new".to_owned(), [200, 200, 404, 404]),
        (alice.clone(), [200, 200, 200, 404]),
        (format!("{alice}/suspend"), [200, 200, 404, 404]),
        (format!("{alice}/delete"), [200, 200, 404, 404]),
        (format!("{alice}/password"), [200, 200, 404, 404]),
        (format!("{alice}/tokens/new"), [200, 404, 404, 404]),
        (of_token.clone(), [200, 404, 404, 404]),
        // Nobody does these to themselves here, and a user admin not to holders of roles.
        (format!("{admin}/suspend"), [404; 4]),
        (format!("{admin}/delete"), [404; 4]),
        (format!("{admin}/password"), [404; 4]),
        ("/users/nobody".to_owned(), [404; 4]),
    ] {
        for (name, status) in ["admin", "bob", "carol", "alice"].into_iter().zip(statuses) {
            let mut browser = Browser::signed_in(&server, &format!("{name}@example.com")).await;
            let page = browser.get(&path).await;
            assert_eq!(page.status, status, "{name}: {path}");
            // No link that would lead to nothing.
            let links: Vec<&str> = page
                .text
                .split("href=\"/users")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            for link in links {
                let target = format!("/users{link}");
                assert_eq!(browser.get(&target).await.status, 200, "{name}: {path}: {target}");
            }
        }
    }
    let mut member = Browser::signed_in(&server, "alice@example.com").await;
    assert!(!member.get("/settings/tokens").await.text.contains("/users"));
}

#[tokio::test]
async fn a_form_that_was_not_offered_does_nothing() {
    let (server, owner) = Server::with_owner().await;
    for (name, roles) in [
        ("alice", &[][..]),
        ("bob", &["user-admin"]),
        ("carol", &["auditor"]),
        ("dave", &[]),
    ] {
        server.user(&owner, name, roles).await;
    }
    let dave = page_of(&server, &owner, "dave").await;
    let bob = page_of(&server, &owner, "bob").await;
    let token = server
        .token(&server.login("dave@example.com").await, json!({}))
        .await;
    let account = [
        ("kind", "person"),
        ("username", "x"),
        ("email", "x@example.com"),
        ("how", "made"),
        ("owner", "1"),
    ];
    let password = [("how", "made"), ("tokens", "delete")];
    let new_token = [("lifetime", "7"), ("scope", "all")];
    let tokens = format!("{dave}/tokens/new");
    let removal = format!("{dave}/tokens/{}/delete", id_of(&token));
    for (name, target) in [("alice", &dave), ("carol", &dave), ("bob", &bob)] {
        let mut browser = Browser::signed_in(&server, &format!("{name}@example.com")).await;
        let page = browser.get("/settings/tokens").await;
        let fields: [(String, &[(&str, &str)]); 8] = [
            ("/users/new".to_owned(), &account),
            (format!("{target}/roles"), &[("owner", "1")]),
            (format!("{target}/suspend"), &[]),
            (format!("{target}/activate"), &[]),
            (format!("{target}/delete"), &[("confirmation", "dave")]),
            (format!("{target}/password"), &password),
            (tokens.clone(), &new_token),
            (removal.clone(), &[]),
        ];
        for (path, fields) in fields {
            let reply = browser.submit(&page, &path, fields).await;
            assert_eq!(reply.status, 404, "{name}: {path}: {reply:?}");
        }
    }
    // Their own right, without the form's token or from elsewhere.
    let mut admin = Browser::signed_in(&server, OWNER).await;
    let page = admin.get(&dave).await;
    let csrf = value(&page, "csrf").unwrap();
    let path = format!("{dave}/suspend");
    assert_eq!(admin.post(&path, &[]).await.status, 403);
    admin
        .headers
        .insert("sec-fetch-site", "same-site".parse().unwrap());
    assert_eq!(admin.post(&path, &[("csrf", &csrf)]).await.status, 403);
    let users = server.get("/users", &owner).await.json();
    assert_eq!(users["count"], 5, "{users}");
    assert_eq!(server.get("/users/me", &token).await.status, 200);
}

#[tokio::test]
async fn accounts_are_made_with_their_password_shown_once() {
    let (server, owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let person = |name, email, how, password| {
        [
            ("kind", "person"),
            ("username", name),
            ("email", email),
            ("how", how),
            ("password", password),
        ]
    };
    let made = browser
        .fill("/users/new", &person("erin", "erin@example.com", "made", ""))
        .await;
    assert_eq!(
        (made.status, &made.headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let password = copied(&made, "new-password");
    assert_eq!(signs_in(&server, "erin@example.com", &password).await, 201);
    assert!(!browser.get("/users").await.text.contains(&password));

    let mut fields = person("frank", "frank@example.com", "chosen", CHOSEN).to_vec();
    fields.push(("auditor", "1"));
    let reply = browser.fill("/users/new", &fields).await;
    let page = browser.get(location(&reply)).await;
    assert!(page.text.contains("The account is made.") && page.text.contains("frank@example.com"));
    assert_eq!(signs_in(&server, "frank@example.com", CHOSEN).await, 201);
    let frank = server.get("/users/frank/roles", &owner).await.json();
    assert!(frank.to_string().contains("auditor"), "{frank}");

    for (fields, fault) in [
        (person("erin", "e@example.com", "made", ""), "username-fault"),
        (person("gina", "erin@example.com", "made", ""), "email-fault"),
        (person("gina", "", "made", ""), "email-fault"),
        (person("a b", "g@example.com", "made", ""), "username-fault"),
        (person("gina", "g@example.com", "chosen", ""), "password-fault"),
        (
            person("gina", "g@example.com", "chosen", "password"),
            "password-fault",
        ),
    ] {
        let reply = browser.fill("/users/new", &fields).await;
        assert!(matches!(reply.status, 400 | 409), "{fields:?}: {reply:?}");
        assert!(
            reply.text.contains(&format!("id=\"{fault}\"")),
            "{fields:?}: {reply:?}"
        );
    }

    // What the form holds for people counts for nothing here.
    let mut fields = person("bot", "bot@example.com", "made", CHOSEN);
    fields[0] = ("kind", "service");
    let reply = browser.fill("/users/new", &fields).await;
    let page = location(&reply).split('?').next().unwrap().to_owned();
    assert!(browser.get(&page).await.text.contains("Service account"));
    assert_eq!(browser.get(&format!("{page}/password")).await.status, 404);
    let fields = [("name", "ci"), ("lifetime", "7"), ("scope", "aibridge")];
    let created = browser.fill(&format!("{page}/tokens/new"), &fields).await;
    let token = copied(&created, "secret");
    let bot = server.get("/users/bot/keys/tokens", &owner).await.json();
    assert!(bot.to_string().contains(id_of(&token)), "{bot}");
    let list = browser.get(&page).await;
    assert!(list.text.contains(id_of(&token)) && !list.text.contains(&token));
    let path = format!("{page}/tokens/{}/delete", id_of(&token));
    let reply = browser.fill(&path, &[]).await;
    assert_eq!(location(&reply), page);
    assert_eq!(server.get("/users/me", &token).await.status, 401);
}

#[tokio::test]
async fn lists_are_searched_and_filtered() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &["auditor"]).await;
    for number in 0..30 {
        let body = json!({"username": format!("bot-{number:02}"), "is_service_account": true});
        assert_eq!(server.post("/users", &owner, body).await.status, 201);
    }
    server
        .call("PUT", "/users/bot-03/status/suspend", &owner, None)
        .await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    for (query, found) in [
        ("?kind=person", &["admin", "alice"][..]),
        ("?q=ALICE@", &["alice"]),
        ("?role=auditor", &["alice"]),
        ("?role=owner&q=&status=&kind=", &["admin"]),
        ("?status=suspended&kind=service", &["bot-03"]),
        ("?q=bot-1&status=active&page=1", &["bot-10", "bot-19"]),
        ("?q=%25", &[]),
        ("?q=%00", &[]),
        ("?page=2", &["bot-23", "bot-29"]),
        ("?page=99", &["bot-23", "bot-29"]),
    ] {
        let page = browser.get(&format!("/users{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        let names: Vec<&str> = page
            .text
            .split("<a class=\"name\"")
            .skip(1)
            .map(|rest| rest.split(['>', '<']).nth(1).unwrap())
            .collect();
        match *found {
            [] => assert!(
                names.is_empty() && page.text.contains("Nobody is like this"),
                "{query}"
            ),
            _ => assert_eq!(
                (names.first(), names.last()),
                (found.first(), found.last()),
                "{query}: {names:?}"
            ),
        }
    }
    for query in ["?role=king", "?status=x", "?kind=x", "?page=x"] {
        assert_eq!(
            browser.get(&format!("/users{query}")).await.status,
            404,
            "{query}"
        );
    }
    let next = browser.get("/users?q=bot&kind=service").await;
    assert!(
        next.text.contains("q=bot&#38;kind=service&#38;page=2"),
        "{next:?}"
    );
}

#[tokio::test]
async fn the_suspended_lose_everything_at_once_and_get_it_back() {
    let (server, owner) = Server::with_owner().await;
    let session = server.user(&owner, "alice", &[]).await;
    let token = server.token(&session, json!({})).await;
    let alice = page_of(&server, &owner, "alice").await;
    let mut hers = Browser::signed_in(&server, "alice@example.com").await;
    assert_eq!(hers.get("/settings/tokens").await.status, 200);
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let reply = browser.fill(&format!("{alice}/suspend"), &[]).await;
    assert_eq!(location(&reply), alice);
    assert_eq!(
        location(&hers.get("/settings/tokens").await),
        "/login?next=%2Fsettings%2Ftokens"
    );
    assert_eq!(server.get("/users/me", &token).await.status, 401);
    let page = browser.get(&alice).await;
    assert!(page.text.contains("Suspended") && page.text.contains("Activate"));
    let reply = browser.submit(&page, &format!("{alice}/activate"), &[]).await;
    assert_eq!(location(&reply), alice);
    assert_eq!(server.get("/users/me", &token).await.status, 200);
    // After signing in on the way, the button is where it was.
    assert_eq!(location(&browser.get(&format!("{alice}/activate")).await), alice);
}

#[tokio::test]
async fn deleting_takes_the_name_typed_once_more() {
    let (server, owner) = Server::with_owner().await;
    let session = server.user(&owner, "alice", &[]).await;
    let token = server.token(&session, json!({})).await;
    server.token(&session, json!({})).await;
    let alice = page_of(&server, &owner, "alice").await;
    let path = format!("{alice}/delete");
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let page = browser.get(&path).await;
    assert!(
        page.text.contains("2 API tokens") && page.text.contains("1 session<"),
        "{page:?}"
    );
    for wrong in ["", "Alice", "admin"] {
        let reply = browser.submit(&page, &path, &[("confirmation", wrong)]).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("id=\"confirmation-fault\""));
    }
    assert_eq!(server.get("/users/me", &token).await.status, 200);
    let reply = browser.submit(&page, &path, &[("confirmation", " alice ")]).await;
    assert_eq!(location(&reply), "/users");
    assert_eq!(server.get("/users/me", &token).await.status, 401);
    assert_eq!(browser.get(&alice).await.status, 404);
}

#[tokio::test]
async fn a_reset_keeps_the_tokens_or_not() {
    let (server, owner) = Server::with_owner().await;
    let session = server.user(&owner, "alice", &[]).await;
    let token = server.token(&session, json!({})).await;
    let path = format!("{}/password", page_of(&server, &owner, "alice").await);
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let weak = [("how", "chosen"), ("password", "password"), ("tokens", "delete")];
    let reply = browser.fill(&path, &weak).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text.contains("id=\"password-fault\""));
    let reply = browser.fill(&path, &[("how", "made"), ("tokens", "keep")]).await;
    let made = copied(&reply, "new-password");
    assert_eq!(server.get("/users/me", &session).await.status, 401);
    assert_eq!(server.get("/users/me", &token).await.status, 200);
    assert_eq!(signs_in(&server, "alice@example.com", PASSWORD).await, 401);
    assert_eq!(signs_in(&server, "alice@example.com", &made).await, 201);
    let chosen = [("how", "chosen"), ("password", CHOSEN), ("tokens", "delete")];
    let reply = browser.fill(&path, &chosen).await;
    let page = browser.get(location(&reply)).await;
    assert!(
        page.text
            .contains("all sessions and tokens of this account are gone"),
        "{page:?}"
    );
    assert_eq!(server.get("/users/me", &token).await.status, 401);
    assert_eq!(signs_in(&server, "alice@example.com", CHOSEN).await, 201);
}

#[tokio::test]
async fn roles_change_but_never_ones_own() {
    let (server, owner) = Server::with_owner().await;
    server.user(&owner, "alice", &["owner"]).await;
    let admin = page_of(&server, &owner, "admin").await;
    let alice = page_of(&server, &owner, "alice").await;
    let mut browser = Browser::signed_in(&server, "alice@example.com").await;
    let page = browser.get(&admin).await;
    let fields = [("user_admin", "1"), ("auditor", "1")];
    let reply = browser.submit(&page, &format!("{admin}/roles"), &fields).await;
    assert_eq!(location(&reply), admin);
    let roles = server.get("/users/admin", browser.session()).await.json();
    assert!(roles["roles"].to_string().contains("user-admin"), "{roles}");
    // One's own are not for oneself.
    let reply = browser.submit(&page, &format!("{alice}/roles"), &[]).await;
    assert_eq!(reply.status, 404);

    for (what, fields) in [("suspend", &[][..]), ("delete", &[("confirmation", "alice")])] {
        let reply = browser.submit(&page, &format!("{alice}/{what}"), fields).await;
        assert_eq!(reply.status, 404, "{what}");
    }
    assert_eq!(browser.get(&admin).await.status, 200, "still an owner");
}

#[tokio::test]
async fn names_are_text_here_too() {
    let (server, owner) = Server::with_owner().await;
    let session = server.user(&owner, "alice", &[]).await;
    let profile = json!({"username": "alice", "name": MARKUP});
    assert_eq!(
        server.put("/users/me/profile", &session, profile).await.status,
        200
    );
    let token = server.token(&session, json!({"token_name": MARKUP})).await;
    let alice = page_of(&server, &owner, "alice").await;
    let mut browser = Browser::signed_in(&server, OWNER).await;
    let mut replies = vec![
        browser.get("/users").await,
        browser.get(&alice).await,
        browser
            .get(&format!("{alice}/tokens/{}/delete", id_of(&token)))
            .await,
    ];
    let query: String = url::form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect();
    replies.push(browser.get(&format!("/users?q={query}")).await);
    let fields = [
        ("kind", "person"),
        ("username", MARKUP),
        ("name", MARKUP),
        ("email", MARKUP),
        ("how", MARKUP),
    ];
    replies.push(browser.fill("/users/new", &fields).await);
    let fields = [("name", MARKUP), ("lifetime", MARKUP), ("scope", MARKUP)];
    replies.push(browser.fill(&format!("{alice}/tokens/new"), &fields).await);
    for (index, reply) in replies.iter().enumerate() {
        assert!(
            reply.text.contains("alert(1)"),
            "{index}: it is shown: {}",
            reply.text
        );
        for live in ["<script>alert", "\"'><", "<&lt;"] {
            assert!(!reply.text.contains(live), "{index}: {}", reply.text);
        }
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert!(reply.text.len() < 30_000);
    }
}
