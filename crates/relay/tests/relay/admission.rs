//! Verifying tokens: what is asked of the store, and what is never asked again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway_core::{ApiToken, Scopes, Timestamp};
use gateway_relay::access::AccessError;

use crate::support::World;

#[tokio::test]
async fn a_warm_request_reads_no_database() {
    let world = World::start().await;
    let (_, token) = world.token();
    for _ in 0..10 {
        world.access.admit(&token, None).await.unwrap();
    }
    assert_eq!(world.accounts.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_burst_with_one_token_reads_once() {
    let world = World::start().await;
    let (_, token) = world.token();
    let admitted = futures_util::future::join_all((0..100).map(|_| world.access.admit(&token, None))).await;
    assert!(admitted.iter().all(Result::is_ok));
    assert_eq!(world.accounts.reads.load(Ordering::SeqCst), 1);
    assert_eq!(world.access.in_flight(), 100);
    drop(admitted);
    assert_eq!(world.access.in_flight(), 0);
}

#[tokio::test]
async fn a_made_up_token_is_looked_up_once_and_then_remembered() {
    let world = World::start().await;
    let made_up = ApiToken::generate(&mut rand::rng());
    for _ in 0..10 {
        assert!(matches!(
            world.access.admit(&made_up, None).await,
            Err(AccessError::Invalid)
        ));
    }
    assert_eq!(world.accounts.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_right_id_with_a_wrong_secret_is_refused_also_when_the_right_one_is_cached() {
    let world = World::start().await;
    let (_, token) = world.token();
    world.access.admit(&token, None).await.unwrap();
    // Any other token with the same id: same prefix, another secret, a checksum of its own.
    let forged = loop {
        let other = ApiToken::generate(&mut rand::rng());
        let text = format!("cdr_{}{}", token.id(), &other.expose()[14..37]);
        let sum = other_checksum(&text);
        if let Ok(forged) = ApiToken::parse(&format!("{text}{sum}")) {
            break forged;
        }
    };
    assert_eq!(forged.id(), token.id());
    assert!(matches!(
        world.access.admit(&forged, None).await,
        Err(AccessError::Invalid)
    ));
    assert!(world.access.admit(&token, None).await.is_ok());
}

fn other_checksum(text: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut value = crc32fast::hash(text.as_bytes());
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    String::from_utf8(digits.to_vec()).unwrap()
}

#[tokio::test]
async fn expiry_is_checked_on_every_hit() {
    let world = World::start().await;
    let user = gateway_core::UserId::generate();
    let token = world
        .accounts
        .add_token(user, Scopes::all(), Timestamp::from_micros(2_000_000));
    assert!(world.access.admit(&token, None).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(
        world.access.admit(&token, None).await,
        Err(AccessError::Expired)
    ));
}

#[tokio::test]
async fn a_suspension_is_not_remembered_against_an_activated_user() {
    let world = World::start().await;
    let (user, token) = world.token();
    world.accounts.suspend_user(user);
    assert!(matches!(
        world.access.admit(&token, None).await,
        Err(AccessError::Invalid)
    ));
    let again = world.accounts.add_token(user, Scopes::all(), Timestamp::MAX);
    assert!(world.access.admit(&again, None).await.is_ok());
}

#[tokio::test]
async fn a_broken_store_is_not_a_refusal() {
    let world = World::start().await;
    let (_, token) = world.token();
    let (_, warm) = world.token();
    world.access.admit(&warm, None).await.unwrap();
    *world.accounts.broken.lock() = true;
    assert!(matches!(
        world.access.admit(&token, None).await,
        Err(AccessError::Unavailable(_))
    ));
    assert!(
        world.access.admit(&warm, None).await.is_ok(),
        "what is known needs no store"
    );
    let answer = world.post_message(&token).await.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    *world.accounts.broken.lock() = false;
    assert!(world.access.admit(&token, None).await.is_ok());
}

#[tokio::test]
async fn uses_are_noted_once_a_token() {
    let world = World::start().await;
    let (user, token) = world.token();
    for _ in 0..3 {
        world.access.admit(&token, None).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(1));
    world.access.admit(&token, None).await.unwrap();
    assert_eq!(
        world.access.drain_uses(),
        vec![(token.id(), user, Timestamp::from_micros(2_000_000))]
    );
    assert!(world.access.drain_uses().is_empty());
}
