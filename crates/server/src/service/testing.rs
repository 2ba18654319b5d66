//! Services on a database of their own, for the tests of this module.

use std::sync::Arc;

use gateway_core::audit::Source;
use gateway_core::{ApiToken, Lifetime, Roles, Secret, SystemClock, UserId, password};
use gateway_relay::access::{Access, AccessOptions};
use gateway_store::{Author, NewUser, Purpose, Store, StoreOptions, Target};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hasher::Hasher;
use super::places::Places;
use super::records::SEARCHES;
use super::removals::Removals;
use super::setup::Setup;
use super::{Lifetimes, Requester, Services};
use crate::adapter::StoreTokens;

pub(super) const PASSWORD: &str = "correct horse battery staple";

pub(super) async fn services() -> (Services, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coder.db");
    let options = StoreOptions::new(Target::Sqlite { path });
    let store = Store::open(options, Purpose::Server).await.unwrap();
    let (day, clock) = (Lifetime::from_days(1).unwrap(), Arc::new(SystemClock));
    let access = Access::new(
        Arc::new(StoreTokens(store.clone())),
        clock.clone(),
        AccessOptions::default(),
    );
    let services = Services {
        store,
        access,
        clock,
        lifetimes: Lifetimes {
            session: day,
            default_token: day,
            max_token: day,
            max_admin_token: day,
        },
        hasher: Hasher::new(1),
        attempts: Arc::default(),
        failures: Arc::default(),
        setup: Arc::new(Setup::new(None)),
        sign_in_codes: Arc::default(),
        removals: Removals::default(),
        searches: Places::new(SEARCHES),
        tasks: TaskTracker::new(),
        drain: CancellationToken::new(),
    };
    (services, directory)
}

pub(super) async fn add(services: &Services, name: &str, email: Option<&str>, password: Option<&str>) {
    let new = NewUser {
        id: UserId::generate(),
        username: name.to_owned(),
        email: email.map(str::to_owned),
        name: String::new(),
        roles: Roles::default(),
        is_service_account: email.is_none(),
        password_hash: password.map(|password| password::hash(&Secret::new(password)).unwrap()),
    };
    let now = services.clock.now();
    services
        .store
        .users()
        .create(&Author::System, new, now)
        .await
        .unwrap();
}

/// Whoever has this token.
pub(super) async fn requester(services: &Services, token: &ApiToken, source: Source) -> Requester {
    let admission = services.access.admit(token, source.address()).await.unwrap();
    Requester {
        principal: Arc::clone(admission.principal()),
        source,
    }
}
