//! A database that is busy, gone for a while, or silent.

use std::time::{Duration, Instant};

use gateway_core::{Secret, UserStatus};
use gateway_store::{Author, Engine, Purpose, Store, StoreError, StoreOptions, Target};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{NOW, TestDb, eventually, new_user, on_both_engines, run, token_id};

on_both_engines!(a_blocked_write_ends_in_time_and_reads_go_on);

/// The longest that a call may take, and some for a busy machine.
const LIMIT: Duration = Duration::from_secs(15);

/// What each write on PostgreSQL takes first.
const WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(6020117340895521)";

async fn a_blocked_write_ends_in_time_and_reads_go_on(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let token = db.session(&ann).await;
    let mut outsider = db.raw().await;
    match db.place.engine {
        Engine::Sqlite => outsider.execute("BEGIN IMMEDIATE").await,
        Engine::Postgres => outsider.execute(&format!("BEGIN; {WRITE_LOCK}")).await,
    }
    let started = Instant::now();
    let write = db.store.users().create(&Author::System, new_user("bob", []), NOW);
    let reads = async {
        for _ in 0..20 {
            assert!(
                db.store
                    .tokens()
                    .find_with_user(token.id)
                    .await
                    .unwrap()
                    .is_some()
            );
            assert_eq!(db.store.users().find(ann.id).await.unwrap().unwrap().id, ann.id);
        }
        started.elapsed()
    };
    let (outcome, reads_took) = futures_util::future::join(write, reads).await;
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, StoreError::Timeout { .. } | StoreError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    assert!(reads_took < Duration::from_secs(4), "{reads_took:?}");
    outsider.execute("ROLLBACK").await;
    db.user("bob", []).await;
}

/// PostgreSQL aborts one of two transactions that wait for each other; ours is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_aborted_is_tried_again() {
    run(Engine::Postgres, async |db: &TestDb| {
        let ann = db.user("ann", []).await;
        let mut outsider = db.raw().await;
        // Ours looks for a deadlock after a second, the outsider never does.
        outsider
            .execute("SET deadlock_timeout = '1h'; BEGIN; SELECT * FROM users FOR UPDATE")
            .await;
        let users = db.store.users();
        let write = users.set_status(&Author::System, ann.id, UserStatus::Suspended, NOW);
        let outside = async {
            eventually("the write waits for the row", async || {
                let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
                db.count(waiting).await == 1
            })
            .await;
            outsider.execute(WRITE_LOCK).await;
            outsider.execute("COMMIT").await;
        };
        let (outcome, ()) = futures_util::future::join(write, outside).await;
        assert_eq!(outcome.unwrap().status, UserStatus::Suspended);
    })
    .await;
}

/// A restart of the server: connections and lock are made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_are_replaced() {
    run(Engine::Postgres, async |db: &TestDb| {
        let ann = db.user("ann", []).await;
        let others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        db.execute(&format!("SELECT pg_terminate_backend(pid) {others}"))
            .await;
        eventually("reads and writes work", async || {
            db.store.users().touch_seen(ann.id, NOW).await.is_ok() && db.store.ping().await.is_ok()
        })
        .await;
        eventually("the lock is held again", async || {
            let held = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            db.count(held).await == 1
        })
        .await;
        assert!(db.place.open(Purpose::Offline).await.is_err());
    })
    .await;
}

/// A connection that is neither cut nor answered, as behind a firewall that forgot it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_an_error_in_time() {
    run(Engine::Postgres, async |db: &TestDb| {
        let Target::Postgres { url } = &db.place.target else {
            unreachable!()
        };
        let (server, silence) = (server_of(url), watch::Sender::new(false));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = url
            .expose()
            .replace(&server, &listener.local_addr().unwrap().to_string());
        let mut proxy = JoinSet::new();
        proxy.spawn(forward(listener, server, silence.subscribe()));

        let options = StoreOptions::new(Target::Postgres {
            url: Secret::new(through),
        });
        let store = Store::open(options, Purpose::Server).await.unwrap();
        let ann = db.user("ann", []).await;
        assert!(store.users().find(ann.id).await.unwrap().is_some());
        silence.send_replace(true);
        let started = Instant::now();
        let (read, write) =
            futures_util::future::join(store.users().find(ann.id), store.users().touch_seen(ann.id, NOW))
                .await;
        assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
        for error in [read.unwrap_err(), write.unwrap_err()] {
            assert!(
                matches!(error, StoreError::Timeout { .. } | StoreError::Unavailable { .. }),
                "{error:?}"
            );
        }
        silence.send_replace(false);
        eventually("the store works again", async || {
            store.users().touch_seen(ann.id, NOW).await.is_ok() && store.users().find(ann.id).await.is_ok()
        })
        .await;
        store.close().await;
    })
    .await;
}

/// Host and port of a URL.
fn server_of(url: &Secret) -> String {
    let (_, rest) = url.expose().split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap().to_owned()
}

/// Passes connections on. While there is silence nothing comes back, and what was under way then never does.
async fn forward(listener: TcpListener, server: String, silence: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (server, mut silence) = (server.clone(), silence.clone());
        connections.spawn(async move {
            let _ = silence.wait_for(|silent| !silent).await;
            let upstream = TcpStream::connect(&server).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            tokio::select! {
                _ = copy(&mut from_client, &mut to_server) => {}
                _ = copy(&mut from_server, &mut to_client) => {}
                () = until_silent(&mut silence) => std::future::pending().await,
            }
        });
    }
}

async fn until_silent(silence: &mut watch::Receiver<bool>) {
    // An error means that the test is over.
    let _ = silence.wait_for(|silent| *silent).await;
}

/// Anybody can cause lookups of tokens, and none of them may keep the rest from working.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_of_tokens_hold_up_nothing_else() {
    run(Engine::Postgres, async |db: &TestDb| {
        let ann = db.user("ann", []).await;
        let mut outsider = db.raw().await;
        outsider
            .execute("BEGIN; LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
            .await;
        let mut lookups = JoinSet::new();
        for seed in 0..50 {
            let store = db.store.clone();
            lookups.spawn(async move { store.tokens().find_with_user(token_id(seed)).await });
        }
        eventually("the lookups wait", async || {
            let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            db.count(waiting).await == 4
        })
        .await;
        let started = Instant::now();
        for _ in 0..20 {
            assert!(db.store.users().find(ann.id).await.unwrap().is_some());
            db.store.users().touch_seen(ann.id, NOW).await.unwrap();
        }
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
        outsider.execute("ROLLBACK").await;
        for outcome in lookups.join_all().await {
            assert!(outcome.unwrap().is_none());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_store_does_not_show_its_password() {
    run(Engine::Postgres, async |db: &TestDb| {
        let Target::Postgres { url } = &db.place.target else {
            unreachable!()
        };
        let (scheme, rest) = url.expose().split_once("://").unwrap();
        let (login, server) = rest.rsplit_once('@').unwrap_or(("postgres", rest));
        // A server whose address has no password trusts local users and does not look at it.
        let (user, password) = login.split_once(':').unwrap_or((login, "hunter2secret"));
        let url = Secret::new(format!("{scheme}://{user}:{password}@{server}"));
        let options = StoreOptions::new(Target::parse(&url).unwrap());
        let store = Store::open(options.clone(), Purpose::Server).await.unwrap();
        let refused = Store::open(options.clone(), Purpose::Offline).await.unwrap_err();
        assert!(refused.to_string().contains(server), "{refused}");
        for shown in [
            format!("{store:?}"),
            format!("{options:?}"),
            format!("{refused:?} {refused}"),
        ] {
            assert!(!shown.contains(password), "{shown}");
        }
        store.close().await;
    })
    .await;
}
