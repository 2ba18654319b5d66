//! Records and accounts side by side, and commits that are given up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use gateway_core::UserId;
use gateway_core::interception::Record;
use gateway_store::{Engine, InterceptionFilter, Steps, Store, Target, ThreadPage, UsageQuery};
use tokio::task::JoinSet;

use crate::interceptions_support::{Made, PATIENCE};
use crate::support::{NOW, Raw, TestDb, after, eventually, on_both_engines, run};

on_both_engines!(
    accounts_go_first_while_records_flood,
    records_go_on_while_accounts_are_blocked,
    a_commit_dropped_after_any_number_of_polls,
    a_commit_dropped_at_any_moment,
    a_blocked_commit_ends_in_time,
    checkpoints_beside_commits,
    reads_beside_commits,
    replicas_that_meet_in_the_sums,
    a_closed_store_is_unavailable,
);

/// Starts and ends, as many as a full group has.
fn group(user: UserId, size: u64, first: u64) -> Vec<Record> {
    let made = (0..size).map(|n| Made::nth(user, first + n));
    made.flat_map(|made| [made.start(|_| {}), made.tool(0, "call"), made.end(|_| {})])
        .collect()
}

/// Commits groups until told to stop.
fn flood(tasks: &mut JoinSet<u64>, store: &Store, stop: &Arc<AtomicBool>, first: u64) {
    let (store, stop) = (store.clone(), Arc::clone(stop));
    tasks.spawn(async move {
        let (run, user, mut groups) = (gateway_core::RunId::generate(), UserId::generate(), 0);
        loop {
            let records = group(user, 100, first + groups * 100);
            store.interceptions().commit(run, records).await.unwrap();
            groups += 1;
            if stop.load(Ordering::Relaxed) {
                return groups;
            }
        }
    });
}

async fn accounts_go_first_while_records_flood(db: &TestDb) {
    let ann = db.user("ann", []).await;
    let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for n in 0..3 {
        flood(&mut tasks, &db.store, &stop, n * 1_000_000);
    }
    let mut took = Vec::new();
    for n in 0..20 {
        let started = Instant::now();
        db.store.users().touch_seen(ann.id, after(n)).await.unwrap();
        took.push(started.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let groups: u64 = tasks.join_all().await.into_iter().sum();
    took.sort();
    // One group takes some tens of milliseconds here; standing in line behind three would show.
    assert!(took[10] < Duration::from_millis(500), "{took:?}");
    assert!(groups > 0);
    let ended = "SELECT CAST(SUM(requests) AS BIGINT) FROM aibridge_usage_days";
    assert_eq!(db.count(ended).await, i64::try_from(groups * 100).unwrap());
}

/// The lock that writes of accounts take on PostgreSQL, held by somebody else, is nothing to records. On SQLite there
/// is one lock for all, so here records only do not wait for what waits for its turn.
async fn records_go_on_while_accounts_are_blocked(db: &TestDb) {
    if db.place.engine == Engine::Sqlite {
        return;
    }
    let ann = db.user("ann", []).await;
    let mut outsider = db.raw().await;
    outsider
        .execute("BEGIN; SELECT pg_advisory_xact_lock(6020117340895521)")
        .await;
    let mut blocked = pin!(db.store.users().touch_seen(ann.id, NOW));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), blocked.as_mut())
            .await
            .is_err()
    );
    let run = db.run().await;
    db.commit(run, &group(ann.id, 3, 0)).await;
    outsider.execute("ROLLBACK").await;
    blocked.await.unwrap();
}

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

/// How many of the group's interceptions are there whole; half of one is an error.
async fn whole(db: &TestDb, user: UserId) -> usize {
    let filter = InterceptionFilter {
        initiator: Some(user),
        ..InterceptionFilter::default()
    };
    let found = db
        .records()
        .list(&filter, None, 100, PATIENCE)
        .await
        .unwrap()
        .rows;
    for one in &found {
        assert!(one.usage.is_some() && one.tools.len() == 1 && one.outcome.is_some());
    }
    found.len()
}

async fn no_open_transaction(db: &TestDb) {
    if db.place.engine == Engine::Sqlite {
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

async fn a_commit_dropped_after_any_number_of_polls(db: &TestDb) {
    let (run, mut done, mut cut) = (db.run().await, 0, 0);
    for times in 0..60 {
        let user = UserId::generate();
        let records = group(user, 5, times as u64 * 10);
        let outcome = polled(db.records().commit(run, records.as_slice()), times).await;
        // The next write is after whatever was under way, and none of it is in the way.
        assert!(
            db.records()
                .renew_run(run, Duration::from_hours(1))
                .await
                .unwrap()
        );
        no_open_transaction(db).await;
        match (outcome, whole(db, user).await) {
            (Some(outcome), 5) => {
                outcome.unwrap();
                done += 1;
            }
            (None, 0 | 5) => cut += 1,
            (outcome, there) => panic!("{outcome:?}, {there} of 5"),
        }
        // Committed again, as after an unknown outcome, it is there once.
        db.commit(run, &records).await;
        assert_eq!(whole(db, user).await, 5);
    }
    // On SQLite it takes two polls: one to hand the group over, and one when it is written.
    assert!(done > 0 && cut > 1, "{done} done, {cut} cut");
    let ended = "SELECT CAST(SUM(requests) AS BIGINT) FROM aibridge_usage_days";
    assert_eq!(db.count(ended).await, 300);
}

async fn a_commit_dropped_at_any_moment(db: &TestDb) {
    let run = db.run().await;
    for round in 0..60_u64 {
        let user = UserId::generate();
        let records = group(user, 5, round * 10);
        let moment = Duration::from_micros(round * 97 % 6000);
        let _ = tokio::time::timeout(moment, db.records().commit(run, records.as_slice())).await;
        db.commit(run, &records).await;
        assert_eq!(whole(db, user).await, 5);
        // A write of accounts finds neither lock nor turn taken.
        db.store.users().touch_seen(user, NOW).await.unwrap();
    }
    no_open_transaction(db).await;
    let ended = "SELECT CAST(SUM(requests) AS BIGINT) FROM aibridge_usage_days";
    assert_eq!(db.count(ended).await, 300);
}

async fn a_blocked_commit_ends_in_time(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let mut outsider: Raw = db.raw().await;
    match db.place.engine {
        Engine::Sqlite => outsider.execute("BEGIN IMMEDIATE").await,
        Engine::Postgres => outsider.execute("BEGIN; LOCK TABLE aibridge_interceptions").await,
    }
    let started = Instant::now();
    let error = db.records().commit(run, group(user, 2, 0)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    outsider.execute("ROLLBACK").await;
    db.commit(run, &group(user, 2, 0)).await;
    assert_eq!(whole(db, user).await, 2);
}

async fn checkpoints_beside_commits(db: &TestDb) {
    let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    flood(&mut tasks, &db.store, &stop, 1_000_000);
    let (run, user, mut largest) = (db.run().await, UserId::generate(), 0);
    for n in 0..12 {
        let large = Made::nth(user, n).start(|start| start.prompt = Some("x".repeat(8 << 20)));
        db.commit(run, &[large]).await;
        db.store.checkpoint().await.unwrap();
        if let Target::Sqlite { path } = &db.place.target {
            let log = path.with_file_name("coder.db-wal");
            largest = log.metadata().unwrap().len().max(largest);
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(tasks.join_all().await[0] > 0);
    db.store.checkpoint().await.unwrap();
    if let Target::Sqlite { path } = &db.place.target {
        // The log begins anew, so it does not grow with what is written.
        assert!(path.metadata().unwrap().len() > 90 << 20);
        assert!(largest < 60 << 20, "{largest}");
    }
}

async fn reads_beside_commits(db: &TestDb) {
    let (stop, mut writers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let (run, user) = (db.run().await, UserId::generate());
    db.commit(run, &group(user, 5, 0)).await;
    flood(&mut writers, &db.store, &stop, 1000);
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let store = db.store.clone();
        readers.spawn(async move {
            let (records, all) = (store.interceptions(), InterceptionFilter::default());
            let mut last = None;
            for _ in 0..8 {
                let page = records.list(&all, last, 50, PATIENCE).await.unwrap().rows;
                assert!(
                    page.iter()
                        .all(|found| found.usage.is_some() && found.tools.len() == 1)
                );
                last = page.last().map(|found| found.id);
                let sessions = records.sessions(&all, None, 50, PATIENCE).await.unwrap().rows;
                assert!(sessions.len() >= 5);
                for session in &sessions {
                    assert_eq!((session.interceptions, session.tokens.output), (1, 20));
                }
                let threads = records.threads(
                    user,
                    &sessions[0].session_id,
                    ThreadPage::First,
                    9,
                    Steps { skip: 0, take: 9 },
                );
                assert_eq!(
                    threads.await.unwrap().is_empty(),
                    sessions[0].initiator_id != user
                );
                let usage = records.usage(&UsageQuery::default()).await.unwrap();
                assert_eq!(usage[0].tokens.output, 20 * usage[0].requests);
                assert_eq!(records.models(None, "", 9).await.unwrap(), ["claude-opus"]);
            }
        });
    }
    readers.join_all().await;
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
}

/// Two replicas that end interceptions of the same users in opposite order neither lose a sum nor stand in each
/// other's way for long.
async fn replicas_that_meet_in_the_sums(db: &TestDb) {
    let replica = db.replica().await;
    let users: Vec<UserId> = (0..20).map(|_| UserId::generate()).collect();
    let mut tasks = JoinSet::new();
    for (store, backwards) in [(db.store.clone(), false), (replica.clone(), true)] {
        let mut users = users.clone();
        if backwards {
            users.reverse();
        }
        tasks.spawn(async move {
            let run = gateway_core::RunId::generate();
            for _ in 0..10 {
                let records: Vec<Record> = users
                    .iter()
                    .map(|user| Made::new(*user))
                    .flat_map(|made| {
                        let start = made.start(|start| {
                            start.started_at = NOW;
                            start.client_session_id = Some("one".to_owned());
                        });
                        [start, made.end(|_| {})]
                    })
                    .collect();
                store.interceptions().commit(run, records).await.unwrap();
            }
        });
    }
    let started = Instant::now();
    tasks.join_all().await;
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    let same = "SELECT COUNT(*) FROM aibridge_usage_days WHERE requests = 20";
    assert_eq!(db.count(same).await, 20);
    assert_eq!(db.rows("aibridge_usage_days").await, 20);
    assert_eq!(db.rows("aibridge_sessions").await, 20);
    replica.close().await;
}

async fn a_closed_store_is_unavailable(db: &TestDb) {
    let run = db.run().await;
    db.store.close().await;
    let error = db
        .records()
        .commit(run, group(UserId::generate(), 1, 0))
        .await
        .unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}

/// A search that nobody waits for any more does not hold a connection that others need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_was_given_up_stops() {
    run(Engine::Sqlite, async |db: &TestDb| {
        let ann = db.user("ann", []).await;
        let made = Made::nth(ann.id, 0);
        db.commit(db.run().await, &[made.start(|_| {})]).await;
        db.execute(
            "CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
             SELECT i FROM n; \
             INSERT INTO aibridge_user_prompts SELECT 'x' || i, hex(zeroblob(500)), 0 FROM n; \
             CREATE TEMP TABLE many AS SELECT * FROM aibridge_interceptions; \
             CREATE TEMP TABLE ids AS SELECT 'x' || i AS id FROM n; \
             INSERT INTO aibridge_interceptions SELECT ids.id, run_id, initiator_id, initiator_username, api_key_id, \
             provider, provider_name, route, model, client, NULL, NULL, NULL, 's', NULL, NULL, credential_kind, '', \
             TRUE, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM ids, many",
        )
        .await;
        let filter = InterceptionFilter {
            text: Some("0".repeat(200) + "1"),
            ..InterceptionFilter::default()
        };
        let whole_search = async || {
            let started = Instant::now();
            assert!(db.records().list(&filter, None, 10, PATIENCE).await.unwrap().rows.is_empty());
            started.elapsed()
        };
        let alone = whole_search().await;
        for _ in 0..60 {
            let search = db.records().list(&filter, None, 10, PATIENCE);
            let given_up = tokio::time::timeout(alone / 50, search).await;
            assert!(given_up.is_err(), "it has not been through all");
        }
        // If those were still under way, all of them would be beside this one.
        let after_all = whole_search().await;
        assert!(after_all < alone * 5, "{after_all:?}, {alone:?}");
        // What comes after on such connections is not stopped.
        for _ in 0..30 {
            let found = db.records().find(made.id).await.unwrap();
            assert_eq!(found.map(|found| found.id), Some(made.id));
            let all = InterceptionFilter::default();
            assert_eq!(db.records().count(&all, 100_000, PATIENCE).await.unwrap(), (401, false));
        }
    })
    .await;
}
