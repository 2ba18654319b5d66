//! Sessions, their threads, and removing what is old.

use std::time::Duration;

use gateway_core::interception::{Record, Start};
use gateway_core::{InterceptionId, RunId, UserId};
use gateway_store::{
    InterceptionFilter, MAX_THREAD_INTERCEPTIONS, SessionSummary, Steps, ThreadPage, TokenSums,
};

use crate::interceptions_support::{Made, PATIENCE};
use crate::support::{NOW, TestDb, after, on_both_engines};

on_both_engines!(
    a_session_is_summed_up,
    sessions_in_pages_and_by_conditions,
    sessions_by_their_ids,
    threads_in_pages,
    a_long_thread_is_cut,
    some_steps_of_a_thread,
    retention_moves_sessions_on,
    retention_in_small_parts,
);

const ALL: Steps = Steps {
    skip: 0,
    take: MAX_THREAD_INTERCEPTIONS + 1,
};

fn named(session: &str) -> impl FnOnce(&mut Start) {
    let session = session.to_owned();
    move |start| start.client_session_id = Some(session)
}

fn continues(call: &str) -> impl FnOnce(&mut Start) {
    let call = call.to_owned();
    move |start| start.correlating_tool_call_id = Some(call)
}

async fn sessions(db: &TestDb, filter: &InterceptionFilter) -> Vec<SessionSummary> {
    db.records()
        .sessions(filter, None, 100, PATIENCE)
        .await
        .unwrap()
        .rows
}

async fn a_session_is_summed_up(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let [one, two, three] = [Made::nth(user, 1), Made::nth(user, 2), Made::nth(user, 3)];
    let long = "😀".repeat(2000);
    let group = [
        one.start(named("s")),
        one.tool(0, "call"),
        one.end(|end| end.ended_at = after(50)),
        two.start(|start| {
            named("s")(start);
            continues("call")(start);
            start.model = String::from("haiku");
            start.prompt = Some(long.clone());
        }),
        two.end(|end| end.ended_at = after(40)),
        three.start(|start| {
            named("s")(start);
            (start.prompt, start.client) = (None, "Other".to_owned());
            start.provider_name = "another".parse().unwrap();
            start.initiator_username = String::from("renamed");
            start.model = String::new();
        }),
    ];
    db.commit(run, &group).await;
    let found = sessions(db, &InterceptionFilter::default()).await;
    let expected = SessionSummary {
        id: one.id,
        initiator_id: user,
        session_id: "s".to_owned(),
        initiator_username: "renamed".to_owned(),
        client: "Other".to_owned(),
        providers: vec!["another".to_owned(), "anthropic".to_owned()],
        models: vec!["claude-opus".to_owned(), "haiku".to_owned()],
        started_at: after(1),
        last_active_at: after(50),
        ended_at: None,
        last_prompt: Some("😀".repeat(1000)),
        threads: 2,
        interceptions: 3,
        tokens: TokenSums {
            input: 20,
            output: 40,
            cache_read_input: 600,
            cache_write_input: 80,
            reasoning: 10,
        },
    };
    assert_eq!(found, [expected]);
    db.commit(run, &[three.end(|end| end.ended_at = after(45))]).await;
    assert_eq!(
        sessions(db, &InterceptionFilter::default()).await[0].ended_at,
        Some(after(50))
    );
}

async fn sessions_in_pages_and_by_conditions(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    let mut records = Vec::new();
    for n in 0..140 {
        let user = if n % 2 == 0 { ann } else { bob };
        records.push(Made::nth(user, n).start(|start| {
            named(&format!("s{n}"))(start);
            start.prompt = Some(format!("prompt number {n}."));
            start.model = format!("m{}", n % 3);
        }));
        // Another of the same session, which is all the same one session.
        records.push(Made::nth(user, 1000 + n).start(named(&format!("s{n}"))));
    }
    db.commit(run, &records).await;
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = db
            .records()
            .sessions(&InterceptionFilter::default(), last, 90, PATIENCE)
            .await
            .unwrap()
            .rows;
        let Some(oldest) = page.last() else { break };
        last = Some(oldest.id);
        seen.extend(page.into_iter().map(|session| session.session_id));
    }
    let expected: Vec<String> = (0..140).rev().map(|n| format!("s{n}")).collect();
    assert_eq!(seen, expected);

    let count = async |change: &dyn Fn(&mut InterceptionFilter)| {
        let mut filter = InterceptionFilter::default();
        change(&mut filter);
        let (count, _) = db
            .records()
            .count_sessions(&filter, 1000, PATIENCE)
            .await
            .unwrap();
        let listed = db
            .records()
            .sessions(&filter, None, 1000, PATIENCE)
            .await
            .unwrap()
            .rows;
        assert_eq!(count, listed.len() as u64);
        count
    };
    assert_eq!(count(&|f| f.initiator = Some(ann)).await, 70);
    assert_eq!(count(&|f| f.model = Some("m0".to_owned())).await, 47);
    assert_eq!(count(&|f| f.text = Some("NUMBER 13.".to_owned())).await, 1);
    assert_eq!(
        count(&|f| (f.text, f.initiator) = (Some("number 13.".to_owned()), Some(ann))).await,
        0
    );
    assert_eq!(count(&|f| f.session_id = Some("s7".to_owned())).await, 1);
    assert_eq!(count(&|f| f.only_ended = true).await, 0);
    assert_eq!(count(&|f| f.started_after = Some(after(100))).await, 40);
    assert_eq!(count(&|f| f.started_before = Some(after(10))).await, 10);
}

async fn sessions_by_their_ids(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    let [one, two, three] = [Made::nth(ann, 1), Made::nth(bob, 2), Made::nth(bob, 3)];
    // One that takes the id of somebody else's for its own.
    let thief = one.id.to_string();
    db.commit(
        run,
        &[
            one.start(named("s")),
            two.start(named("s")),
            three.start(named(&thief)),
        ],
    )
    .await;
    let find = async |initiator: Option<UserId>, id: &str| {
        let found = db.records().find_session(initiator, id).await.unwrap();
        found.map(|session| session.id)
    };
    assert_eq!(find(None, &one.id.to_string()).await, Some(one.id));
    assert_eq!(find(Some(ann), "s").await, Some(one.id));
    assert_eq!(find(Some(bob), "s").await, Some(two.id));
    assert_eq!(find(None, "s").await, Some(two.id));
    assert_eq!(find(Some(bob), &one.id.to_string()).await, Some(three.id));
    assert_eq!(find(Some(ann), &two.id.to_string()).await, None);
    assert_eq!(find(None, "nobody's").await, None);
    assert_eq!(find(None, "s\0").await, None);
}

async fn threads_in_pages(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let mut roots = Vec::new();
    for n in 0..10 {
        let [root, child] = [Made::nth(user, n), Made::nth(user, 100 + n)];
        let call = format!("call {n}");
        let group = [
            root.start(named("s")),
            root.tool(0, &call),
            root.end(|_| {}),
            child.start(|start| {
                named("s")(start);
                continues(&call)(start);
            }),
            child.end(|_| {}),
        ];
        db.commit(run, &group).await;
        roots.push((root.id, child.id));
    }
    let page = async |page, limit| {
        let threads = db.records().threads(user, "s", page, limit, ALL).await.unwrap();
        threads
            .into_iter()
            .map(|thread| {
                assert!(!thread.is_cut);
                let ids = thread
                    .interceptions
                    .iter()
                    .map(|found| found.id)
                    .collect::<Vec<_>>();
                assert_eq!(ids[0], thread.id);
                assert_eq!(ids.len(), 2);
                (thread.id, ids[1])
            })
            .collect::<Vec<_>>()
    };
    let newest: Vec<_> = roots.iter().rev().copied().collect();
    assert_eq!(page(ThreadPage::First, 100).await, newest);
    assert_eq!(page(ThreadPage::First, 3).await, newest[..3]);
    assert_eq!(page(ThreadPage::OlderThan(newest[2].0), 3).await, newest[3..6]);
    assert_eq!(page(ThreadPage::NewerThan(newest[6].0), 3).await, newest[3..6]);
    assert!(page(ThreadPage::OlderThan(newest[9].0), 3).await.is_empty());
    let others = db
        .records()
        .threads(UserId::generate(), "s", ThreadPage::First, 9, ALL)
        .await;
    assert!(others.unwrap().is_empty());
}

async fn a_long_thread_is_cut(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let root = Made::nth(user, 0);
    db.commit(run, &[root.start(named("s")), root.tool(0, "call")])
        .await;
    let children: Vec<Record> = (1..1200)
        .map(|n| Made::nth(user, n).start(continues("call")))
        .collect();
    db.commit(run, &children).await;
    let last = Made::nth(user, 2000);
    db.commit(run, &[last.start(named("s"))]).await;
    let threads = db
        .records()
        .threads(user, "s", ThreadPage::First, 9, ALL)
        .await
        .unwrap();
    let shown: Vec<_> = threads
        .iter()
        .map(|thread| (thread.id, thread.interceptions.len(), thread.is_cut))
        .collect();
    assert_eq!(shown, [(last.id, 1, false), (root.id, 999, true)]);
}

async fn some_steps_of_a_thread(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let root = Made::nth(user, 0);
    db.commit(run, &[root.start(named("s")), root.tool(0, "call")])
        .await;
    let children: Vec<Made> = (1..10).map(|n| Made::nth(user, n)).collect();
    let starts: Vec<Record> = children
        .iter()
        .map(|made| made.start(continues("call")))
        .collect();
    db.commit(run, &starts).await;
    for (skip, take, expected) in [
        (0, 3, vec![0, 1, 2]),
        (2, 2, vec![0, 2, 3]),
        (8, 5, vec![0, 8, 9]),
        (10, 5, vec![0]),
        (usize::MAX, usize::MAX, vec![0]),
        (0, 0, vec![0]),
    ] {
        let steps = Steps { skip, take };
        let threads = db
            .records()
            .threads(user, "s", ThreadPage::First, 9, steps)
            .await
            .unwrap();
        assert_eq!(
            (threads.len(), threads[0].total, threads[0].is_cut),
            (1, 10, false)
        );
        let ids = threads[0].interceptions.iter().map(|found| found.id);
        let expected = expected.into_iter().map(|n| match n {
            0 => root.id,
            n => children[n - 1].id,
        });
        assert_eq!(ids.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

async fn retention_moves_sessions_on(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let day = Duration::from_hours(24);
    let [one, two, lone] = [Made::nth(user, 10), Made::nth(user, 200_000), Made::nth(user, 20)];
    let mut group = Vec::new();
    for (made, session) in [(one, "s"), (lone, "gone"), (two, "s")] {
        group.extend([made.start(named(session)), made.tool(0, "call"), made.end(|_| {})]);
    }
    db.commit(run, &group).await;
    assert_eq!(db.rows("aibridge_usage_days").await, 2);
    assert_eq!(db.records().remove_before(after(15), 100).await.unwrap(), 1);
    let ids = async || {
        let found = sessions(db, &InterceptionFilter::default()).await;
        found.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [two.id, lone.id]);
    assert_eq!(
        db.records().find_session(None, "s").await.unwrap().unwrap().id,
        two.id
    );
    assert_eq!(db.rows("aibridge_usage_days").await, 2, "the day was not over");
    assert_eq!(db.records().remove_before(NOW.plus(day), 100).await.unwrap(), 1);
    assert_eq!(ids().await, [two.id]);
    assert_eq!(db.rows("aibridge_usage_days").await, 1);
    // What comes late about what is gone changes nothing.
    db.commit(run, &[one.end(|_| {}), one.tool(1, "late")]).await;
    assert_eq!(db.rows("aibridge_tool_usages").await, 1);
    assert_eq!(
        db.records().remove_before(NOW.plus(day * 30), 100).await.unwrap(),
        1
    );
    for table in [
        "aibridge_interceptions",
        "aibridge_user_prompts",
        "aibridge_token_usages",
        "aibridge_tool_usages",
        "aibridge_model_thoughts",
        "aibridge_sessions",
        "aibridge_usage_days",
    ] {
        assert_eq!(db.rows(table).await, 0, "{table}");
    }
}

async fn retention_in_small_parts(db: &TestDb) {
    let (run, user): (RunId, UserId) = (db.run().await, UserId::generate());
    let made: Vec<Made> = (0..25).map(|n| Made::nth(user, n)).collect();
    for made in &made {
        db.commit(run, &[made.start(|_| {}), made.end(|_| {})]).await;
    }
    let mut parts = Vec::new();
    loop {
        match db.records().remove_before(after(20), 8).await.unwrap() {
            0 => break,
            some => parts.push(some),
        }
    }
    assert_eq!(parts, [8, 8, 4]);
    let left = db
        .records()
        .list(&InterceptionFilter::default(), None, 100, PATIENCE)
        .await
        .unwrap()
        .rows;
    let expected: Vec<InterceptionId> = made[20..].iter().rev().map(|made| made.id).collect();
    assert_eq!(
        left.into_iter().map(|found| found.id).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(db.rows("aibridge_token_usages").await, 5);
    assert_eq!(db.rows("aibridge_sessions").await, 5);
}
