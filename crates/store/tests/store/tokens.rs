//! Making, finding, listing and removing tokens.

use gateway_core::{Lifetime, Scope, Scopes, Secret, TokenId, TokenKind, UserId, UserStatus};
use gateway_store::{Author, Field, MAX_API_TOKENS, MAX_SESSIONS, NewToken, StoreError, TokenFilter};

use crate::support::{NOW, TestDb, after, new_token, on_both_engines, token_id};

on_both_engines!(
    a_token_comes_back_as_it_was_made,
    the_verifying_lookup_brings_the_user,
    names_are_unique_among_live_api_tokens_of_a_user,
    a_removed_name_is_free,
    an_expired_name_is_free,
    ids_are_unique,
    a_token_needs_its_user,
    a_suspended_user_gets_no_session,
    a_session_needs_the_password_that_was_checked,
    api_tokens_are_bounded,
    a_new_session_ends_the_oldest,
    expired_tokens_are_bounded,
    removing_says_whether_it_was_there,
    sessions_are_removed_together,
    expiring_moves_the_end_once,
    lists_are_filtered,
    lists_begin_with_the_newest,
    pages_are_stable,
    expired_tokens_are_removed_in_batches,
);

async fn a_token_comes_back_as_it_was_made(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let new = NewToken {
        scopes: Scopes::new([Scope::Aibridge]),
        lifetime: Lifetime::from_nanos(1_234_567_891).unwrap(),
        ..new_token(ann.id, TokenKind::Api, "my-ai-token")
    };
    let made = db.create_token(new.clone()).await.unwrap();
    assert_eq!(
        (made.id, made.user_id, made.kind),
        (new.id, ann.id, TokenKind::Api)
    );
    assert!(made.secret_hash.matches(&new.secret_hash));
    assert_eq!((made.name.as_str(), &made.scopes), ("my-ai-token", &new.scopes));
    assert_eq!(made.lifetime, new.lifetime);
    assert_eq!((made.created_at, made.updated_at), (NOW, NOW));
    assert_eq!((made.expires_at, made.last_used_at), (after(3600), None));
    assert_eq!(db.store.tokens().find(made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(
        db.store
            .tokens()
            .find_by_name(ann.id, "my-ai-token")
            .await
            .unwrap(),
        Some(made)
    );
}

async fn the_verifying_lookup_brings_the_user(db: &TestDb) {
    let tokens = db.store.tokens();
    let ann = db.user("ann", [gateway_core::Role::Auditor]).await;
    let token = db.session(&ann).await;
    assert_eq!(
        tokens.find_with_user(token.id).await.unwrap(),
        Some((token.clone(), ann.clone()))
    );
    assert_eq!(tokens.find_with_user(token_id(1)).await.unwrap(), None);
    let suspended = db
        .store
        .users()
        .set_status(&Author::System, ann.id, UserStatus::Suspended, after(1))
        .await
        .unwrap();
    assert_eq!(
        tokens.find_with_user(token.id).await.unwrap(),
        Some((token, suspended))
    );
}

async fn names_are_unique_among_live_api_tokens_of_a_user(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    db.api_token(&ann, "ci").await;
    let error = db
        .create_token(new_token(ann.id, TokenKind::Api, "ci"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NameTaken(Field::TokenName)),
        "{error:?}"
    );
    db.api_token(&ann, "CI").await;
    db.api_token(&bob, "ci").await;
    db.session(&ann).await;
    db.session(&ann).await;
    assert_eq!(
        db.store.tokens().find_by_name(ann.id, "").await.unwrap(),
        None,
        "sessions have no name"
    );
}

async fn a_removed_name_is_free(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.api_token(&ann, "ci").await;
    db.store
        .tokens()
        .remove(&Author::System, token.id, NOW)
        .await
        .unwrap();
    let again = db.api_token(&ann, "ci").await;
    assert_eq!(
        db.store.tokens().find_by_name(ann.id, "ci").await.unwrap(),
        Some(again)
    );
}

async fn an_expired_name_is_free(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let old = db.api_token(&ann, "ci").await;
    let too_early = NewToken {
        created_at: after(3599),
        ..new_token(ann.id, TokenKind::Api, "ci")
    };
    assert!(matches!(
        db.create_token(too_early).await,
        Err(StoreError::NameTaken(_))
    ));
    let in_time = NewToken {
        created_at: after(3600),
        expires_at: after(7200),
        ..new_token(ann.id, TokenKind::Api, "ci")
    };
    let new = db.create_token(in_time).await.unwrap();
    assert!(!db.has_token(old.id).await, "the old row is gone");
    assert_eq!(
        db.store.tokens().find_by_name(ann.id, "ci").await.unwrap(),
        Some(new)
    );
}

async fn ids_are_unique(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.api_token(&ann, "one").await;
    let same = NewToken {
        id: token.id,
        ..new_token(ann.id, TokenKind::Api, "two")
    };
    assert!(matches!(
        db.create_token(same).await,
        Err(StoreError::TokenIdTaken)
    ));
}

async fn a_token_needs_its_user(db: &TestDb) {
    for (kind, name) in [(TokenKind::Api, "ci"), (TokenKind::Session, "")] {
        let error = db
            .create_token(new_token(UserId::generate(), kind, name))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::UserGone), "{error:?}");
    }
}

async fn a_suspended_user_gets_no_session(db: &TestDb) {
    let ann = db.user("ann", []).await;
    db.store
        .users()
        .set_status(&Author::System, ann.id, UserStatus::Suspended, NOW)
        .await
        .unwrap();
    let error = db
        .create_token(new_token(ann.id, TokenKind::Session, ""))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::UserSuspended), "{error:?}");
    db.api_token(&ann, "for-later").await;
}

/// A sign-in that checked the old password must not outlive its change.
async fn a_session_needs_the_password_that_was_checked(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let session = |hash: &str| NewToken {
        password_hash: Some(Secret::new(hash)),
        ..new_token(ann.id, TokenKind::Session, "")
    };
    db.create_token(session("old hash")).await.unwrap();
    db.store
        .users()
        .set_password(&Author::System, ann.id, "new hash", true, NOW)
        .await
        .unwrap();
    let error = db.create_token(session("old hash")).await.unwrap_err();
    assert!(matches!(error, StoreError::PasswordChanged), "{error:?}");
    db.create_token(session("new hash")).await.unwrap();
}

async fn api_tokens_are_bounded(db: &TestDb) {
    let ann = db.user("ann", []).await;
    fill_with_tokens(db, ann.id, "api", MAX_API_TOKENS - 1, after(3600).as_micros()).await;
    db.session(&ann).await;
    db.api_token(&ann, "last").await;
    let error = db
        .create_token(new_token(ann.id, TokenKind::Api, "more"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::TooManyTokens {
                limit: MAX_API_TOKENS
            }
        ),
        "{error:?}"
    );
    let later = NewToken {
        created_at: after(3600),
        expires_at: after(7200),
        ..new_token(ann.id, TokenKind::Api, "more")
    };
    db.create_token(later).await.unwrap();
}

async fn a_new_session_ends_the_oldest(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let api = db.api_token(&ann, "api").await;
    let mut sessions = Vec::new();
    for n in 0..MAX_SESSIONS {
        let created_at = after(n.unsigned_abs());
        let new = NewToken {
            created_at,
            ..new_token(ann.id, TokenKind::Session, "")
        };
        sessions.push(new.id);
        let created = db.store.tokens().create(&Author::System, new).await.unwrap();
        assert_eq!(created.dropped_sessions, []);
    }
    let new = NewToken {
        created_at: after(500),
        ..new_token(ann.id, TokenKind::Session, "")
    };
    let created = db.store.tokens().create(&Author::System, new).await.unwrap();
    assert_eq!(created.dropped_sessions, [sessions[0]]);
    assert!(!db.has_token(sessions[0]).await);
    assert!(db.has_token(sessions[1]).await);
    assert!(db.has_token(api.id).await);
}

async fn expired_tokens_are_bounded(db: &TestDb) {
    let ann = db.user("ann", []).await;
    fill_with_tokens(db, ann.id, "api", 1005, NOW.as_micros()).await;
    let live = db.api_token(&ann, "live").await;
    assert_eq!(db.count("SELECT COUNT(*) FROM tokens").await, 1001);
    assert!(db.has_token(live.id).await);
}

async fn fill_with_tokens(db: &TestDb, user: UserId, kind: &str, count: i64, expires_at: i64) {
    let zeros = match db.place.engine {
        gateway_store::Engine::Sqlite => "zeroblob(32)",
        gateway_store::Engine::Postgres => r"decode(repeat('00', 32), 'hex')",
    };
    db.execute(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO tokens (id, user_id, secret_hash, kind, name, scopes, lifetime_nanos, slides, created_at, \
            updated_at, expires_at) \
         SELECT 'tok' || (1000000 + i), '{user}', {zeros}, '{kind}', 'name' || i, 'all', 1, FALSE, 0, 0, {expires_at} \
         FROM n"
    ))
    .await;
}

async fn removing_says_whether_it_was_there(db: &TestDb) {
    let tokens = db.store.tokens();
    let ann = db.user("ann", []).await;
    let token = db.api_token(&ann, "ci").await;
    assert!(tokens.remove(&Author::System, token.id, NOW).await.unwrap());
    assert!(!tokens.remove(&Author::System, token.id, NOW).await.unwrap());
    assert_eq!(tokens.find(token.id).await.unwrap(), None);
}

async fn sessions_are_removed_together(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let mut sessions = vec![db.session(&ann).await.id, db.session(&ann).await.id];
    let kept = [db.api_token(&ann, "ci").await.id, db.session(&bob).await.id];
    let mut removed = db
        .store
        .tokens()
        .remove_sessions(&Author::System, ann.id, NOW)
        .await
        .unwrap();
    sessions.sort_unstable();
    removed.sort_unstable();
    assert_eq!(removed, sessions);
    for id in kept {
        assert!(db.has_token(id).await);
    }
    assert_eq!(
        db.store
            .tokens()
            .remove_sessions(&Author::System, ann.id, NOW)
            .await
            .unwrap(),
        []
    );
}

async fn expiring_moves_the_end_once(db: &TestDb) {
    let tokens = db.store.tokens();
    let ann = db.user("ann", []).await;
    let token = db.api_token(&ann, "ci").await;
    for at in [10, 20] {
        let expired = tokens.expire(&Author::System, token.id, after(at)).await.unwrap();
        assert_eq!(
            (expired.expires_at, expired.updated_at),
            (after(10), after(10)),
            "the first time is kept"
        );
    }
    let error = tokens
        .expire(&Author::System, token_id(1), NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotFound("token")), "{error:?}");
}

/// What is alive at ten seconds, everybody's, both kinds.
fn everything() -> TokenFilter {
    TokenFilter {
        user: None,
        kind: None,
        include_expired: false,
        now: after(10),
        after: None,
        limit: 0,
        newest_first: false,
    }
}

async fn listed(db: &TestDb, filter: TokenFilter) -> Vec<TokenId> {
    let list = db.store.tokens().list(filter).await.unwrap();
    list.into_iter().map(|token| token.record.id).collect()
}

async fn lists_begin_with_the_newest(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let mut made = Vec::new();
    for second in [1, 3, 2] {
        let new = NewToken {
            created_at: after(second),
            ..new_token(ann.id, TokenKind::Api, &format!("at-{second}"))
        };
        made.push(db.create_token(new).await.unwrap().id);
    }
    let newest_first = |limit| TokenFilter {
        newest_first: true,
        limit,
        ..everything()
    };
    assert_eq!(listed(db, newest_first(0)).await, [made[1], made[2], made[0]]);
    assert_eq!(listed(db, newest_first(1)).await, [made[1]]);
}

async fn lists_are_filtered(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let mut living = vec![db.session(&ann).await.id, db.api_token(&bob, "b").await.id];
    living.push(db.api_token(&ann, "a").await.id);
    let short = NewToken {
        expires_at: after(10),
        ..new_token(bob.id, TokenKind::Api, "short")
    };
    let short = db.create_token(short).await.unwrap().id;
    living.sort_unstable();
    assert_eq!(
        listed(db, everything()).await,
        living,
        "in the order of ids, without the expired one"
    );
    let with_expired = listed(
        db,
        TokenFilter {
            include_expired: true,
            ..everything()
        },
    )
    .await;
    assert!(with_expired.contains(&short) && with_expired.len() == 4);
    let earlier = TokenFilter {
        now: after(9),
        ..everything()
    };
    assert!(
        listed(db, earlier).await.contains(&short),
        "alive until the very moment"
    );
    let of_ann = TokenFilter {
        user: Some(ann.id),
        ..everything()
    };
    assert_eq!(listed(db, of_ann.clone()).await.len(), 2);
    assert_eq!(
        listed(
            db,
            TokenFilter {
                kind: Some(TokenKind::Api),
                ..of_ann
            }
        )
        .await
        .len(),
        1
    );
    assert_eq!(
        listed(
            db,
            TokenFilter {
                kind: Some(TokenKind::Session),
                ..everything()
            }
        )
        .await
        .len(),
        1
    );
    for token in db.store.tokens().list(everything()).await.unwrap() {
        assert_eq!(
            token.username,
            if token.record.user_id == ann.id {
                "ann"
            } else {
                "bob"
            }
        );
        assert_eq!(
            db.store.tokens().find(token.record.id).await.unwrap(),
            Some(token.record)
        );
    }
}

async fn pages_are_stable(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(db.api_token(&ann, &format!("t{n}")).await.id);
    }
    all.sort_unstable();
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = listed(
            db,
            TokenFilter {
                after: last,
                limit: 3,
                ..everything()
            },
        )
        .await;
        let Some(id) = page.last() else { break };
        last = Some(*id);
        seen.extend(page);
        // A token that goes moves nobody else.
        if seen.len() == 6 {
            db.store
                .tokens()
                .remove(&Author::System, seen[1], NOW)
                .await
                .unwrap();
        }
    }
    assert_eq!(seen, all);
}

async fn expired_tokens_are_removed_in_batches(db: &TestDb) {
    let tokens = db.store.tokens();
    let ann = db.user("ann", []).await;
    for (name, seconds) in [("a", 10), ("b", 20), ("c", 30), ("d", 40)] {
        let new = NewToken {
            expires_at: after(seconds),
            ..new_token(ann.id, TokenKind::Api, name)
        };
        db.create_token(new).await.unwrap();
    }
    assert_eq!(
        tokens.remove_expired(after(40), 2).await.unwrap(),
        2,
        "the oldest first"
    );
    assert!(tokens.find_by_name(ann.id, "c").await.unwrap().is_some());
    assert_eq!(tokens.remove_expired(after(40), 2).await.unwrap(), 1);
    assert_eq!(
        tokens.remove_expired(after(40), 2).await.unwrap(),
        0,
        "at the very moment it stays"
    );
    assert!(tokens.find_by_name(ann.id, "d").await.unwrap().is_some());
}
