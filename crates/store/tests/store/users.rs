//! Making, finding, listing and changing users.

use gateway_core::audit::Source;
use gateway_core::{Role, Roles, TokenKind, UserId, UserStatus};
use gateway_store::{Author, Field, NewUser, StoreError, UserFilter};

use crate::support::{NOW, TestDb, after, new_token, new_user, on_both_engines};

on_both_engines!(
    a_user_comes_back_as_it_was_made,
    lookups_ignore_case,
    taken_names_are_named,
    names_are_free_again_after_deletion,
    set_up_happens_once,
    an_owner_made_otherwise_ends_set_up,
    a_failed_set_up_can_be_tried_again,
    deleting_takes_the_tokens_along,
    status_roles_and_profile_change,
    what_is_not_there_is_not_found,
    a_new_password_ends_sessions,
    service_accounts_have_no_password,
    lists_are_filtered,
    searches_are_literal,
    pages_are_stable,
    last_seen_never_moves_backwards,
);

async fn a_user_comes_back_as_it_was_made(db: &TestDb) {
    let users = db.store.users();
    let new = new_user("Ann", [Role::Auditor, Role::Owner]);
    let made = users.create(&Author::System, new.clone(), NOW).await.unwrap();
    assert_eq!((made.id, made.username.as_str()), (new.id, "Ann"));
    assert_eq!(made.email.as_deref(), Some("Ann@example.com"));
    assert_eq!((made.name.as_str(), made.status), ("The Ann", UserStatus::Active));
    assert_eq!(made.roles, Roles::new([Role::Owner, Role::Auditor]));
    assert_eq!(
        (made.created_at, made.updated_at, made.last_seen_at),
        (NOW, NOW, None)
    );
    assert!(!made.is_service_account);
    assert_eq!(users.find(made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(
        users.password_hash(made.id).await.unwrap().as_deref(),
        Some("old hash")
    );
    let credentials = users.credentials_by_email("ann@EXAMPLE.com").await.unwrap();
    assert_eq!(credentials, Some((made, Some("old hash".to_owned()))));
}

async fn lookups_ignore_case(db: &TestDb) {
    let users = db.store.users();
    let made = db.user("ÄnnE", []).await;
    assert_eq!(users.find_by_username("äNNe").await.unwrap(), Some(made.clone()));
    assert_eq!(users.find_by_email("äNNe@example.COM").await.unwrap(), Some(made));
    assert_eq!(users.find_by_username("anne").await.unwrap(), None);
    assert_eq!(users.find_by_email("").await.unwrap(), None);
    assert_eq!(
        users.credentials_by_email("nobody@example.com").await.unwrap(),
        None
    );
}

async fn taken_names_are_named(db: &TestDb) {
    let users = db.store.users();
    db.user("ann", []).await;
    let same_name = NewUser {
        email: Some("other@example.com".to_owned()),
        ..new_user("ANN", [])
    };
    let error = users.create(&Author::System, same_name, NOW).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NameTaken(Field::Username)),
        "{error:?}"
    );
    let same_email = NewUser {
        email: Some("ANN@example.com".to_owned()),
        ..new_user("bob", [])
    };
    let error = users.create(&Author::System, same_email, NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken(Field::Email)), "{error:?}");

    let bob = db.user("bob", []).await;
    let error = users
        .set_profile(&Author::System, bob.id, "Ann", "", NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NameTaken(Field::Username)),
        "{error:?}"
    );
    let renamed = users
        .set_profile(&Author::System, bob.id, "BOB", "", NOW)
        .await
        .unwrap();
    assert_eq!(renamed.username, "BOB", "the own name is free");
}

async fn names_are_free_again_after_deletion(db: &TestDb) {
    let ann = db.user("ann", []).await;
    db.store
        .users()
        .delete(&Author::System, ann.id, NOW)
        .await
        .unwrap();
    let again = db.user("Ann", []).await;
    assert_ne!(again.id, ann.id);
}

async fn set_up_happens_once(db: &TestDb) {
    let users = db.store.users();
    assert!(!users.is_set_up().await.unwrap());
    let first = users
        .create_first_owner(&Source::default(), new_user("ann", []), NOW)
        .await
        .unwrap();
    assert!(first.roles.is_owner(), "whatever was asked for");
    assert!(users.is_set_up().await.unwrap());
    let error = users
        .create_first_owner(&Source::default(), new_user("eve", []), NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::AlreadySetUp), "{error:?}");

    db.user("bob", [Role::Owner]).await;
    users.delete(&Author::System, first.id, NOW).await.unwrap();
    assert!(users.is_set_up().await.unwrap(), "the fact outlives the owner");
    assert!(
        users
            .create_first_owner(&Source::default(), new_user("eve", []), NOW)
            .await
            .is_err()
    );
    assert_eq!(users.find_by_username("eve").await.unwrap(), None);
}

async fn an_owner_made_otherwise_ends_set_up(db: &TestDb) {
    let users = db.store.users();
    db.user("bob", [Role::UserAdmin]).await;
    assert!(!users.is_set_up().await.unwrap());
    db.user("ann", [Role::Owner]).await;
    assert!(users.is_set_up().await.unwrap());
    assert!(
        users
            .create_first_owner(&Source::default(), new_user("eve", []), NOW)
            .await
            .is_err()
    );
}

async fn a_failed_set_up_can_be_tried_again(db: &TestDb) {
    let users = db.store.users();
    db.user("ann", []).await;
    let error = users
        .create_first_owner(&Source::default(), new_user("ann", []), NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NameTaken(Field::Username)),
        "{error:?}"
    );
    assert!(!users.is_set_up().await.unwrap(), "rolled back as a whole");
    users
        .create_first_owner(&Source::default(), new_user("bob", []), NOW)
        .await
        .unwrap();
}

async fn deleting_takes_the_tokens_along(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let gone = [
        db.session(&ann).await,
        db.api_token(&ann, "a").await,
        db.api_token(&ann, "b").await,
    ];
    let kept = db.api_token(&bob, "a").await;
    let deleted = db
        .store
        .users()
        .delete(&Author::System, ann.id, NOW)
        .await
        .unwrap();
    assert_eq!(deleted.tokens, 3);
    for token in gone {
        assert!(!db.has_token(token.id).await);
        assert_eq!(db.store.tokens().find_with_user(token.id).await.unwrap(), None);
    }
    assert!(db.has_token(kept.id).await);
    assert_eq!(db.count("SELECT COUNT(*) FROM tokens").await, 1);
}

async fn status_roles_and_profile_change(db: &TestDb) {
    let users = db.store.users();
    let ann = db.user("ann", []).await;
    let suspended = users
        .set_status(&Author::System, ann.id, UserStatus::Suspended, after(1))
        .await
        .unwrap();
    assert_eq!(
        (suspended.status, suspended.updated_at),
        (UserStatus::Suspended, after(1))
    );
    let again = users
        .set_status(&Author::System, ann.id, UserStatus::Suspended, after(2))
        .await
        .unwrap();
    assert_eq!(again, suspended, "nothing to change, nothing touched");
    let roles = Roles::new([Role::Auditor]);
    assert_eq!(
        users
            .set_roles(&Author::System, ann.id, &roles, after(3))
            .await
            .unwrap()
            .roles,
        roles
    );
    let renamed = users
        .set_profile(&Author::System, ann.id, "Anna", "Anna B.", after(4))
        .await
        .unwrap();
    assert_eq!(
        (renamed.username.as_str(), renamed.name.as_str()),
        ("Anna", "Anna B.")
    );
    assert_eq!((renamed.created_at, renamed.updated_at), (NOW, after(4)));
    assert_eq!(users.find_by_username("anna").await.unwrap(), Some(renamed));
    assert_eq!(users.find_by_username("ann").await.unwrap(), None);
}

async fn what_is_not_there_is_not_found(db: &TestDb) {
    let (users, nobody, system) = (db.store.users(), UserId::generate(), Author::System);
    assert_eq!(users.find(nobody).await.unwrap(), None);
    assert_eq!(users.password_hash(nobody).await.unwrap(), None);
    let errors = [
        users.delete(&system, nobody, NOW).await.unwrap_err(),
        users
            .set_status(&system, nobody, UserStatus::Active, NOW)
            .await
            .unwrap_err(),
        users
            .set_roles(&system, nobody, &Roles::default(), NOW)
            .await
            .unwrap_err(),
        users
            .set_profile(&system, nobody, "x", "", NOW)
            .await
            .unwrap_err(),
        users
            .set_password(&system, nobody, "hash", false, NOW)
            .await
            .unwrap_err(),
    ];
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, StoreError::NotFound("user"))),
        "{errors:?}"
    );
    users.touch_seen(nobody, NOW).await.unwrap();
}

async fn a_new_password_ends_sessions(db: &TestDb) {
    let users = db.store.users();
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let others = db.session(&bob).await;
    for keep_api_tokens in [true, false] {
        let mut sessions = vec![db.session(&ann).await.id, db.session(&ann).await.id];
        let api = db.create_token(new_token(ann.id, TokenKind::Api, "api")).await;
        let hash = format!("hash, {keep_api_tokens}");
        let mut removed = users
            .set_password(&Author::System, ann.id, &hash, keep_api_tokens, NOW)
            .await
            .unwrap();
        if keep_api_tokens {
            assert!(db.has_token(api.unwrap().id).await);
        } else {
            assert_eq!(db.store.tokens().find_by_name(ann.id, "api").await.unwrap(), None);
            assert_eq!(removed.len(), 3);
            removed.retain(|id| sessions.contains(id));
        }
        sessions.sort_unstable();
        removed.sort_unstable();
        assert_eq!(removed, sessions);
        assert_eq!(users.password_hash(ann.id).await.unwrap(), Some(hash));
    }
    assert!(db.has_token(others.id).await);
}

async fn service_accounts_have_no_password(db: &TestDb) {
    let users = db.store.users();
    let bot = db.service_account("bot", []).await;
    assert!(bot.is_service_account);
    let error = users
        .set_password(&Author::System, bot.id, "hash", false, NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::ServiceAccount), "{error:?}");
    let new = NewUser {
        is_service_account: true,
        ..new_user("bot2", [])
    };
    let error = users.create(&Author::System, new, NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::ServiceAccount), "{error:?}");
    db.service_account("bot2", []).await;
}

async fn lists_are_filtered(db: &TestDb) {
    let users = db.store.users();
    let ann = db.user("ann", [Role::Owner]).await;
    let bob = db.user("bob", [Role::UserAdmin, Role::Auditor]).await;
    let cid = db.user("Cid", []).await;
    users
        .set_status(&Author::System, cid.id, UserStatus::Suspended, NOW)
        .await
        .unwrap();
    let list = async |filter: UserFilter| {
        let page = users.list(filter).await.unwrap();
        assert_eq!(page.count, page.users.len() as u64);
        page.users.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    let all = UserFilter::default;
    assert_eq!(
        list(all()).await,
        [ann.id, bob.id, cid.id],
        "in the order of creation"
    );
    assert_eq!(
        list(UserFilter {
            role: Some(Role::Owner),
            ..all()
        })
        .await,
        [ann.id]
    );
    assert_eq!(
        list(UserFilter {
            role: Some(Role::Auditor),
            ..all()
        })
        .await,
        [bob.id]
    );
    assert_eq!(
        list(UserFilter {
            role: Some(Role::Member),
            ..all()
        })
        .await
        .len(),
        3
    );
    assert_eq!(
        list(UserFilter {
            status: Some(UserStatus::Suspended),
            ..all()
        })
        .await,
        [cid.id]
    );
    let bot = db.service_account("bot", []).await;
    for (is_service_account, ids) in [(true, vec![bot.id]), (false, vec![ann.id, bob.id, cid.id])] {
        let kind = UserFilter {
            is_service_account: Some(is_service_account),
            ..all()
        };
        assert_eq!(list(kind).await, ids);
    }
    let search = |part: &str| UserFilter {
        search: Some(part.to_owned()),
        ..all()
    };
    assert_eq!(list(search("CI")).await, [cid.id], "a part of the username");
    assert_eq!(list(search("Bob@Ex")).await, [bob.id], "a part of the address");
    assert_eq!(list(search("tHe A")).await, [ann.id], "a part of the name");
    assert_eq!(list(search("")).await.len(), 4);
    let both = UserFilter {
        status: Some(UserStatus::Active),
        ..search("cid")
    };
    assert_eq!(list(both).await, []);
}

async fn searches_are_literal(db: &TestDb) {
    let users = db.store.users();
    let names = ["100%", "a_b", r"c:\d", "É"];
    for name in names {
        db.user(name, []).await;
    }
    for (part, expected) in [
        ("%", vec!["100%"]),
        ("_", vec!["a_b"]),
        (r":\", vec![r"c:\d"]),
        ("é", vec!["É"]),
    ] {
        let page = users
            .list(UserFilter {
                search: Some(part.to_owned()),
                ..UserFilter::default()
            })
            .await;
        let found: Vec<String> = page
            .unwrap()
            .users
            .into_iter()
            .map(|user| user.username)
            .collect();
        assert_eq!(found, expected, "{part}");
    }
}

async fn pages_are_stable(db: &TestDb) {
    let users = db.store.users();
    let mut made = Vec::new();
    for n in 0..25 {
        made.push(db.user(&format!("u{n}"), []).await.id);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = UserFilter {
            after,
            limit: 4,
            ..UserFilter::default()
        };
        let page = users.list(filter).await.unwrap();
        let Some(last) = page.users.last() else { break };
        after = Some(last.id);
        seen.extend(page.users.iter().map(|user| user.id));
        // A user that goes, or comes last, moves nobody else.
        if seen.len() == 8 {
            users.delete(&Author::System, seen[2], NOW).await.unwrap();
            made.push(db.user("late", []).await.id);
        }
    }
    assert_eq!(seen, made);
    let filter = UserFilter {
        limit: 5,
        offset: 20,
        ..UserFilter::default()
    };
    let page = users.list(filter).await.unwrap();
    assert_eq!((page.count, page.users.len()), (25, 5));
    assert_eq!(page.users[4].id, made[25]);
}

async fn last_seen_never_moves_backwards(db: &TestDb) {
    let users = db.store.users();
    let ann = db.user("ann", []).await;
    for (at, expected) in [(10, 10), (5, 10), (11, 11)] {
        users.touch_seen(ann.id, after(at)).await.unwrap();
        assert_eq!(
            users.find(ann.id).await.unwrap().unwrap().last_seen_at,
            Some(after(expected))
        );
    }
}
