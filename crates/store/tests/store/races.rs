//! Many callers at once.

use gateway_core::audit::Source;
use gateway_core::{Role, Secret, TokenKind};
use gateway_store::{Author, Field, NewToken, StoreError, TokenFilter};
use tokio::task::JoinSet;

use crate::support::{NOW, TestDb, new_token, new_user, on_both_engines};

on_both_engines!(
    one_username_wins,
    one_set_up_wins,
    one_token_name_wins,
    many_writers_and_readers,
    a_token_is_never_made_for_a_deleted_user,
    no_session_outlives_the_password_it_was_made_with,
);

const CALLERS: usize = 12;

async fn one_username_wins(db: &TestDb) {
    let replica = db.replica().await;
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS {
        let store = if n % 2 == 0 {
            db.store.clone()
        } else {
            replica.clone()
        };
        let mut new = new_user(if n % 3 == 0 { "ANN" } else { "ann" }, []);
        new.email = Some(format!("{n}@example.com"));
        tasks.spawn(async move { store.users().create(&Author::System, new, NOW).await });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let taken =
        |outcome: &&Result<_, StoreError>| matches!(outcome, Err(StoreError::NameTaken(Field::Username)));
    assert_eq!(outcomes.iter().filter(taken).count(), CALLERS - 1, "{outcomes:?}");
    replica.close().await;
}

async fn one_set_up_wins(db: &TestDb) {
    let replica = db.replica().await;
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS {
        let store = if n % 2 == 0 {
            db.store.clone()
        } else {
            replica.clone()
        };
        let new = new_user(&format!("first-{n}"), []);
        tasks.spawn(async move {
            store
                .users()
                .create_first_owner(&Source::default(), new, NOW)
                .await
        });
    }
    let outcomes = tasks.join_all().await;
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(StoreError::AlreadySetUp)))
        .count();
    assert_eq!(refused, CALLERS - 1, "{outcomes:?}");
    assert_eq!(db.count("SELECT COUNT(*) FROM users").await, 1);
    replica.close().await;
}

async fn one_token_name_wins(db: &TestDb) {
    let replica = db.replica().await;
    let ann = db.user("ann", []).await;
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS {
        let store = if n % 2 == 0 {
            db.store.clone()
        } else {
            replica.clone()
        };
        let new = new_token(ann.id, TokenKind::Api, "ci");
        tasks.spawn(async move { store.tokens().create(&Author::System, new).await });
    }
    let outcomes = tasks.join_all().await;
    let taken =
        |outcome: &&Result<_, StoreError>| matches!(outcome, Err(StoreError::NameTaken(Field::TokenName)));
    assert_eq!(outcomes.iter().filter(taken).count(), CALLERS - 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    replica.close().await;
}

async fn many_writers_and_readers(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let (store, user) = (db.store.clone(), ann.id);
        tasks.spawn(async move {
            for m in 0..5 {
                let new = new_token(user, TokenKind::Api, &format!("{n}-{m}"));
                let id = new.id;
                store.tokens().create(&Author::System, new).await.unwrap();
                assert!(
                    store.tokens().find_with_user(id).await.unwrap().is_some(),
                    "read your own write"
                );
                let filter = TokenFilter {
                    user: Some(user),
                    kind: None,
                    include_expired: true,
                    now: NOW,
                    after: None,
                    limit: 10,
                    newest_first: false,
                };
                assert!(!store.tokens().list(filter).await.unwrap().is_empty());
                if m % 2 == 0 {
                    assert!(store.tokens().remove(&Author::System, id, NOW).await.unwrap());
                    assert!(
                        store.tokens().find_with_user(id).await.unwrap().is_none(),
                        "gone means gone"
                    );
                }
            }
        });
    }
    assert_eq!(tasks.join_all().await.len(), 40);
    assert_eq!(db.count("SELECT COUNT(*) FROM tokens").await, 80);
}

async fn a_token_is_never_made_for_a_deleted_user(db: &TestDb) {
    let replica = db.replica().await;
    db.user("owner", [Role::Owner]).await;
    for round in 0..10 {
        let user = db.user(&format!("user-{round}"), []).await;
        let mut tasks = JoinSet::new();
        for n in 0..6 {
            let store = if n % 2 == 0 {
                db.store.clone()
            } else {
                replica.clone()
            };
            let new = new_token(user.id, TokenKind::Api, &format!("t{n}"));
            tasks.spawn(async move {
                match store.tokens().create(&Author::System, new).await {
                    Ok(_) | Err(StoreError::UserGone) => {}
                    Err(error) => panic!("{error:?}"),
                }
            });
        }
        let store = db.store.clone();
        tasks.spawn(async move {
            store.users().delete(&Author::System, user.id, NOW).await.unwrap();
        });
        tasks.join_all().await;
        assert_eq!(db.count("SELECT COUNT(*) FROM tokens").await, 0);
    }
    replica.close().await;
}

async fn no_session_outlives_the_password_it_was_made_with(db: &TestDb) {
    let replica = db.replica().await;
    let ann = db.user("ann", []).await;
    for round in 0..10 {
        let old = db.store.users().password_hash(ann.id).await.unwrap().unwrap();
        let mut tasks = JoinSet::new();
        for n in 0..6 {
            let store = if n % 2 == 0 {
                db.store.clone()
            } else {
                replica.clone()
            };
            let mut new: NewToken = new_token(ann.id, TokenKind::Session, "");
            new.password_hash = Some(Secret::new(old.as_str()));
            tasks.spawn(async move {
                match store.tokens().create(&Author::System, new).await {
                    Ok(_) | Err(StoreError::PasswordChanged) => {}
                    Err(error) => panic!("{error:?}"),
                }
            });
        }
        let store = db.store.clone();
        tasks.spawn(async move {
            let hash = format!("hash {round}");
            store
                .users()
                .set_password(&Author::System, ann.id, &hash, true, NOW)
                .await
                .unwrap();
        });
        tasks.join_all().await;
        assert_eq!(db.count("SELECT COUNT(*) FROM tokens").await, 0);
    }
    replica.close().await;
}
