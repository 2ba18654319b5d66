//! The commands that work on the database directly.

use gateway_core::audit::{Action, ActorKind};
use gateway_core::{ApiToken, Clock as _, Lifetime, Scopes, SystemClock, TokenKind};
use gateway_store::{AuditFilter, Author, NewToken, Purpose, Store, StoreOptions, Target};

use crate::support::{Ended, Home};

const PASSWORD: &str = "correct horse battery staple";

fn create(home: &Home) -> Ended {
    home.run(&[
        "server",
        "create-admin-user",
        "--username",
        "alice",
        "--email",
        "alice@example.com",
    ])
}

#[test]
fn an_owner_is_made_and_given_a_new_password() {
    let home = Home::new().with("CODER_PASSWORD", PASSWORD);
    let said = create(&home).success();
    assert_eq!(
        said,
        "User alice (alice@example.com) was created with the role owner.\n"
    );
    let stderr = create(&home).failure(1);
    assert!(stderr.contains("username is already taken"), "{stderr}");

    let home = home.with_input("another horse battery staple\n");
    let said = home.run(&["reset-password", "alice"]).success();
    assert_eq!(
        said,
        "The password of alice was changed; all sessions and API tokens ended (0 removed).\n"
    );
    let said = home
        .run(&["reset-password", "ALICE", "--keep-api-tokens"])
        .success();
    assert!(said.contains("API tokens were kept"), "{said}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let home = Home::new().with("CODER_PASSWORD", "password1234");
    assert!(create(&home).failure(1).contains("too easy to guess"));
    let home = Home::new().with_input("x\n");
    let stderr = home.run(&["reset-password", "alice"]).failure(1);
    assert!(stderr.contains("there is no database"), "{stderr}");
    assert!(!home.config().exists(), "none was made");
    create(&Home::new().with("CODER_PASSWORD", PASSWORD)).success();
    let home = Home::new().with("CODER_PASSWORD", PASSWORD).with_input("x\n");
    create(&home).success();
    assert!(
        home.run(&["reset-password", "bob"])
            .failure(1)
            .contains("there is no user bob")
    );
    assert!(
        home.run(&["reset-password", "alice"])
            .failure(1)
            .contains("8 to 128 characters")
    );
}

#[test]
fn a_database_url_is_never_shown() {
    let home = Home::new().with("CODER_PASSWORD", PASSWORD);
    for url in [
        "mysql://a:hunter2hunter2@h/d",
        "postgres://a:hunter2hunter2@127.0.0.1:1/d",
    ] {
        let stderr = home
            .run(&[
                "-v",
                "server",
                "create-admin-user",
                "--username",
                "a",
                "--email",
                "a@b",
                "--database-url",
                url,
            ])
            .failure(1);
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn open(home: &Home, purpose: Purpose) -> Store {
    let path = home.config().join(gateway_store::DEFAULT_FILE_NAME);
    Store::open(StoreOptions::new(Target::Sqlite { path }), purpose)
        .await
        .unwrap()
}

/// A session and an API token for alice.
async fn add_tokens(home: &Home) {
    let store = open(home, Purpose::Offline).await;
    let user = store.users().find_by_username("alice").await.unwrap().unwrap();
    let now = SystemClock.now();
    for kind in [TokenKind::Session, TokenKind::Api] {
        let token = ApiToken::generate(&mut rand::rng());
        let lifetime = Lifetime::from_days(1).unwrap();
        let new = NewToken {
            id: token.id(),
            user_id: user.id,
            secret_hash: token.secret_hash(),
            kind,
            name: if kind == TokenKind::Api { "ci" } else { "" }.to_owned(),
            scopes: Scopes::all(),
            lifetime,
            created_at: now,
            expires_at: now.plus(lifetime.as_duration()),
            password_hash: None,
        };
        store.tokens().create(&Author::System, new).await.unwrap();
    }
    store.close().await;
}

#[test]
fn a_new_password_ends_sessions_and_api_tokens_unless_they_are_kept() {
    let home = Home::new()
        .with("CODER_PASSWORD", PASSWORD)
        .with_input("another horse battery staple\n");
    create(&home).success();
    runtime().block_on(add_tokens(&home));
    let said = home
        .run(&["reset-password", "alice", "--keep-api-tokens"])
        .success();
    assert!(
        said.ends_with("all sessions ended, API tokens were kept (1 removed).\n"),
        "{said}"
    );
    let said = home.run(&["reset-password", "alice"]).success();
    assert!(
        said.ends_with("all sessions and API tokens ended (1 removed).\n"),
        "{said}"
    );
}

#[test]
fn what_was_done_at_the_machine_stands_in_the_audit_log() {
    let home = Home::new()
        .with("CODER_PASSWORD", PASSWORD)
        .with_input("another horse battery staple\n");
    create(&home).success();
    home.run(&["reset-password", "alice"]).success();
    let entries = runtime().block_on(async {
        let store = open(&home, Purpose::Offline).await;
        let entries = store.audit().list(AuditFilter::default()).await.unwrap();
        store.close().await;
        entries
    });
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action, entry.actor.kind, entry.detail.as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (Action::PasswordChanged, ActorKind::System, "coder reset-password"),
            (
                Action::UserCreated,
                ActorKind::System,
                "coder server create-admin-user"
            ),
        ]
    );
    assert!(!format!("{entries:?}").contains("horse"));
}

#[test]
fn a_database_that_a_server_holds_is_left_alone() {
    let home = Home::new().with("CODER_PASSWORD", PASSWORD).with_input("x\n");
    let runtime = runtime();
    let store = runtime.block_on(open(&home, Purpose::Server));
    for ended in [create(&home), home.run(&["reset-password", "alice"])] {
        let stderr = ended.failure(1);
        assert!(stderr.contains("a server is using the database"), "{stderr}");
    }
    runtime.block_on(store.close());
    create(&home).success();
}

#[test]
fn the_database_can_be_named_by_a_file() {
    let home = Home::new().with("CODER_PASSWORD", PASSWORD);
    std::fs::write(home.path().join("url"), "sqlite:elsewhere.db\n").unwrap();
    let home = home.with("CODER_DATABASE_URL_FILE", "url");
    create(&home).success();
    assert!(home.path().join("elsewhere.db").exists() && !home.config().exists());
    let home = home.with("CODER_DATABASE_URL", "sqlite:other.db");
    assert!(create(&home).failure(1).contains("not both"));
}
