//! Noting the use of tokens.

use std::time::Duration;

use gateway_core::{TokenId, TokenKind, User};
use gateway_store::{Author, NewToken, TokenUse};

use crate::support::{NOW, TestDb, after, new_token, on_both_engines, token_id};

on_both_engines!(
    a_use_is_noted_with_its_user,
    times_never_move_backwards,
    only_living_sessions_are_extended,
    a_session_expired_by_hand_stays_expired,
    several_uses_of_one_token_count_as_the_latest,
    tokens_that_are_gone_are_no_error,
    large_batches_are_noted_whole,
);

fn used(id: TokenId, at: u64) -> TokenUse {
    TokenUse {
        id,
        used_at: after(at),
        extend_to: None,
    }
}

fn extended(id: TokenId, at: u64, to: u64) -> TokenUse {
    TokenUse {
        id,
        used_at: after(at),
        extend_to: Some(after(to)),
    }
}

async fn seen(db: &TestDb, user: &User) -> Option<gateway_core::Timestamp> {
    db.store
        .users()
        .find(user.id)
        .await
        .unwrap()
        .unwrap()
        .last_seen_at
}

async fn a_use_is_noted_with_its_user(db: &TestDb) {
    let (ann, bob) = (db.user("ann", []).await, db.user("bob", []).await);
    let tokens = [
        db.api_token(&ann, "a").await,
        db.api_token(&ann, "b").await,
        db.session(&bob).await,
    ];
    let uses = [used(tokens[0].id, 30), used(tokens[1].id, 20)];
    db.store.tokens().note_used(&uses, after(40)).await.unwrap();
    for (token, expected) in tokens.iter().zip([Some(after(30)), Some(after(20)), None]) {
        let found = db.store.tokens().find(token.id).await.unwrap().unwrap();
        assert_eq!(found.last_used_at, expected);
        assert_eq!(
            (found.expires_at, found.updated_at),
            (token.expires_at, token.updated_at)
        );
    }
    assert_eq!(
        (seen(db, &ann).await, seen(db, &bob).await),
        (Some(after(30)), None)
    );
}

async fn times_never_move_backwards(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.session(&ann).await;
    let tokens = db.store.tokens();
    tokens
        .note_used(&[extended(token.id, 30, 5000)], after(30))
        .await
        .unwrap();
    tokens
        .note_used(&[extended(token.id, 20, 4000)], after(30))
        .await
        .unwrap();
    let found = tokens.find(token.id).await.unwrap().unwrap();
    assert_eq!(
        (found.last_used_at, found.expires_at),
        (Some(after(30)), after(5000))
    );
    assert_eq!(seen(db, &ann).await, Some(after(30)));
}

async fn only_living_sessions_are_extended(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let (session, api) = (db.session(&ann).await, db.api_token(&ann, "api").await);
    let dead = NewToken {
        expires_at: after(10),
        ..new_token(ann.id, TokenKind::Session, "")
    };
    let dead = db.create_token(dead).await.unwrap();
    let uses = [session.id, api.id, dead.id].map(|id| extended(id, 5, 9000));
    db.store.tokens().note_used(&uses, after(10)).await.unwrap();
    for (id, expires) in [(session.id, 9000), (api.id, 3600), (dead.id, 10)] {
        let found = db.store.tokens().find(id).await.unwrap().unwrap();
        assert_eq!(
            (found.expires_at, found.last_used_at),
            (after(expires), Some(after(5)))
        );
        assert_eq!(found.updated_at, if expires == 9000 { after(10) } else { NOW });
    }
}

/// Also when the clock of the one who notes the use is behind that of the one who expired it.
async fn a_session_expired_by_hand_stays_expired(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let session = db.session(&ann).await;
    db.store
        .tokens()
        .expire(&Author::System, session.id, after(100))
        .await
        .unwrap();
    db.store
        .tokens()
        .note_used(&[extended(session.id, 90, 9000)], after(95))
        .await
        .unwrap();
    let found = db.store.tokens().find(session.id).await.unwrap().unwrap();
    assert_eq!(
        (found.expires_at, found.last_used_at),
        (after(100), Some(after(90)))
    );
}

async fn several_uses_of_one_token_count_as_the_latest(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let session = db.session(&ann).await;
    let uses = [
        extended(session.id, 10, 5000),
        used(session.id, 30),
        extended(session.id, 20, 4000),
    ];
    db.store.tokens().note_used(&uses, after(30)).await.unwrap();
    let found = db.store.tokens().find(session.id).await.unwrap().unwrap();
    assert_eq!(
        (found.last_used_at, found.expires_at),
        (Some(after(30)), after(5000))
    );
}

async fn tokens_that_are_gone_are_no_error(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let (gone, kept) = (db.session(&ann).await, db.session(&ann).await);
    db.store
        .tokens()
        .remove(&Author::System, gone.id, NOW)
        .await
        .unwrap();
    let uses = [extended(gone.id, 1, 9000), used(token_id(7), 1), used(kept.id, 2)];
    db.store.tokens().note_used(&uses, after(2)).await.unwrap();
    assert!(!db.has_token(gone.id).await, "not brought back");
    assert_eq!(seen(db, &ann).await, Some(after(2)));
    db.store.tokens().note_used(&[], after(3)).await.unwrap();
}

async fn large_batches_are_noted_whole(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.api_token(&ann, "real").await;
    let mut uses: Vec<TokenUse> = (0..1234).map(|seed| used(token_id(seed), 1)).collect();
    uses.push(TokenUse {
        id: token.id,
        used_at: after(9).plus(Duration::from_micros(1)),
        extend_to: None,
    });
    db.store.tokens().note_used(&uses, after(10)).await.unwrap();
    let found = db.store.tokens().find(token.id).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(after(9).plus(Duration::from_micros(1))));
}
