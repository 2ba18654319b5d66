//! Audit before release: a server that is killed at any moment has the record of every answer whose end a client has
//! received, and the prompt of every answer of which one has received a byte.
//!
//! `KILLS` says how often to kill; without it the loop is short enough for every run.

use std::time::Duration;

use rand::RngExt as _;

use crate::load::Load;
use crate::records::Records;
use crate::support::{Engine, Gateway, from_environment, report};

const KILLS: u32 = 15;

/// The longest time from one start to the next kill.
const LONGEST_LIFE: Duration = Duration::from_millis(500);

/// Kills the server in the middle of answering and starts it again, over and over; then looks at what is recorded.
async fn kill_under_load(engine: Engine) {
    let kills = from_environment("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let (gateway, owner) = Gateway::with_owner(engine, &[]).await;
    gateway.create_user(&owner, "alice").await;
    let token = gateway.create_token(&owner, "alice", "load").await;
    let load = Load::new(gateway.address(), vec![token, owner]);
    let rounds = async {
        let mut gateway = gateway;
        for _ in 0..kills {
            let life = rand::rng().random_range(Duration::ZERO..LONGEST_LIFE);
            tokio::time::sleep(life).await;
            gateway.signal("KILL");
            let (site, _) = gateway.ended().await;
            // Nothing is under way at the provider now that somebody could receive.
            load.collect(&site.sim);
            site.sim.clear();
            gateway = site.start(&[]).await;
        }
        load.until_whole(20).await;
        load.stop();
        gateway
    };
    let (gateway, ()) = tokio::join!(rounds, load.run());
    load.collect(&gateway.site.sim);

    let gateway = until_none_is_open(engine, gateway).await;
    gateway.signal("TERM");
    let (site, ended_well) = gateway.ended().await;
    assert!(ended_well);
    let store = site.store().await;
    let records = Records::read(&store).await;
    store.close().await;
    assert_eq!(records.open(), 0, "interceptions were left open");
    let figures = records.check(&load);
    report(&format!("{kills} kills on {engine:?}: {figures:?}"));
    let kills = usize::try_from(kills).unwrap();
    assert!(figures.whole > kills, "hardly anything was answered: {figures:?}");
    assert!(
        figures.begun > figures.whole && figures.interrupted > 0,
        "the kills met nothing: {figures:?}"
    );
}

/// On SQLite what was left open is closed at the start; on PostgreSQL once the leases of the killed have run out,
/// which is looked at every five seconds as they last.
async fn until_none_is_open(engine: Engine, gateway: Gateway) -> Gateway {
    if engine == Engine::Postgres {
        let store = gateway.site.store().await;
        let closed = async {
            while Records::read(&store).await.open() > 0 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let closed = tokio::time::timeout(Duration::from_secs(15), closed).await;
        assert!(closed.is_ok(), "interceptions of runs that are over stay open");
        store.close().await;
    }
    gateway
}

#[tokio::test]
async fn nothing_that_was_received_is_unrecorded_on_sqlite() {
    kill_under_load(Engine::Sqlite).await;
}

#[tokio::test]
async fn nothing_that_was_received_is_unrecorded_on_postgres() {
    kill_under_load(Engine::Postgres).await;
}
