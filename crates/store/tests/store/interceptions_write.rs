//! Writing records: what is kept, what is left out, and that nothing is counted twice.

use std::time::Duration;

use gateway_core::interception::{CredentialKind, Entry, Mark, Outcome, Record};
use gateway_core::{RunId, Timestamp, UserId};
use gateway_store::StoreError;

use crate::interceptions_support::{Made, thought, tool};
use crate::support::{NOW, TestDb, after, on_both_engines};

on_both_engines!(
    a_group_committed_again_changes_nothing,
    groups_of_every_size,
    the_order_within_a_group,
    a_start_continues_a_thread_of_its_own_user,
    a_thread_within_one_group,
    an_unknown_call_has_no_parent,
    sessions_of_two_users_stay_apart,
    records_of_an_unknown_interception_are_passed_over,
    tools_of_somebody_else_are_passed_over,
    the_first_end_counts,
    a_late_end_overrides_an_interruption,
    sums_by_day,
    absurd_counts_do_not_overflow,
    ten_thousand_tools_at_once,
    hostile_text,
    text_that_is_refused,
    unrecordable_records,
    objects_belong_to_who_asked,
    runs_and_leases,
);

const TABLES: [&str; 7] = [
    "aibridge_interceptions",
    "aibridge_user_prompts",
    "aibridge_token_usages",
    "aibridge_tool_usages",
    "aibridge_model_thoughts",
    "aibridge_sessions",
    "aibridge_usage_days",
];

async fn sum(db: &TestDb, column: &str) -> i64 {
    db.count(&format!(
        "SELECT CAST(COALESCE(SUM({column}), 0) AS BIGINT) FROM aibridge_usage_days"
    ))
    .await
}

async fn counts(db: &TestDb) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        counts.push(db.rows(table).await);
    }
    for column in [
        "requests",
        "errors",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
    ] {
        counts.push(sum(db, column).await);
    }
    counts
}

/// Closes what runs other than a new one have left open.
async fn interrupt(db: &TestDb, at: Timestamp) -> u64 {
    db.records()
        .close_interrupted(RunId::generate(), at, 1000)
        .await
        .unwrap()
}

async fn a_group_committed_again_changes_nothing(db: &TestDb) {
    let (run, made) = (db.run().await, Made::new(UserId::generate()));
    let group = [
        made.start(|_| {}),
        made.tool(0, "call_1"),
        made.tool(1, "call_1"),
        made.end(|end| end.thoughts = vec![thought("a"), thought("b")]),
    ];
    db.commit(run, &group).await;
    let once = counts(db).await;
    assert_eq!(once, [1, 1, 1, 2, 2, 1, 1, 1, 0, 10, 20, 5]);
    db.commit(run, &group).await;
    db.commit(run, &group[1..]).await;
    db.commit(run, &group[3..]).await;
    assert_eq!(counts(db).await, once);
    // The same session again, whatever its interceptions.
    let later = Made::new(made.user);
    let session = made.id.to_string();
    let start = later.start(|start| start.client_session_id = Some(session));
    db.commit(run, &[start]).await;
    assert_eq!(db.rows("aibridge_sessions").await, 1);
}

async fn groups_of_every_size(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let mut total = 0;
    for size in [1, 2, 3, 5, 8, 63, 64, 65, 130] {
        let made: Vec<Made> = (0..size).map(|_| Made::new(user)).collect();
        let starts: Vec<Record> = made.iter().map(|made| made.start(|_| {})).collect();
        db.commit(run, &starts).await;
        let ends: Vec<Record> = made.iter().map(|made| made.end(|_| {})).collect();
        db.commit(run, &ends).await;
        total += size;
        assert_eq!(sum(db, "requests").await, total);
    }
    db.commit(run, &[]).await;
    assert_eq!(counts(db).await[..3], [total, total, total]);
}

async fn the_order_within_a_group(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let [one, two] = [Made::new(user), Made::new(user)];
    let group = [
        one.start(|_| {}),
        one.end(|_| {}),
        two.start(|_| {}),
        two.tool(0, "call"),
        two.end(|end| end.outcome = Outcome::ClientGone),
    ];
    db.commit(run, &group).await;
    assert_eq!(counts(db).await[..5], [2, 2, 2, 1, 0]);
    assert_eq!(sum(db, "errors").await, 0);
}

/// The parent, the root and the session of an interception.
async fn thread(db: &TestDb, of: Made, parent: Option<Made>, root: Option<Made>, session: &str) {
    let id = |made: Option<Made>| made.map_or("IS NULL".to_owned(), |made| format!("= '{}'", made.id));
    let sql = format!(
        "SELECT COUNT(*) FROM aibridge_interceptions WHERE id = '{}' AND thread_parent_id {} \
         AND thread_root_id {} AND session_id = '{session}'",
        of.id,
        id(parent),
        id(root)
    );
    assert_eq!(db.count(&sql).await, 1, "{sql}");
}

async fn a_start_continues_a_thread_of_its_own_user(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    let [root, child, grandchild] = [Made::new(ann), Made::new(ann), Made::new(ann)];
    let continues = |call: &'static str| {
        move |start: &mut gateway_core::interception::Start| {
            start.correlating_tool_call_id = Some(call.to_owned());
        }
    };
    db.commit(run, &[root.start(|_| {}), root.tool(0, "call_a")])
        .await;
    let foreign = Made::new(bob);
    db.commit(run, &[foreign.start(|_| {}), foreign.tool(0, "call_a")])
        .await;
    db.commit(run, &[child.start(continues("call_a")), child.tool(0, "call_b")])
        .await;
    db.commit(run, &[grandchild.start(continues("call_b"))]).await;
    let session = root.id.to_string();
    thread(db, root, None, None, &session).await;
    thread(db, child, Some(root), Some(root), &session).await;
    thread(db, grandchild, Some(child), Some(root), &session).await;
    // What somebody else was given joins nothing.
    let thief = Made::new(bob);
    db.commit(run, &[thief.start(continues("call_b"))]).await;
    thread(db, thief, None, None, &thief.id.to_string()).await;
    // The newest of several.
    let again = Made::new(ann);
    db.commit(run, &[again.start(|_| {}), again.tool(0, "call_a")])
        .await;
    let last = Made::new(ann);
    db.commit(run, &[last.start(continues("call_a"))]).await;
    thread(db, last, Some(again), Some(again), &again.id.to_string()).await;
    // The client's own session wins.
    let named = Made::new(ann);
    let start = named.start(|start| {
        start.correlating_tool_call_id = Some("call_b".to_owned());
        start.client_session_id = Some("mine".to_owned());
    });
    db.commit(run, &[start]).await;
    thread(db, named, Some(child), Some(root), "mine").await;
    assert_eq!(db.rows("aibridge_sessions").await, 5);
}

async fn a_thread_within_one_group(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let [one, two, three] = [Made::new(user), Made::new(user), Made::new(user)];
    let group = [
        one.start(|start| start.client_session_id = Some("s".to_owned())),
        one.tool(0, "a"),
        two.start(|start| start.correlating_tool_call_id = Some("a".to_owned())),
        two.tool(0, "b"),
        one.end(|_| {}),
        three.start(|start| start.correlating_tool_call_id = Some("b".to_owned())),
        two.end(|_| {}),
    ];
    for _ in 0..2 {
        db.commit(run, &group).await;
        thread(db, two, Some(one), Some(one), "s").await;
        thread(db, three, Some(two), Some(one), "s").await;
        assert_eq!(db.rows("aibridge_sessions").await, 1);
    }
}

async fn an_unknown_call_has_no_parent(db: &TestDb) {
    let (run, made) = (db.run().await, Made::new(UserId::generate()));
    let start = made.start(|start| start.correlating_tool_call_id = Some("nobody's".to_owned()));
    db.commit(run, &[start]).await;
    thread(db, made, None, None, &made.id.to_string()).await;
}

async fn sessions_of_two_users_stay_apart(db: &TestDb) {
    let run = db.run().await;
    for user in [UserId::generate(), UserId::generate()] {
        let made = Made::new(user);
        let start = made.start(|start| start.client_session_id = Some("same".to_owned()));
        db.commit(run, &[start]).await;
    }
    assert_eq!(db.rows("aibridge_sessions").await, 2);
}

async fn records_of_an_unknown_interception_are_passed_over(db: &TestDb) {
    let (run, unknown) = (db.run().await, Made::new(UserId::generate()));
    let group = [
        unknown.tool(0, "call"),
        unknown.end(|end| end.thoughts = vec![thought("a")]),
    ];
    db.commit(run, &group).await;
    assert_eq!(counts(db).await, [0; 12]);
}

async fn tools_of_somebody_else_are_passed_over(db: &TestDb) {
    let (run, made) = (db.run().await, Made::new(UserId::generate()));
    let mut foreign = made.tool(0, "call");
    foreign.initiator_id = UserId::generate();
    db.commit(run, &[made.start(|_| {}), foreign]).await;
    assert_eq!(db.rows("aibridge_tool_usages").await, 0);
}

async fn the_first_end_counts(db: &TestDb) {
    let (run, made) = (db.run().await, Made::new(UserId::generate()));
    let failed = made.end(|end| end.outcome = Outcome::ProviderError);
    db.commit(run, &[made.start(|_| {}), made.end(|_| {}), failed.clone()])
        .await;
    db.commit(run, &[failed]).await;
    assert_eq!(sum(db, "requests").await, 1);
    assert_eq!(sum(db, "errors").await, 0);
    // Interruption finds nothing open, and a second end no interruption.
    assert_eq!(interrupt(db, after(9)).await, 0);
}

async fn a_late_end_overrides_an_interruption(db: &TestDb) {
    let (run, user) = (RunId::generate(), UserId::generate());
    let [made, lost] = [Made::new(user), Made::new(user)];
    let mark = |mark: Mark| move |start: &mut gateway_core::interception::Start| start.marks.insert(mark);
    db.commit(run, &[made.start(mark(Mark::TokenInBody)), lost.start(|_| {})])
        .await;
    assert_eq!(interrupt(db, after(5)).await, 2);
    assert_eq!(db.number(made.id, "ended_at").await, after(5).as_micros());
    assert_eq!((sum(db, "requests").await, sum(db, "errors").await), (2, 2));
    assert_eq!(interrupt(db, after(6)).await, 0);
    // To be interrupted once more is nothing new.
    let interrupted = lost.end(|end| end.outcome = Outcome::Interrupted);
    db.commit(run, &[interrupted]).await;
    assert_eq!(
        (sum(db, "requests").await, sum(db, "output_tokens").await),
        (2, 0)
    );
    for _ in 0..2 {
        let end = made.end(|end| end.marks.insert(Mark::UsageNotReported));
        db.commit(run, &[end]).await;
        assert_eq!((sum(db, "requests").await, sum(db, "errors").await), (2, 1));
        assert_eq!(sum(db, "output_tokens").await, 20);
    }
    assert_eq!(db.number(made.id, "ended_at").await, after(1).as_micros());
    assert_eq!(db.number(made.id, "marks").await, 0b10_0100);
    assert_eq!(db.rows("aibridge_token_usages").await, 1);
}

async fn sums_by_day(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let day = Duration::from_hours(24);
    for (days, model, outcome) in [
        (0, "a", Outcome::Completed),
        (0, "a", Outcome::ProviderError),
        (0, "b", Outcome::ProviderBroke),
        (1, "a", Outcome::Revoked),
        (1, "a", Outcome::GatewayError),
    ] {
        let made = Made::new(user);
        let start = made.start(|start| {
            start.model = String::from(model);
            start.started_at = NOW.plus(day * days);
        });
        db.commit(run, &[start, made.end(|end| end.outcome = outcome)])
            .await;
    }
    assert_eq!(db.rows("aibridge_usage_days").await, 3);
    let first = NOW.as_micros() / 86_400_000_000;
    // Only of what was completed, which the second of each pair was not.
    for (day, model, requests, errors, first_bytes) in [
        (first, "a", 2, 1, 1),
        (first, "b", 1, 1, 0),
        (first + 1, "a", 2, 1, 0),
    ] {
        let sql = format!(
            "SELECT COUNT(*) FROM aibridge_usage_days WHERE day = {day} AND model = '{model}' \
             AND initiator_id = '{user}' AND requests = {requests} AND errors = {errors} \
             AND cache_read_input_tokens = 300 * {requests} AND cache_write_input_tokens = 40 * {requests} \
             AND first_bytes = {first_bytes} AND first_byte_micros = 1000000 * {first_bytes}"
        );
        assert_eq!(db.count(&sql).await, 1, "{sql}");
    }
}

async fn absurd_counts_do_not_overflow(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    for _ in 0..3 {
        let made = Made::new(user);
        let end = made.end(|end| {
            let usage = end.usage.as_mut().unwrap();
            (usage.input, usage.output, usage.reasoning) = (u64::MAX, u64::MAX, Some(u64::MAX));
            usage.extra = vec![("x\"y".to_owned(), u64::MAX)];
        });
        db.commit(run, &[made.start(|_| {}), end]).await;
    }
    assert_eq!(sum(db, "input_tokens").await, 3 << 40);
}

async fn ten_thousand_tools_at_once(db: &TestDb) {
    let (run, made) = (db.run().await, Made::new(UserId::generate()));
    let mut group = vec![made.start(|_| {})];
    group.extend((0..10_000).map(|n| made.tool(n, &format!("call_{n}"))));
    group.push(made.end(|_| {}));
    db.commit(run, &group).await;
    assert_eq!(db.rows("aibridge_tool_usages").await, 10_000);
    let next = Made::new(made.user);
    let start = next.start(|start| start.correlating_tool_call_id = Some("call_9999".to_owned()));
    db.commit(run, &[start]).await;
    thread(db, next, Some(made), Some(made), &made.id.to_string()).await;
}

async fn hostile_text(db: &TestDb) {
    let run = db.run().await;
    let long = "😀 'x\"; DROP TABLE users; -- \\ $1 ? \u{202e}\u{fffd}".repeat(100_000);
    assert!(long.len() > 4 << 20);
    let made: Vec<Made> = (0..3).map(|_| Made::new(UserId::generate())).collect();
    let mut group = Vec::new();
    for made in &made {
        group.push(made.start(|start| {
            start.prompt = Some(long.clone());
            start.model = String::from("m 😀 ' \u{7f} \u{1}");
        }));
        let mut call = tool(0, "😀'");
        call.input = Some(long.clone());
        group.push(made.record(Entry::Tool(Box::new(call))));
        group.push(made.end(|end| end.thoughts = vec![thought(&long)]));
    }
    db.commit(run, &group).await;
    let length = long.chars().count();
    for (table, column) in [
        ("aibridge_user_prompts", "prompt"),
        ("aibridge_tool_usages", "input"),
        ("aibridge_model_thoughts", "content"),
    ] {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE LENGTH({column}) = {length}");
        assert_eq!(db.count(&sql).await, 3, "{table}");
    }
}

/// What is not storable is refused as such where it is refused at all, and takes nothing else with it.
async fn text_that_is_refused(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let (good, bad) = (Made::new(user), Made::new(user));
    let group = [
        good.start(|_| {}),
        bad.start(|start| start.prompt = Some("a\0b".to_owned())),
    ];
    match db.records().commit(run, group.as_slice()).await {
        Ok(()) => assert_eq!(db.store.engine(), gateway_store::Engine::Sqlite),
        Err(error) => {
            assert!(!error.is_unavailable(), "{error:?}");
            assert!(matches!(error, StoreError::Database { .. }));
            assert_eq!(db.rows("aibridge_interceptions").await, 0);
            db.commit(run, &group[..1]).await;
            db.records().commit_unrecordable(run, &group[1]).await.unwrap();
        }
    }
    assert_eq!(db.rows("aibridge_interceptions").await, 2);
}

async fn unrecordable_records(db: &TestDb) {
    let (run, made) = (db.run().await, Made::new(UserId::generate()));
    let start = made.start(|start| {
        start.client_session_id = Some("secret".to_owned());
        start.marks.insert(Mark::PromptCut);
    });
    let end = made.end(|end| end.error_message = Some("secret".to_owned()));
    for _ in 0..2 {
        for record in [&start, &made.tool(3, "secret"), &end] {
            db.records().commit_unrecordable(run, record).await.unwrap();
        }
    }
    assert_eq!(counts(db).await, [1, 0, 1, 1, 0, 1, 1, 1, 0, 10, 20, 5]);
    assert_eq!(db.number(made.id, "marks").await, 0b100_1000);
    let bare = "SELECT COUNT(*) FROM aibridge_interceptions WHERE model = '' AND client = 'Unknown' \
        AND session_id = id AND client_session_id IS NULL AND error_message IS NULL AND status = 200";
    assert_eq!(db.count(bare).await, 1);
    // Of a good start too, the mark tells that something is missing.
    let other = Made::new(made.user);
    db.commit(run, &[other.start(|_| {})]).await;
    db.records()
        .commit_unrecordable(run, &other.tool(0, "x"))
        .await
        .unwrap();
    assert_eq!(db.number(other.id, "marks").await, 0b100_0000);
}

async fn objects_belong_to_who_asked(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    for (user, kind, object) in [
        (ann, CredentialKind::Centralized, "resp_1"),
        (bob, CredentialKind::Byok, "resp_1"),
        (bob, CredentialKind::Centralized, "resp_2"),
        (ann, CredentialKind::Centralized, "resp_chosen"),
        (bob, CredentialKind::Centralized, "resp_chosen"),
    ] {
        let made = Made::new(user);
        let group = [
            made.start(|start| start.credential_kind = kind),
            made.end(|end| end.provider_response_id = Some(object.to_owned())),
        ];
        db.commit(run, &group).await;
    }
    for (user, provider, object, made) in [
        (ann, "anthropic", "resp_1", true),
        (bob, "anthropic", "resp_1", false),
        (bob, "anthropic", "resp_2", true),
        (ann, "anthropic", "resp_2", false),
        (ann, "anthropic", "resp_chosen", false),
        (bob, "anthropic", "resp_chosen", false),
        (ann, "openai", "resp_1", false),
        (ann, "anthropic", "RESP_1", false),
        (ann, "anthropic", "resp_1\0", false),
        (ann, "anthropic", "", false),
    ] {
        let found = db.records().made_object(user, provider, object).await.unwrap();
        assert_eq!(found, made, "{provider} {object}");
    }
}

async fn runs_and_leases(db: &TestDb) {
    let user = UserId::generate();
    let (mine, live, dead, ended) = (db.run().await, db.run().await, RunId::generate(), db.run().await);
    let records = db.records();
    records.begin_run(dead, Duration::ZERO, NOW).await.unwrap();
    for run in [mine, live, dead, ended] {
        db.commit(run, &[Made::new(user).start(|_| {})]).await;
    }
    records.end_run(ended).await.unwrap();
    assert!(!records.renew_run(ended, Duration::from_secs(5)).await.unwrap());
    assert!(records.renew_run(live, Duration::from_secs(500)).await.unwrap());
    let closed = records.close_interrupted(mine, after(1), 1).await.unwrap();
    assert_eq!(closed, 1);
    let mut rest = 0;
    loop {
        match records.close_interrupted(mine, after(1), 10).await.unwrap() {
            0 => break,
            more => rest += more,
        }
    }
    // On SQLite every other run is over.
    let expected = match db.store.engine() {
        gateway_store::Engine::Sqlite => 2,
        gateway_store::Engine::Postgres => 1,
    };
    assert_eq!(rest, expected);
    let open =
        format!("SELECT COUNT(*) FROM aibridge_interceptions WHERE ended_at IS NULL AND run_id = '{mine}'");
    assert_eq!(db.count(&open).await, 1);
}
