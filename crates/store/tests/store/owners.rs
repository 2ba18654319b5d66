//! One active owner is always left, whatever happens at the same moment.

use gateway_core::{Role, Roles, UserId, UserStatus};
use gateway_store::{Author, Store, StoreError};
use tokio::task::JoinSet;

use crate::support::{NOW, TestDb, on_both_engines};

on_both_engines!(
    the_last_owner_stays,
    suspended_owners_and_service_accounts_do_not_count,
    owners_that_go_at_the_same_moment,
);

/// A way to stop being an active owner.
#[derive(Clone, Copy, Debug)]
enum Way {
    Delete,
    Suspend,
    Demote,
}

const WAYS: [Way; 3] = [Way::Delete, Way::Suspend, Way::Demote];

async fn go(store: &Store, id: UserId, way: Way) -> Result<(), StoreError> {
    let (users, system) = (store.users(), Author::System);
    match way {
        Way::Delete => users.delete(&system, id, NOW).await.map(drop),
        Way::Suspend => users
            .set_status(&system, id, UserStatus::Suspended, NOW)
            .await
            .map(drop),
        Way::Demote => users
            .set_roles(&system, id, &Roles::new([Role::Auditor]), NOW)
            .await
            .map(drop),
    }
}

async fn the_last_owner_stays(db: &TestDb) {
    let ann = db.user("ann", [Role::Owner]).await;
    db.user("bob", [Role::UserAdmin]).await;
    for way in WAYS {
        let error = go(&db.store, ann.id, way).await.unwrap_err();
        assert!(matches!(error, StoreError::LastOwner), "{way:?}: {error:?}");
    }
    assert_eq!(db.store.users().find(ann.id).await.unwrap(), Some(ann.clone()));
    let more = Roles::new([Role::Owner, Role::Auditor]);
    db.store
        .users()
        .set_roles(&Author::System, ann.id, &more, NOW)
        .await
        .expect("still an owner");
    db.user("cid", [Role::Owner]).await;
    go(&db.store, ann.id, Way::Demote)
        .await
        .expect("another one is left");
}

async fn suspended_owners_and_service_accounts_do_not_count(db: &TestDb) {
    let ann = db.user("ann", [Role::Owner]).await;
    let bob = db.user("bob", [Role::Owner]).await;
    let bot = db.service_account("bot", [Role::Owner]).await;
    go(&db.store, bob.id, Way::Suspend).await.unwrap();
    for way in WAYS {
        assert!(
            matches!(go(&db.store, ann.id, way).await, Err(StoreError::LastOwner)),
            "{way:?}"
        );
    }
    go(&db.store, bob.id, Way::Delete)
        .await
        .expect("a suspended owner is not the last active one");
    go(&db.store, bot.id, Way::Delete)
        .await
        .expect("nor is one that cannot sign in");
}

async fn owners_that_go_at_the_same_moment(db: &TestDb) {
    let replica = db.replica().await;
    let users = db.store.users();
    let keeper = db.user("keeper", [Role::Owner]).await;
    for round in 0..12 {
        let mut owners = Vec::new();
        for n in 0..4 {
            owners.push(db.user(&format!("owner-{round}-{n}"), [Role::Owner]).await.id);
        }
        users
            .set_roles(&Author::System, keeper.id, &Roles::default(), NOW)
            .await
            .unwrap();
        let mut tasks = JoinSet::new();
        for (n, id) in owners.iter().copied().enumerate() {
            let store = if n % 2 == 0 {
                db.store.clone()
            } else {
                replica.clone()
            };
            tasks.spawn(async move { go(&store, id, WAYS[(n + round) % 3]).await });
        }
        let outcomes = tasks.join_all().await;
        let refused = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(StoreError::LastOwner)))
            .count();
        let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!((done, refused), (3, 1), "{outcomes:?}");
        let left = "SELECT COUNT(*) FROM users WHERE status = 'active' AND roles LIKE '%owner%'";
        assert_eq!(db.count(left).await, 1);
        users
            .set_roles(&Author::System, keeper.id, &Roles::new([Role::Owner]), NOW)
            .await
            .unwrap();
        for id in owners {
            let _ = users.delete(&Author::System, id, NOW).await;
        }
    }
    replica.close().await;
}
