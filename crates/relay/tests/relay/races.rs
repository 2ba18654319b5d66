//! A request is stopped between each two of its steps while its right is taken away.

use gateway_core::{ApiToken, Scopes, Timestamp, UserId};
use gateway_relay::access::checkpoint::Step;

use crate::support::{End, World};

const STEPS: [Step; 8] = [
    Step::Registered,
    Step::BeforeCache,
    Step::BeforeStoreRead,
    Step::BeforeCacheFill,
    Step::BeforeBody,
    Step::BeforeUpstream,
    Step::BeforeHead,
    Step::BeforeRelease,
];

/// Runs one request up to `step`, takes rights away with `act`, and lets it go on. Returns what the client got.
async fn stopped_at(
    step: Step,
    act: impl AsyncFn(&World, UserId, &ApiToken),
) -> (crate::support::Answer, World, UserId, ApiToken) {
    let mut world = World::start().await;
    let (user, token) = world.token();
    world.gate.close(step, token.id());
    let mut client = world.post_message(&token).await;
    if matches!(step, Step::BeforeHead | Step::BeforeRelease) {
        let sending = world.exchange().await.stream();
        sending.send("event: ping\ndata: {}\n\n").await;
        if step == Step::BeforeRelease {
            client.read_until(b"event: ping").await;
        }
        sending.finish().await;
    }
    world.gate.arrival().await;
    act(&world, user, &token).await;
    world.gate.open();
    let answer = client.answer().await;
    (answer, world, user, token)
}

async fn assert_dead(step: Step, answer: &crate::support::Answer, world: &mut World, token: &ApiToken) {
    if step == Step::BeforeRelease {
        assert_eq!(answer.status, 200, "{step:?}");
        assert_ne!(answer.end, End::Complete, "{step:?}: a cut answer looks complete");
    } else {
        assert_eq!(answer.status, 401, "{step:?}: {answer:?}");
    }
    if !matches!(step, Step::BeforeHead | Step::BeforeRelease) {
        world.assert_nothing_sent();
    }
    assert_eq!(world.access.in_flight(), 0, "{step:?}");
    let again = world.post_message(token).await.answer().await;
    assert_eq!(again.status, 401, "{step:?}: the token lives on");
}

#[tokio::test]
async fn a_token_removed_at_any_step_is_dead() {
    for step in STEPS {
        let (answer, mut world, _, token) = stopped_at(step, async |world, _, token| {
            world.accounts.remove_token(token.id());
            world.access.revoke_tokens(&[token.id()]).await;
        })
        .await;
        assert_dead(step, &answer, &mut world, &token).await;
    }
}

#[tokio::test]
async fn a_token_whose_user_is_deleted_at_any_step_is_dead() {
    for step in STEPS {
        let (answer, mut world, _, token) = stopped_at(step, async |world, user, _| {
            world.accounts.remove_user(user);
            world.access.revoke_user(user).await;
        })
        .await;
        assert_dead(step, &answer, &mut world, &token).await;
    }
}

#[tokio::test]
async fn a_token_whose_user_is_suspended_at_any_step_is_dead() {
    for step in STEPS {
        let (answer, mut world, _, token) = stopped_at(step, async |world, user, _| {
            world.accounts.suspend_user(user);
            world.access.revoke_user(user).await;
        })
        .await;
        assert_dead(step, &answer, &mut world, &token).await;
    }
}

/// The user is deleted while a token that nobody had listed is being made and used.
#[tokio::test]
async fn a_token_made_meanwhile_dies_with_its_user() {
    for step in STEPS {
        let (_, world, user, _) = stopped_at(step, async |world, user, _| {
            let late = world.accounts.add_token(user, Scopes::all(), Timestamp::MAX);
            let admission = world.access.admit(&late, None).await.unwrap();
            world.accounts.remove_user(user);
            world.access.revoke_user(user).await;
            assert!(admission.is_cut(), "the late token's request goes on");
            drop(admission);
            assert!(world.access.admit(&late, None).await.is_err());
        })
        .await;
        let late = world.accounts.add_token(user, Scopes::all(), Timestamp::MAX);
        assert!(
            world.access.admit(&late, None).await.is_ok(),
            "{step:?}: a later right is a new right"
        );
    }
}

/// Somebody else's revocation makes a verification start over, not fail.
#[tokio::test]
async fn another_users_revocation_disturbs_nobody() {
    for step in STEPS {
        let (answer, ..) = {
            let mut world = World::start().await;
            let (_, token) = world.token();
            let (other_user, other) = world.token();
            world.gate.close(step, token.id());
            let mut client = world.post_message(&token).await;
            let stopped_early = !matches!(step, Step::BeforeHead | Step::BeforeRelease);
            if !stopped_early {
                let sending = world.exchange().await.stream();
                sending.send("event: ping\ndata: {}\n\n").await;
                sending.finish().await;
            }
            world.gate.arrival().await;
            world.accounts.remove_user(other_user);
            world.access.revoke_user(other_user).await;
            world.access.revoke_tokens(&[other.id()]).await;
            world.gate.open();
            if stopped_early {
                let sending = world.exchange().await.stream();
                sending.send("event: ping\ndata: {}\n\n").await;
                sending.finish().await;
            }
            (client.answer().await, world)
        };
        assert_eq!((answer.status, answer.end), (200, End::Complete), "{step:?}");
    }
}
