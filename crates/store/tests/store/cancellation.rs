//! A write whose future is dropped at any await has happened whole or not at all, and the next one works.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use gateway_core::{TokenKind, UserId};
use gateway_store::{Author, Engine};
use tokio::task::JoinSet;

use crate::support::{NOW, TestDb, eventually, new_token, new_user, on_both_engines};

on_both_engines!(
    dropped_after_any_number_of_polls,
    dropped_at_any_moment,
    dropped_while_waiting_for_the_writer,
    dropped_reads_leave_good_connections,
);

/// Polls a future so many times, then drops it. None if it was not ready by then.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// The write that is cut has two parts: the new hash, and the end of the session. Says whether it happened.
async fn happened_whole(db: &TestDb, user: UserId, hash: &str, session: gateway_core::TokenId) -> bool {
    let stored = db.store.users().password_hash(user).await.unwrap().unwrap();
    let ended = !db.has_token(session).await;
    assert_eq!(stored == hash, ended, "half a write");
    ended
}

async fn no_open_transaction(db: &TestDb) {
    if db.place.engine == Engine::Sqlite {
        // Would wait for the writer's lock and fail.
        db.execute("BEGIN IMMEDIATE; ROLLBACK").await;
        return;
    }
    eventually("no connection is left inside a transaction", async || {
        let open = "SELECT COUNT(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
        db.count(open).await == 0
    })
    .await;
}

async fn dropped_after_any_number_of_polls(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let (mut done, mut cut) = (0, 0);
    for times in 0..40 {
        let session = db.session(&ann).await;
        let hash = format!("hash {times}");
        let users = db.store.users();
        let outcome = polled(
            users.set_password(&Author::System, ann.id, &hash, true, NOW),
            times,
        )
        .await;
        // What was under way on the closed connection may end a moment later; the next write is after it.
        db.store.users().touch_seen(ann.id, NOW).await.unwrap();
        let happened = happened_whole(db, ann.id, &hash, session.id).await;
        if let Some(outcome) = outcome {
            assert_eq!(outcome.unwrap(), [session.id]);
            assert!(happened);
            done += 1;
        } else {
            cut += 1;
        }
        db.store
            .tokens()
            .remove_sessions(&Author::System, ann.id, NOW)
            .await
            .unwrap();
    }
    assert!(done > 0 && cut > 2, "{done} done, {cut} cut");
    no_open_transaction(db).await;
}

async fn dropped_at_any_moment(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let mut made = 0;
    for round in 0_u64..60 {
        let new = new_token(ann.id, TokenKind::Api, &format!("t{round}"));
        let id = new.id;
        let moment = Duration::from_micros(round * 67 % 4000);
        let outcome = tokio::time::timeout(moment, db.store.tokens().create(&Author::System, new)).await;
        db.store.users().touch_seen(ann.id, NOW).await.unwrap();
        if outcome.is_ok_and(|outcome| outcome.is_ok()) {
            made += 1;
            assert!(db.has_token(id).await);
        }
    }
    assert!(db.count("SELECT COUNT(*) FROM tokens").await >= made);
    no_open_transaction(db).await;
}

async fn dropped_while_waiting_for_the_writer(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let mut tasks = JoinSet::new();
    for n in 0..60_u64 {
        let (store, user) = (db.store.clone(), ann.id);
        tasks.spawn(async move {
            let write = store
                .tokens()
                .create(&Author::System, new_token(user, TokenKind::Api, &format!("t{n}")));
            if n % 3 == 0 {
                write.await.unwrap();
            } else {
                let _ = tokio::time::timeout(Duration::from_micros(n * 300), write).await;
            }
        });
    }
    assert_eq!(tasks.join_all().await.len(), 60);
    db.store
        .users()
        .create(&Author::System, new_user("after", []), NOW)
        .await
        .unwrap();
    let kept = "SELECT COUNT(*) FROM tokens WHERE name IN ('t0', 't3', 't6', 't30', 't57')";
    assert_eq!(db.count(kept).await, 5);
    no_open_transaction(db).await;
}

async fn dropped_reads_leave_good_connections(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.session(&ann).await;
    for round in 0..100 {
        let other = db.store.tokens();
        let _ = polled(other.find_with_user(token.id), round % 7).await;
        let _ = polled(db.store.users().find(ann.id), round % 5).await;
        let found = db.store.tokens().find_with_user(token.id).await.unwrap();
        assert_eq!(found.map(|(token, _)| token.id), Some(token.id));
        assert_eq!(
            db.store.users().find_by_username("nobody").await.unwrap(),
            None,
            "not the answer of another"
        );
    }
}
