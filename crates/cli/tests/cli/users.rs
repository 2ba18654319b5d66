//! `coder users`.

use serde_json::{Value, json};

use crate::support::{FakeServer, Home, user};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn sent(server: &FakeServer) -> Value {
    let asked = server.asked();
    serde_json::from_str(&asked.last().unwrap().body).unwrap()
}

#[test]
fn create_prints_the_password_that_it_made_and_nothing_else() {
    let server = FakeServer::start();
    server.on("POST /users", 201, &user("bob", &[]));
    let ended = Home::logged_in(&server).run(&["users", "create", "-u", "bob", "-e", "bob@example.com"]);
    let stderr = ended.stderr.clone();
    let printed = ended.success();
    let password = printed.strip_suffix('\n').unwrap();
    assert_eq!(password.len(), 20);
    assert!(password.bytes().all(|b| b.is_ascii_alphanumeric()), "{password}");
    assert!(!stderr.contains(password), "{stderr}");
    assert_eq!(
        sent(&server),
        json!({"email": "bob@example.com", "username": "bob", "password": password, "login_type": "password"})
    );
}

#[test]
fn create_with_a_password_from_the_environment() {
    let server = FakeServer::start();
    server.on("POST /users", 201, &user("bob", &["auditor"]));
    let home = Home::logged_in(&server).with("CODER_USER_PASSWORD", "correct horse");
    let ended = home.run(&[
        "users", "create", "-u", "bob", "-e", "b@c", "-n", "Bob B", "--roles", "auditor",
    ]);
    assert_eq!(ended.success(), "");
    assert_eq!(
        sent(&server),
        json!({
            "email": "b@c", "username": "bob", "name": "Bob B", "password": "correct horse",
            "login_type": "password", "roles": ["auditor"],
        })
    );
}

#[test]
fn a_service_account_has_no_password() {
    let server = FakeServer::start();
    server.on("POST /users", 201, &user("ci", &[]));
    let home = Home::logged_in(&server).with("CODER_USER_PASSWORD", "for others");
    let ended = home.run(&["users", "create", "--username", "ci", "--service-account"]);
    assert!(
        ended.stderr.contains("coder tokens create --user ci"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.success(), "");
    assert_eq!(
        sent(&server),
        json!({"username": "ci", "login_type": "none", "is_service_account": true})
    );
}

#[test]
fn create_as_json() {
    let server = FakeServer::start();
    server.on("POST /users", 201, &user("bob", &[]));
    let home = Home::logged_in(&server);
    let ended = home.run(&["users", "create", "-u", "bob", "-e", "b@c", "-o", "json"]);
    let printed: Value = serde_json::from_str(&ended.success()).unwrap();
    assert_eq!(printed["id"], ID);
    assert_eq!(printed["password"], sent(&server)["password"]);
}

#[test]
fn list_asks_for_all_pages() {
    let server = FakeServer::start();
    let page: Vec<Value> = (0..100).map(|n| user(&format!("user{n}"), &[])).collect();
    server
        .on("GET /users?limit=100", 200, &json!({"users": page, "count": 101}))
        .on(
            &format!("GET /users?limit=100&after_id={ID}"),
            200,
            &json!({"users": [user("last", &[])], "count": 101}),
        );
    let listed = Home::logged_in(&server).run(&["users", "list"]).success();
    assert_eq!(listed.lines().count(), 102);
    assert!(listed.lines().last().unwrap().starts_with("last "), "{listed}");
}

#[test]
fn list() {
    let server = FakeServer::start();
    let users =
        json!({"users": [user("alice", &["owner", "auditor"]), user("e\u{202e}vil", &[])], "count": 2});
    server.on("GET /users?limit=100", 200, &users);
    let home = Home::logged_in(&server);
    insta::assert_snapshot!("users_list", home.run(&["users", "ls"]).success());
    insta::assert_snapshot!(
        "users_list_columns",
        home.run(&["users", "list", "-c", "status,roles,id,last seen at,username"])
            .success()
    );
    insta::assert_snapshot!(
        "users_list_json",
        home.run(&["users", "list", "-o", "json"]).success()
    );
}

#[test]
fn show() {
    let server = FakeServer::start();
    server
        .on("GET /users/alice", 200, &user("alice", &["owner", "auditor"]))
        .on("GET /users/bob", 200, &user("bob", &[]));
    let home = Home::logged_in(&server);
    insta::assert_snapshot!("users_show", home.run(&["users", "show", "alice"]).success());
    insta::assert_snapshot!(
        "users_show_member",
        home.run(&["users", "show", "bob", "-c", "roles,email"]).success()
    );
    insta::assert_snapshot!(
        "users_show_json",
        home.run(&["users", "show", "alice", "-o", "json"]).success()
    );
    let stderr = home.run(&["users", "show", "roles"]).failure(1);
    assert!(stderr.contains("nothing named \"roles\""), "{stderr}");
}

#[test]
fn delete_does_not_ask() {
    let server = FakeServer::start();
    server.on("DELETE /users/bob", 200, &json!({"message": "deleted"}));
    let home = Home::logged_in(&server);
    assert_eq!(
        home.run(&["users", "rm", "bob"]).success(),
        "User bob was deleted.\n"
    );
    let stderr = home.run(&["users", "delete", "carol"]).failure(1);
    assert!(stderr.contains("there is no such thing"), "{stderr}");
}

#[test]
fn suspend_and_activate_ask() {
    let server = FakeServer::start();
    let mut suspended = user("bob", &[]);
    suspended["status"] = json!("suspended");
    let suspend = format!("PUT /users/{ID}/status/suspend");
    server
        .on("GET /users/bob", 200, &user("bob", &[]))
        .on(&suspend, 200, &suspended)
        .on(
            &format!("PUT /users/{ID}/status/activate"),
            200,
            &user("bob", &[]),
        );
    let home = Home::logged_in(&server).with_input("n\n");
    let ended = home.run(&["users", "suspend", "bob"]);
    assert!(ended.stderr.contains("USERNAME  EMAIL"), "{}", ended.stderr);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let stderr = Home::logged_in(&server)
        .run(&["users", "suspend", "bob"])
        .failure(1);
    assert!(stderr.contains("-y"), "{stderr}");
    assert!(!server.lines().contains(&suspend), "nobody said yes");

    assert_eq!(
        home.run(&["users", "suspend", "bob", "-y"]).success(),
        "User bob was suspended.\n"
    );
    let ended = home.run(&["users", "activate", "bob"]);
    assert_eq!(ended.stderr, "User bob is already active.\n");
    assert_eq!(ended.success(), "");

    server.on("GET /users/bob", 200, &suspended);
    let home = home.with_input("\n");
    assert_eq!(
        home.run(&["users", "active", "bob"]).success(),
        "User bob was activated.\n"
    );
}

#[test]
fn edit_roles_replaces_them_all() {
    let server = FakeServer::start();
    server.on("GET /users/bob", 200, &user("bob", &["owner"])).on(
        &format!("PUT /users/{ID}/roles"),
        200,
        &user("bob", &["user-admin", "auditor"]),
    );
    let home = Home::logged_in(&server);
    let ended = home.run(&["users", "edit-roles", "bob", "--roles", "auditor, user-admin"]);
    assert_eq!(
        ended.stderr,
        "User bob now has these roles: user-admin, auditor.\n"
    );
    assert_eq!(ended.success(), "");
    assert_eq!(sent(&server), json!({"roles": ["user-admin", "auditor"]}));
    home.run(&["users", "edit-roles", "bob", "--roles", "member"])
        .success();
    assert_eq!(sent(&server), json!({"roles": []}));
}
