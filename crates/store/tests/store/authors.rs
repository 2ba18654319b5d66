//! A write is refused when its author is no longer what it was when the request was let in.

use gateway_core::audit::Source;
use gateway_core::{Permission, Role, Roles, TokenKind, TokenRecord, User, UserId, UserStatus};
use gateway_store::{Author, NewToken, StoreError};

use crate::support::{NOW, TestDb, after, new_token, new_user, on_both_engines};

on_both_engines!(
    a_removed_token_writes_nothing,
    an_expired_token_writes_nothing,
    a_suspended_or_deleted_user_writes_nothing,
    a_lost_role_writes_nothing,
    a_token_speaks_for_its_own_user_only,
    every_write_asks_for_its_author,
    a_user_admin_changes_members_only,
    an_own_token_can_be_removed_with_itself,
);

fn author(token: &TokenRecord, needs: Option<Permission>) -> Author {
    Author::Token {
        token_id: token.id,
        user_id: token.user_id,
        needs,
        source: Source::default(),
    }
}

/// A write that anybody with a token may make.
async fn write(db: &TestDb, author: &Author, user: &User) -> Result<(), StoreError> {
    db.store
        .users()
        .set_profile(author, user.id, "renamed", "", NOW)
        .await
        .map(drop)
}

async fn is_unchanged(db: &TestDb, user: &User) -> bool {
    db.store
        .users()
        .find(user.id)
        .await
        .unwrap()
        .is_some_and(|now| now.username == user.username)
}

async fn a_removed_token_writes_nothing(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.session(&ann).await;
    db.store
        .tokens()
        .remove(&Author::System, token.id, NOW)
        .await
        .unwrap();
    let error = write(db, &author(&token, None), &ann).await.unwrap_err();
    assert!(matches!(error, StoreError::AuthorGone), "{error:?}");
    assert!(is_unchanged(db, &ann).await);
}

async fn an_expired_token_writes_nothing(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.session(&ann).await;
    let by_ann = author(&token, None);
    let users = db.store.users();
    users
        .set_profile(&by_ann, ann.id, "in-time", "", after(3599))
        .await
        .unwrap();
    let error = users
        .set_profile(&by_ann, ann.id, "too-late", "", after(3600))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::AuthorGone), "{error:?}");
    assert_eq!(users.find(ann.id).await.unwrap().unwrap().username, "in-time");
}

async fn a_suspended_or_deleted_user_writes_nothing(db: &TestDb) {
    let (ann, bob) = (
        db.user("ann", [Role::Owner]).await,
        db.user("bob", [Role::Owner]).await,
    );
    let by_bob = author(&db.session(&bob).await, Some(Permission::ManageRoles));
    let users = db.store.users();
    users
        .set_status(&Author::System, bob.id, UserStatus::Suspended, NOW)
        .await
        .unwrap();
    let error = write(db, &by_bob, &ann).await.unwrap_err();
    assert!(matches!(error, StoreError::AuthorGone), "{error:?}");
    users
        .set_status(&Author::System, bob.id, UserStatus::Active, NOW)
        .await
        .unwrap();
    write(db, &by_bob, &ann).await.expect("active again");
    users.delete(&Author::System, bob.id, NOW).await.unwrap();
    let error = write(db, &by_bob, &ann).await.unwrap_err();
    assert!(matches!(error, StoreError::AuthorGone), "{error:?}");
}

async fn a_lost_role_writes_nothing(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", [Role::UserAdmin]).await);
    let token = db.session(&bob).await;
    let by_admin = author(&token, Some(Permission::ManageUsers));
    write(db, &by_admin, &ann).await.unwrap();
    db.store
        .users()
        .set_roles(&Author::System, bob.id, &Roles::default(), NOW)
        .await
        .unwrap();
    let error = db.store.users().delete(&by_admin, ann.id, NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::AuthorForbidden), "{error:?}");
    assert!(db.store.users().find(ann.id).await.unwrap().is_some());
    let error = write(db, &author(&token, None), &ann).await;
    assert!(error.is_ok(), "what needs no role is still allowed");
}

async fn a_token_speaks_for_its_own_user_only(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let token = db.session(&ann).await;
    let forged = Author::Token {
        token_id: token.id,
        user_id: bob.id,
        needs: None,
        source: Source::default(),
    };
    assert!(matches!(
        write(db, &forged, &ann).await,
        Err(StoreError::AuthorGone)
    ));
}

async fn every_write_asks_for_its_author(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let token = db.session(&ann).await;
    let kept = db.api_token(&bob, "kept").await;
    db.store
        .tokens()
        .remove(&Author::System, token.id, NOW)
        .await
        .unwrap();
    let (users, tokens, dead) = (db.store.users(), db.store.tokens(), author(&token, None));
    let refusals = [
        users.create(&dead, new_user("eve", []), NOW).await.map(drop),
        users.delete(&dead, bob.id, NOW).await.map(drop),
        users
            .set_status(&dead, bob.id, UserStatus::Suspended, NOW)
            .await
            .map(drop),
        users
            .set_roles(&dead, bob.id, &Roles::new([Role::Owner]), NOW)
            .await
            .map(drop),
        users.set_profile(&dead, bob.id, "x", "", NOW).await.map(drop),
        users.set_password(&dead, bob.id, "x", false, NOW).await.map(drop),
        tokens
            .create(&dead, new_token(bob.id, TokenKind::Api, "x"))
            .await
            .map(drop),
        tokens.remove(&dead, kept.id, NOW).await.map(drop),
        tokens.remove_sessions(&dead, bob.id, NOW).await.map(drop),
        tokens.expire(&dead, kept.id, NOW).await.map(drop),
    ];
    for refusal in &refusals {
        assert!(matches!(refusal, Err(StoreError::AuthorGone)), "{refusals:?}");
    }
    assert_eq!(users.find(bob.id).await.unwrap(), Some(bob));
    assert_eq!(tokens.find(kept.id).await.unwrap(), Some(kept));
    assert_eq!(db.count("SELECT COUNT(*) FROM users").await, 2);
}

/// The target may have been given a role after the caller looked.
async fn a_user_admin_changes_members_only(db: &TestDb) {
    let admin = db.user("admin", [Role::UserAdmin]).await;
    let owner = db.user("owner", [Role::Owner]).await;
    let (auditor, member) = (db.user("aud", [Role::Auditor]).await, db.user("mem", []).await);
    let users = db.store.users();
    let by_admin = author(&db.session(&admin).await, Some(Permission::ManageUsers));
    let by_owner = author(&db.session(&owner).await, Some(Permission::ManageUsers));
    let suspend = async |author: &Author, id: UserId| {
        users
            .set_status(author, id, UserStatus::Suspended, NOW)
            .await
            .map(drop)
    };
    assert!(matches!(
        suspend(&by_admin, auditor.id).await,
        Err(StoreError::AuthorForbidden)
    ));
    let errors = [
        users.delete(&by_admin, auditor.id, NOW).await.map(drop),
        users
            .set_password(&by_admin, auditor.id, "x", false, NOW)
            .await
            .map(drop),
        users
            .set_profile(&by_admin, auditor.id, "x", "", NOW)
            .await
            .map(drop),
    ];
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, Err(StoreError::AuthorForbidden))),
        "{errors:?}"
    );
    suspend(&by_admin, member.id).await.unwrap();
    users
        .set_profile(&by_admin, admin.id, "myself", "", NOW)
        .await
        .unwrap();
    suspend(&by_owner, auditor.id).await.unwrap();
}

async fn an_own_token_can_be_removed_with_itself(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.session(&ann).await;
    let by_ann = author(&token, None);
    assert!(db.store.tokens().remove(&by_ann, token.id, NOW).await.unwrap());
    let again = db.store.tokens().remove(&by_ann, token.id, NOW).await;
    assert!(matches!(again, Err(StoreError::AuthorGone)), "{again:?}");
    let new = NewToken {
        created_at: NOW,
        ..new_token(ann.id, TokenKind::Api, "late")
    };
    assert!(matches!(
        db.store.tokens().create(&by_ann, new).await,
        Err(StoreError::AuthorGone)
    ));
}
