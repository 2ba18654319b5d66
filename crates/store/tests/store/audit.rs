//! The audit log: each write that somebody asks for leaves exactly one entry, in its own transaction, without a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gateway_core::audit::{Action, Actor, Change, Entry, Source, Target, TargetKind};
use gateway_core::{ApiToken, Permission, Role, Roles, Secret, TokenId, TokenKind, User, UserId, UserStatus};
use gateway_store::{AuditFilter, Author, MAX_SESSIONS, StoreError};

use crate::support::{NOW, TestDb, after, new_token, new_user, on_both_engines, token_id};

on_both_engines!(
    every_write_on_users_leaves_one_entry,
    every_write_on_tokens_leaves_one_entry,
    signing_in_and_out_and_setting_up_are_the_users_own_acts,
    a_refused_write_leaves_no_entry,
    a_write_that_cannot_be_noted_does_not_happen,
    what_changes_nothing_and_housekeeping_leave_no_entry,
    no_column_holds_a_secret,
    entries_outlive_whom_they_tell_of,
);

/// An owner's session as author, and from where.
struct Admin {
    user: User,
    token: TokenId,
}

impl Admin {
    async fn make(db: &TestDb) -> Self {
        let user = db.user("admin", [Role::Owner]).await;
        let token = db.session(&user).await.id;
        Self { user, token }
    }

    fn author(&self) -> Author {
        Author::Token {
            token_id: self.token,
            user_id: self.user.id,
            needs: Some(Permission::ManageRoles),
            source: source(),
        }
    }
}

pub(crate) fn source() -> Source {
    Source::new("192.0.2.7".parse().ok(), Some(b"coder-cli/1"))
}

pub(crate) async fn all(db: &TestDb) -> Vec<Entry> {
    db.store.audit().list(AuditFilter::default()).await.unwrap()
}

/// The only entry that is there, then takes it away.
pub(crate) async fn only(db: &TestDb) -> Entry {
    let mut entries = all(db).await;
    assert_eq!(entries.len(), 1, "{entries:#?}");
    clear(db).await;
    entries.remove(0)
}

async fn clear(db: &TestDb) {
    db.execute("DELETE FROM audit_log").await;
}

/// The fields that differ, as `before>after`.
pub(crate) fn changed(entry: &Entry) -> BTreeMap<String, String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    entry
        .changes
        .iter()
        .map(|(field, Change { before, after })| {
            (field.to_owned(), format!("{}>{}", text(before), text(after)))
        })
        .collect()
}

pub(crate) fn fields(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected
        .iter()
        .map(|(field, values)| ((*field).to_owned(), (*values).to_owned()))
        .collect()
}

async fn every_write_on_users_leaves_one_entry(db: &TestDb) {
    let admin = Admin::make(db).await;
    let by_admin = admin.author();
    let users = db.store.users();
    clear(db).await;

    let bob = users
        .create(&by_admin, new_user("bob", [Role::Auditor]), after(1))
        .await
        .unwrap();
    let made = only(db).await;
    assert_eq!(made.action, Action::UserCreated);
    assert_eq!(made.at, after(1));
    assert_eq!(made.target, Target::user(bob.id, "bob"));
    assert_eq!(made.source, source());
    assert_eq!(
        made.actor,
        Actor {
            token_id: Some(admin.token),
            ..Actor::user(admin.user.id, "admin")
        }
    );
    assert_eq!(
        changed(&made),
        fields(&[
            ("username", ">bob"),
            ("email", ">bob@example.com"),
            ("name", ">The bob"),
            ("roles", ">auditor"),
            ("status", ">active"),
            ("is_service_account", ">false"),
        ])
    );

    let expect = async |action, expected: &[(&str, &str)]| {
        let entry = only(db).await;
        assert_eq!((entry.action, changed(&entry)), (action, fields(expected)));
        assert_eq!(entry.target.id, Some(bob.id.to_string()));
        assert_eq!(entry.actor.username.as_deref(), Some("admin"));
    };
    for (status, action, values) in [
        (UserStatus::Suspended, Action::UserSuspended, "active>suspended"),
        (UserStatus::Active, Action::UserActivated, "suspended>active"),
    ] {
        users.set_status(&by_admin, bob.id, status, NOW).await.unwrap();
        expect(action, &[("status", values)]).await;
    }
    let roles = Roles::new([Role::Owner, Role::Auditor]);
    users.set_roles(&by_admin, bob.id, &roles, NOW).await.unwrap();
    expect(Action::RolesChanged, &[("roles", "auditor>owner,auditor")]).await;
    users
        .set_profile(&by_admin, bob.id, "bert", "The bob", NOW)
        .await
        .unwrap();
    expect(Action::ProfileChanged, &[("username", "bob>bert")]).await;
    db.session(&bob).await;
    clear(db).await;
    users
        .set_password(&by_admin, bob.id, "new hash", false, NOW)
        .await
        .unwrap();
    expect(
        Action::PasswordChanged,
        &[("password", ">changed"), ("tokens", "1>")],
    )
    .await;
    users.delete(&by_admin, bob.id, NOW).await.unwrap();
    expect(
        Action::UserDeleted,
        &[
            ("username", "bert>"),
            ("email", "bob@example.com>"),
            ("name", "The bob>"),
            ("roles", "owner,auditor>"),
            ("status", "active>"),
            ("is_service_account", "false>"),
            ("tokens", "0>"),
        ],
    )
    .await;
}

async fn every_write_on_tokens_leaves_one_entry(db: &TestDb) {
    let admin = Admin::make(db).await;
    let by_admin = admin.author();
    let bob = db.user("bob", []).await;
    let tokens = db.store.tokens();
    clear(db).await;

    let new = new_token(bob.id, TokenKind::Api, "ci");
    let token = tokens.create(&by_admin, new).await.unwrap().record;
    let made = only(db).await;
    assert_eq!(made.action, Action::TokenCreated);
    let target = Target {
        kind: TargetKind::Token,
        id: Some(token.id.to_string()),
        name: Some("ci".to_owned()),
    };
    assert_eq!(made.target, target);
    let expires = "2023-11-14T23:13:20.000000Z";
    assert_eq!(
        changed(&made),
        fields(&[
            ("name", ">ci"),
            ("owner", ">bob"),
            ("scopes", ">all"),
            ("lifetime", ">1h"),
            ("expires_at", &format!(">{expires}")),
        ])
    );

    tokens.expire(&by_admin, token.id, after(60)).await.unwrap();
    let ended = only(db).await;
    assert_eq!((ended.action, &ended.target), (Action::TokenExpired, &target));
    let moved = format!("{expires}>2023-11-14T22:14:20.000000Z");
    assert_eq!(
        changed(&ended),
        fields(&[("owner", "bob>bob"), ("expires_at", &moved)])
    );
    tokens.remove(&by_admin, token.id, NOW).await.unwrap();
    let removed = only(db).await;
    assert_eq!(removed.action, Action::TokenRemoved);
    assert_eq!(changed(&removed)["owner"], "bob>");
    assert_eq!(changed(&removed)["expires_at"], "2023-11-14T22:14:20.000000Z>");

    db.session(&bob).await;
    db.session(&bob).await;
    clear(db).await;
    tokens.remove_sessions(&by_admin, bob.id, NOW).await.unwrap();
    let ended = only(db).await;
    assert_eq!(ended.action, Action::SessionsRemoved);
    assert_eq!(ended.target, Target::user(bob.id, "bob"));
    assert_eq!(changed(&ended), fields(&[("sessions", "2>")]));

    let leak = db.api_token(&bob, "leak").await;
    clear(db).await;
    tokens
        .remove(&Author::SystemFor("its text was found"), leak.id, NOW)
        .await
        .unwrap();
    let found = only(db).await;
    assert_eq!(found.actor, Actor::SYSTEM);
    assert_eq!(found.detail.as_deref(), Some("its text was found"));
}

async fn signing_in_and_out_and_setting_up_are_the_users_own_acts(db: &TestDb) {
    let ann = db
        .store
        .users()
        .create_first_owner(&source(), new_user("ann", []), NOW)
        .await
        .unwrap();
    let entry = only(db).await;
    let by_ann = Actor::user(ann.id, "ann");
    assert_eq!((entry.action, &entry.actor), (Action::SetUp, &by_ann));
    assert_eq!(
        (&entry.source, changed(&entry)["roles"].as_str()),
        (&source(), ">owner")
    );

    let mut new = new_token(ann.id, TokenKind::Session, "");
    new.password_hash = Some(Secret::new("old hash"));
    let session = db
        .store
        .tokens()
        .create(&Author::Client(source()), new)
        .await
        .unwrap()
        .record;
    let entry = only(db).await;
    assert_eq!((entry.action, entry.actor), (Action::Login, by_ann.clone()));
    assert_eq!((entry.source, entry.target.kind), (source(), TargetKind::Session));

    let author = Author::Token {
        token_id: session.id,
        user_id: ann.id,
        needs: None,
        source: source(),
    };
    assert!(db.store.tokens().log_out(&author, session.id, NOW).await.unwrap());
    let entry = only(db).await;
    let with_session = Actor {
        token_id: Some(session.id),
        ..by_ann
    };
    assert_eq!((entry.action, entry.actor), (Action::Logout, with_session));

    // The session that gives way for another is told of with the new one.
    let oldest = db.session(&ann).await;
    for _ in 1..MAX_SESSIONS {
        let mut new = new_token(ann.id, TokenKind::Session, "");
        new.created_at = after(1);
        db.create_token(new).await.unwrap();
    }
    clear(db).await;
    db.session(&ann).await;
    assert_eq!(
        changed(&only(db).await).get("older_sessions"),
        Some(&format!("{}>", oldest.id))
    );
}

async fn a_refused_write_leaves_no_entry(db: &TestDb) {
    let admin = Admin::make(db).await;
    let by_admin = admin.author();
    let bob = db.user("bob", []).await;
    db.api_token(&bob, "ci").await;
    clear(db).await;
    let (users, tokens) = (db.store.users(), db.store.tokens());
    let gone = UserId::generate();
    let dead = Author::Token {
        token_id: token_id(7),
        user_id: bob.id,
        needs: None,
        source: source(),
    };
    let outcomes = [
        users.create(&by_admin, new_user("bob", []), NOW).await.map(drop),
        users
            .create_first_owner(&source(), new_user("eve", []), NOW)
            .await
            .map(drop),
        users.delete(&by_admin, admin.user.id, NOW).await.map(drop),
        users.delete(&dead, bob.id, NOW).await.map(drop),
        users
            .set_profile(&by_admin, bob.id, "admin", "", NOW)
            .await
            .map(drop),
        users
            .set_status(&by_admin, gone, UserStatus::Suspended, NOW)
            .await
            .map(drop),
        users
            .set_roles(&by_admin, admin.user.id, &Roles::default(), NOW)
            .await
            .map(drop),
        users
            .set_password(&by_admin, gone, "hash", true, NOW)
            .await
            .map(drop),
        tokens
            .create(&by_admin, new_token(bob.id, TokenKind::Api, "ci"))
            .await
            .map(drop),
        tokens.expire(&by_admin, token_id(7), NOW).await.map(drop),
    ];
    for (index, outcome) in outcomes.into_iter().enumerate() {
        assert!(outcome.is_err(), "number {index}");
    }
    assert!(!tokens.remove(&by_admin, token_id(7), NOW).await.unwrap());
    assert_eq!(all(db).await, []);
}

async fn a_write_that_cannot_be_noted_does_not_happen(db: &TestDb) {
    let bob = db.user("bob", []).await;
    let token = db.session(&bob).await;
    db.execute("ALTER TABLE audit_log RENAME TO elsewhere").await;
    let (users, tokens, system) = (db.store.users(), db.store.tokens(), Author::System);
    let outcomes = [
        users.create(&system, new_user("eve", []), NOW).await.map(drop),
        users.delete(&system, bob.id, NOW).await.map(drop),
        users
            .set_status(&system, bob.id, UserStatus::Suspended, NOW)
            .await
            .map(drop),
        users
            .set_roles(&system, bob.id, &Roles::new([Role::Owner]), NOW)
            .await
            .map(drop),
        users
            .set_profile(&system, bob.id, "bert", "", NOW)
            .await
            .map(drop),
        users
            .set_password(&system, bob.id, "new", false, NOW)
            .await
            .map(drop),
        tokens
            .create(&system, new_token(bob.id, TokenKind::Api, "ci"))
            .await
            .map(drop),
        tokens.remove(&system, token.id, NOW).await.map(drop),
        tokens.log_out(&system, token.id, NOW).await.map(drop),
        tokens.remove_sessions(&system, bob.id, NOW).await.map(drop),
        tokens.expire(&system, token.id, NOW).await.map(drop),
    ];
    for (index, outcome) in outcomes.into_iter().enumerate() {
        assert!(
            matches!(outcome, Err(StoreError::Database { .. })),
            "number {index}: {outcome:?}"
        );
    }
    assert_eq!(users.find(bob.id).await.unwrap(), Some(bob.clone()));
    assert_eq!(
        users.password_hash(bob.id).await.unwrap().as_deref(),
        Some("old hash")
    );
    assert_eq!(tokens.find(token.id).await.unwrap(), Some(token));
    assert_eq!(db.count("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(db.count("SELECT COUNT(*) FROM tokens").await, 1);
    db.execute("ALTER TABLE elsewhere RENAME TO audit_log").await;
}

async fn what_changes_nothing_and_housekeeping_leave_no_entry(db: &TestDb) {
    let bob = db.user("bob", []).await;
    let token = db.session(&bob).await;
    db.store
        .tokens()
        .expire(&Author::System, token.id, NOW)
        .await
        .unwrap();
    clear(db).await;
    let (users, tokens) = (db.store.users(), db.store.tokens());
    users
        .set_status(&Author::System, bob.id, UserStatus::Active, NOW)
        .await
        .unwrap();
    users
        .set_roles(&Author::System, bob.id, &Roles::default(), NOW)
        .await
        .unwrap();
    let same = users
        .set_profile(&Author::System, bob.id, "bob", &bob.name, after(9))
        .await
        .unwrap();
    assert_eq!(same, bob);
    tokens.expire(&Author::System, token.id, after(1)).await.unwrap();
    users.touch_seen(bob.id, after(2)).await.unwrap();
    assert_eq!(tokens.remove_expired(after(3), 10).await.unwrap(), 1);
    tokens
        .remove_sessions(&Author::System, bob.id, NOW)
        .await
        .unwrap();
    assert_eq!(all(db).await, []);
}

async fn no_column_holds_a_secret(db: &TestDb) {
    let admin = Admin::make(db).await;
    let token = ApiToken::generate(&mut rand::rng());
    let by_admin = Author::Token {
        token_id: admin.token,
        user_id: admin.user.id,
        needs: None,
        source: Source::new(None, Some(format!("agent {}", token.expose()).as_bytes())),
    };
    let (users, tokens) = (db.store.users(), db.store.tokens());
    let mut new = new_user("bob", []);
    new.password_hash = Some("hash-of-bob".to_owned());
    let bob = users.create(&by_admin, new, NOW).await.unwrap();
    let mut new = new_token(bob.id, TokenKind::Session, "");
    (new.id, new.secret_hash) = (token.id(), token.secret_hash());
    new.password_hash = Some(Secret::new("hash-of-bob"));
    tokens.create(&by_admin, new).await.unwrap();
    tokens.expire(&by_admin, token.id(), after(1)).await.unwrap();
    tokens.remove(&by_admin, token.id(), NOW).await.unwrap();
    users
        .set_password(&by_admin, bob.id, "newer-hash", false, NOW)
        .await
        .unwrap();
    users.delete(&by_admin, bob.id, NOW).await.unwrap();

    let other = ApiToken::generate(&mut rand::rng());
    users
        .set_profile(&by_admin, admin.user.id, other.expose(), other.expose(), NOW)
        .await
        .unwrap();

    let hex = token
        .secret_hash()
        .as_bytes()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
    let (secret, other) = (&token.expose()[15..], &other.expose()[15..]);
    let row = "COALESCE(id || at || actor_kind || COALESCE(actor_id, '') || COALESCE(actor_username, '') \
        || COALESCE(actor_username_folded, '') || COALESCE(actor_token_id, '') || COALESCE(address, '') \
        || COALESCE(user_agent, '') || action || target_kind || COALESCE(target_id, '') \
        || COALESCE(target_name, '') || COALESCE(target_name_folded, '') || changes || COALESCE(detail, ''), '')";
    let found = async |text: &str| {
        let sql = format!("SELECT COUNT(*) FROM audit_log WHERE LOWER({row}) LIKE LOWER('%{text}%')");
        db.count(&sql).await
    };
    assert!(found("agent cdr").await >= 6, "the search finds what is there");
    for secret in [
        secret,
        &secret[..8],
        other,
        &hex,
        "hash-of-bob",
        "newer-hash",
        "old hash",
    ] {
        assert_eq!(found(secret).await, 0, "{secret}");
    }
    assert_eq!(db.count("SELECT COUNT(*) FROM audit_log").await, 9);
}

async fn entries_outlive_whom_they_tell_of(db: &TestDb) {
    let admin = Admin::make(db).await;
    let bob = db.user("bob", []).await;
    clear(db).await;
    db.store
        .users()
        .delete(&admin.author(), bob.id, NOW)
        .await
        .unwrap();
    let other = db.user("other", [Role::Owner]).await;
    db.store
        .users()
        .delete(&Author::System, admin.user.id, NOW)
        .await
        .unwrap();
    let entries = all(db).await;
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[2].target, Target::user(bob.id, "bob"));
    assert_eq!(entries[2].actor.username.as_deref(), Some("admin"));
    assert_eq!(entries[1].target, Target::user(other.id, "other"));
}
