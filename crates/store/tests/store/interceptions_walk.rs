//! Looking for what no index leads to.

use std::time::Duration;

use gateway_core::interception::{Record, Start};
use gateway_core::{InterceptionId, UserId};
use gateway_store::InterceptionFilter;

use crate::interceptions_support::{Made, PATIENCE};
use crate::support::{TestDb, on_both_engines};

on_both_engines!(
    a_search_goes_on_where_it_stopped,
    a_count_that_stops_says_so,
    sums_lead_to_what_is_rare,
    what_is_open_is_found_without_sums,
    nothing_is_missed_around_midnight,
);

const DAY: u64 = 86_400;

fn of_model(model: &str) -> InterceptionFilter {
    InterceptionFilter {
        model: Some(model.to_owned()),
        ..InterceptionFilter::default()
    }
}

fn with_text(text: &str) -> InterceptionFilter {
    InterceptionFilter {
        text: Some(text.to_owned()),
        ..InterceptionFilter::default()
    }
}

/// Interceptions in sessions of their own, a second apart. Every hundredth has the word in its prompt.
async fn with_a_rare_word(db: &TestDb) -> Vec<InterceptionId> {
    let (run, user) = (db.run().await, UserId::generate());
    let made: Vec<Made> = (0..350).map(|n| Made::nth(user, n)).collect();
    let has_word = |n: usize| n.is_multiple_of(100);
    let starts: Vec<Record> = made
        .iter()
        .enumerate()
        .map(|(n, made)| made.start(|start| start.prompt = has_word(n).then(|| "a Rare word".to_owned())))
        .collect();
    db.commit(run, &starts).await;
    let mut rare: Vec<InterceptionId> = made.iter().step_by(100).map(|made| made.id).collect();
    rare.reverse();
    rare
}

async fn a_search_goes_on_where_it_stopped(db: &TestDb) {
    let rare = with_a_rare_word(db).await;
    let filter = with_text("rare WORD");
    let (mut found, mut looks, mut after) = ([Vec::new(), Vec::new()], 0, None);
    loop {
        let sessions = db
            .records()
            .sessions(&filter, after, 3, Duration::ZERO)
            .await
            .unwrap();
        let interceptions = db
            .records()
            .list(&filter, after, 3, Duration::ZERO)
            .await
            .unwrap();
        // One by one they are the same.
        assert_eq!(sessions.stopped_at, interceptions.stopped_at);
        assert_eq!(sessions.rows.len(), interceptions.rows.len());
        found[0].extend(sessions.rows.iter().map(|row| row.id));
        found[1].extend(interceptions.rows.iter().map(|row| row.id));
        looks += 1;
        match sessions.stopped_at {
            Some(id) => {
                assert!(sessions.rows.iter().all(|row| row.id >= id) && after.is_none_or(|last| id < last));
                after = Some(id);
            }
            None => break,
        }
    }
    assert_eq!(found, [rare.clone(), rare.clone()]);
    assert!(looks > 3, "it did not stop: {looks}");

    let whole = db.records().sessions(&filter, None, 3, PATIENCE).await.unwrap();
    assert_eq!(whole.rows.iter().map(|row| row.id).collect::<Vec<_>>(), rare[..3]);
    assert_eq!(whole.stopped_at, None);
}

async fn a_count_that_stops_says_so(db: &TestDb) {
    with_a_rare_word(db).await;
    let filter = with_text("rare");
    let records = db.records();
    for (patience, cap, expected) in [
        (PATIENCE, 10, (4, false)),
        (PATIENCE, 4, (4, false)),
        (PATIENCE, 3, (3, true)),
        (Duration::ZERO, 10, (1, true)),
    ] {
        assert_eq!(records.count(&filter, cap, patience).await.unwrap(), expected);
        assert_eq!(
            records.count_sessions(&filter, cap, patience).await.unwrap(),
            expected
        );
    }
}

/// Ended, all of one session.
fn ended(made: &[Made], change: impl Fn(&mut Start)) -> Vec<Record> {
    let start = |start: &mut Start| {
        start.client_session_id = Some("s".to_owned());
        change(start);
    };
    made.iter()
        .flat_map(|made| [made.start(start), made.end(|_| {})])
        .collect()
}

async fn sums_lead_to_what_is_rare(db: &TestDb) {
    let run = db.run().await;
    let [ann, bob] = [UserId::generate(), UserId::generate()];
    // Ann's session goes on for days; what is rare comes in its second day.
    let days: Vec<Made> = (0..5).map(|day| Made::nth(ann, day * DAY)).collect();
    db.commit(run, &ended(&days[..1], |_| {})).await;
    db.commit(
        run,
        &ended(&days[1..2], |start| start.model = String::from("rare")),
    )
    .await;
    db.commit(run, &ended(&days[2..], |_| {})).await;
    let other: Vec<Made> = (0..70).map(|n| Made::nth(bob, 3 * DAY + 1 + n)).collect();
    db.commit(run, &ended(&other, |_| {})).await;

    // Without time for more than one part.
    let found = db
        .records()
        .sessions(&of_model("rare"), None, 9, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        found.rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [days[0].id]
    );
    assert_eq!((found.rows[0].interceptions, found.stopped_at), (5, None));
    let found = db
        .records()
        .list(&of_model("rare"), None, 9, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        found.rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [days[1].id]
    );
    let nothing = db
        .records()
        .list(&of_model("none"), None, 9, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((nothing.rows.len(), nothing.stopped_at), (0, None));
    assert_eq!(
        db.records()
            .count_sessions(&of_model("rare"), 9, PATIENCE)
            .await
            .unwrap(),
        (1, false)
    );
    assert_eq!(
        db.records().count(&of_model("none"), 9, PATIENCE).await.unwrap(),
        (0, false)
    );
    let of_bob = InterceptionFilter {
        initiator: Some(bob),
        ..of_model("rare")
    };
    assert!(
        db.records()
            .list(&of_bob, None, 9, PATIENCE)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

async fn what_is_open_is_found_without_sums(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let [old, open] = [Made::nth(user, 0), Made::nth(user, 9 * DAY)];
    db.commit(run, &ended(&[old], |start| start.model = String::from("new")))
        .await;
    db.commit(run, &[open.start(|start| start.model = String::from("new"))])
        .await;
    let found = db
        .records()
        .list(&of_model("new"), None, 9, PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        found.rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [open.id, old.id]
    );
    let found = db
        .records()
        .sessions(&of_model("new"), None, 9, PATIENCE)
        .await
        .unwrap();
    assert_eq!(found.rows.len(), 2);
}

/// The id of an interception is made a moment before or after its start is noted.
async fn nothing_is_missed_around_midnight(db: &TestDb) {
    let run = db.run().await;
    let midnight = crate::support::NOW.as_micros().unsigned_abs() / 1_000_000 % DAY;
    let to_midnight = DAY - midnight;
    for (id, start) in [(to_midnight, to_midnight - 1), (to_midnight - 1, to_midnight)] {
        let made = Made::nth(UserId::generate(), id);
        let start = crate::support::after(start);
        db.commit(
            run,
            &ended(&[made], |kept| {
                (kept.started_at, kept.model) = (start, id.to_string());
            }),
        )
        .await;
        let filter = InterceptionFilter {
            started_after: Some(crate::support::after(id)),
            ..of_model(&id.to_string())
        };
        let found = db.records().list(&filter, None, 9, PATIENCE).await.unwrap();
        assert_eq!(found.rows.len(), 1);
    }
}
