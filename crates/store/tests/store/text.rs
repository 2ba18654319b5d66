//! Text that one of the engines could not keep, and very long values.

use gateway_core::TokenKind;
use gateway_core::audit::Source;
use gateway_store::{Author, Field, NewUser, StoreError, TextFault, UserFilter};

use crate::support::{NOW, TestDb, new_token, new_user, on_both_engines};

on_both_engines!(
    nul_is_refused_on_entry,
    lookups_with_nul_find_nothing,
    long_values,
    odd_text_comes_back
);

fn fault(outcome: Result<(), StoreError>) -> (Field, TextFault) {
    match outcome {
        Err(StoreError::UnstorableText { field, fault }) => (field, fault),
        other => panic!("{other:?}"),
    }
}

async fn refusals(db: &TestDb, bad: &str) -> Vec<(Field, TextFault)> {
    let (users, tokens, system) = (db.store.users(), db.store.tokens(), Author::System);
    let ann = users.find_by_username("ann").await.unwrap().unwrap();
    let bad = || bad.to_owned();
    let email = NewUser {
        email: Some(bad()),
        ..new_user("x", [])
    };
    let name = NewUser {
        name: bad(),
        ..new_user("x", [])
    };
    let hash = NewUser {
        password_hash: Some(bad()),
        ..new_user("x", [])
    };
    vec![
        fault(users.create(&system, new_user(&bad(), []), NOW).await.map(drop)),
        fault(
            users
                .create_first_owner(&Source::default(), new_user(&bad(), []), NOW)
                .await
                .map(drop),
        ),
        fault(users.create(&system, email, NOW).await.map(drop)),
        fault(users.create(&system, name, NOW).await.map(drop)),
        fault(users.create(&system, hash, NOW).await.map(drop)),
        fault(
            users
                .set_profile(&system, ann.id, &bad(), "", NOW)
                .await
                .map(drop),
        ),
        fault(
            users
                .set_profile(&system, ann.id, "x", &bad(), NOW)
                .await
                .map(drop),
        ),
        fault(
            users
                .set_password(&system, ann.id, &bad(), true, NOW)
                .await
                .map(drop),
        ),
        fault(
            tokens
                .create(&system, new_token(ann.id, TokenKind::Api, &bad()))
                .await
                .map(drop),
        ),
    ]
}

fn expected(fault: TextFault) -> Vec<(Field, TextFault)> {
    use Field::{Email, Name, Password, TokenName, Username};
    let fields = [
        Username, Username, Email, Name, Password, Username, Name, Password, TokenName,
    ];
    fields.map(|field| (field, fault)).to_vec()
}

async fn nul_is_refused_on_entry(db: &TestDb) {
    db.user("ann", []).await;
    assert_eq!(refusals(db, "a\0b").await, expected(TextFault::NulCharacter));
    assert_eq!(db.count("SELECT COUNT(*) FROM users").await, 1);
}

async fn lookups_with_nul_find_nothing(db: &TestDb) {
    let users = db.store.users();
    let ann = db.user("ann", []).await;
    assert_eq!(users.find_by_username("ann\0").await.unwrap(), None);
    assert_eq!(users.find_by_email("ann@example.com\0").await.unwrap(), None);
    assert_eq!(users.credentials_by_email("\0").await.unwrap(), None);
    assert_eq!(db.store.tokens().find_by_name(ann.id, "\0").await.unwrap(), None);
    let page = users
        .list(UserFilter {
            search: Some("\0".to_owned()),
            ..UserFilter::default()
        })
        .await
        .unwrap();
    assert_eq!((page.users.len(), page.count), (0, 0));
}

async fn long_values(db: &TestDb) {
    let users = db.store.users();
    let ann = db.user("ann", []).await;
    assert_eq!(
        refusals(db, &"x".repeat(1025)).await,
        expected(TextFault::TooLong)
    );
    assert_eq!(
        refusals(db, &"x".repeat(10_000_000)).await,
        expected(TextFault::TooLong)
    );
    // Folding makes this one longer than it is.
    assert_eq!(refusals(db, &"İ".repeat(500)).await, expected(TextFault::TooLong));

    let longest = "x".repeat(1024);
    let new = NewUser {
        email: Some(longest.clone()),
        name: longest.clone(),
        ..new_user(&longest, [])
    };
    let made = users.create(&Author::System, new, NOW).await.unwrap();
    assert_eq!(
        users.find_by_username(&longest).await.unwrap(),
        Some(made.clone())
    );
    assert_eq!(users.find_by_email(&longest).await.unwrap(), Some(made.clone()));
    let page = users
        .list(UserFilter {
            search: Some(longest.clone()),
            ..UserFilter::default()
        })
        .await;
    assert_eq!(page.unwrap().users, [made]);
    db.api_token(&ann, &longest).await;
    let huge = "y".repeat(10_000_000);
    assert_eq!(users.find_by_username(&huge).await.unwrap(), None);
    let page = users
        .list(UserFilter {
            search: Some(huge),
            ..UserFilter::default()
        })
        .await;
    assert_eq!(page.unwrap().count, 0);
}

async fn odd_text_comes_back(db: &TestDb) {
    for (n, odd) in [
        "'; DROP TABLE users; --",
        "\u{feff}\u{202e}",
        "\u{10ffff}",
        "$1",
        "\r\n\t\u{7f}",
        "e\u{301}",
    ]
    .into_iter()
    .enumerate()
    {
        let new = NewUser {
            name: odd.to_owned(),
            ..new_user(&format!("{odd}{n}"), [])
        };
        let made = db.store.users().create(&Author::System, new, NOW).await.unwrap();
        let token = db.api_token(&made, odd).await;
        let found = db
            .store
            .users()
            .find_by_username(&format!("{odd}{n}"))
            .await
            .unwrap();
        assert_eq!(found, Some(made.clone()), "{odd:?}");
        assert_eq!(found.unwrap().name, odd);
        assert_eq!(
            db.store.tokens().find_by_name(made.id, odd).await.unwrap(),
            Some(token),
            "{odd:?}"
        );
    }
}
