//! Reading interceptions and their sums.

use std::time::Duration;

use gateway_core::interception::{CredentialKind, Entry, Mark, Outcome, Record};
use gateway_core::{InterceptionId, ProviderKind, Timestamp, UserId};
use gateway_store::{Interception, InterceptionFilter, MAX_PAGE_BYTES, TokenSums, UsageKey, UsageQuery};

use crate::interceptions_support::{Made, PATIENCE, end, thought, tool};
use crate::support::{NOW, TestDb, after, on_both_engines, token_id};

on_both_engines!(
    everything_is_read_as_it_was_written,
    what_is_open_has_no_end,
    each_condition_narrows,
    text_is_found_whatever_the_case_of_ascii,
    times_bound_by_ids,
    pages_are_stable_while_records_come,
    a_page_ends_where_it_becomes_large,
    counts_stop_at_the_cap,
    usage_by_any_key,
    names_by_prefix,
);

fn filter(change: impl FnOnce(&mut InterceptionFilter)) -> InterceptionFilter {
    let mut filter = InterceptionFilter::default();
    change(&mut filter);
    filter
}

async fn ids(db: &TestDb, filter: &InterceptionFilter) -> Vec<InterceptionId> {
    let found = db.records().list(filter, None, 100, PATIENCE).await.unwrap().rows;
    let (count, more) = db.records().count(filter, 100, PATIENCE).await.unwrap();
    assert_eq!((count, more), (found.len() as u64, false));
    found.into_iter().map(|found| found.id).collect()
}

async fn everything_is_read_as_it_was_written(db: &TestDb) {
    let (run, made) = (db.run().await, Made::nth(UserId::generate(), 7));
    let start = made.start(|start| start.marks.insert(Mark::PromptCut));
    let ended = made.end(|end| {
        end.provider_response_id = Some("msg_7".to_owned());
        end.error_type = Some("overloaded".to_owned());
        end.error_message = Some("busy".to_owned());
        end.thoughts = vec![thought("first"), thought("second")];
        end.marks.insert(Mark::TextMended);
    });
    db.commit(run, &[start, made.tool(0, "a"), made.tool(1, "b"), ended])
        .await;
    let found = db.records().find(made.id).await.unwrap().unwrap();
    let expected = Interception {
        id: made.id,
        initiator_id: made.user,
        initiator_username: format!("user-{}", made.user.as_uuid().simple()),
        token_id: token_id(1),
        provider: ProviderKind::Anthropic,
        provider_name: "anthropic".to_owned(),
        route: "messages".to_owned(),
        model: "claude-opus".to_owned(),
        answered_model: Some("claude-opus-1".to_owned()),
        client: "Claude Code".to_owned(),
        client_version: Some("2.1".to_owned()),
        user_agent: Some("claude-cli/2.1".to_owned()),
        client_session_id: None,
        session_id: made.id.to_string(),
        thread_parent_id: None,
        thread_root_id: None,
        credential_kind: CredentialKind::Centralized,
        credential_hint: "sk-...1234".to_owned(),
        is_streamed: true,
        started_at: after(7),
        first_byte_at: Some(after(1)),
        ended_at: Some(after(1)),
        outcome: Some(Outcome::Completed),
        status: Some(200),
        provider_response_id: Some("msg_7".to_owned()),
        stop_reason: Some("end_turn".to_owned()),
        error_type: Some("overloaded".to_owned()),
        error_message: Some("busy".to_owned()),
        marks: [Mark::PromptCut, Mark::TextMended].into_iter().collect(),
        prompt: Some("hello".to_owned()),
        usage: end().usage,
        tools: vec![tool(0, "a"), tool(1, "b")],
        thoughts: found.thoughts.clone(),
    };
    assert_eq!(found, expected);
    let contents = found.thoughts.iter().map(|thought| thought.content.as_str());
    assert_eq!(contents.collect::<Vec<_>>(), ["first", "second"]);
    let listed = db
        .records()
        .list(&InterceptionFilter::default(), None, 5, PATIENCE)
        .await
        .unwrap()
        .rows;
    assert_eq!(listed, [found]);
    assert_eq!(db.records().find(InterceptionId::generate()).await.unwrap(), None);
}

async fn what_is_open_has_no_end(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let [open, ended] = [Made::nth(user, 1), Made::nth(user, 2)];
    db.commit(run, &[open.start(|_| {}), ended.start(|_| {}), ended.end(|_| {})])
        .await;
    let found = db.records().find(open.id).await.unwrap().unwrap();
    assert_eq!((found.ended_at, found.outcome, found.usage), (None, None, None));
    assert_eq!(ids(db, &InterceptionFilter::default()).await, [ended.id, open.id]);
    assert_eq!(ids(db, &filter(|f| f.only_ended = true)).await, [ended.id]);
}

async fn each_condition_narrows(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    let [one, two, three] = [Made::nth(ann, 1), Made::nth(ann, 2), Made::nth(bob, 3)];
    let group = [
        one.start(|start| start.client_session_id = Some("s".to_owned())),
        two.start(|start| {
            start.provider = ProviderKind::OpenAi;
            start.provider_name = "openai-eu".parse().unwrap();
            start.model = String::from("gpt");
        }),
        three.start(|start| {
            start.client = String::from("Codex");
            start.client_session_id = Some("s".to_owned());
        }),
    ];
    db.commit(run, &group).await;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (filter(|f| f.initiator = Some(ann)), vec![two.id, one.id]),
        (filter(|f| f.initiator = Some(UserId::generate())), vec![]),
        (filter(|f| f.provider = text("openai")), vec![two.id]),
        (filter(|f| f.provider = text("openai-eu")), vec![two.id]),
        (filter(|f| f.provider_name = text("openai")), vec![]),
        (
            filter(|f| f.provider_name = text("anthropic")),
            vec![three.id, one.id],
        ),
        (filter(|f| f.model = text("gpt")), vec![two.id]),
        (filter(|f| f.client = text("Codex")), vec![three.id]),
        (filter(|f| f.client = text("Codex' OR '1'='1")), vec![]),
        (filter(|f| f.model = text("a\0b")), vec![]),
        (filter(|f| f.session_id = text("s")), vec![three.id, one.id]),
        (
            filter(|f| (f.session_id, f.initiator) = (text("s"), Some(ann))),
            vec![one.id],
        ),
        (
            filter(|f| (f.model, f.initiator) = (text("gpt"), Some(bob))),
            vec![],
        ),
    ] {
        assert_eq!(ids(db, &filter).await, expected, "{filter:?}");
    }
}

async fn text_is_found_whatever_the_case_of_ascii(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    for (n, prompt) in [
        (0, "Fix THE bug"),
        (1, "100% of É_x\\y"),
        (2, "é"),
        (3, "\u{212a}elvin"),
    ] {
        let start = Made::nth(user, n).start(|start| start.prompt = Some(prompt.to_owned()));
        db.commit(run, &[start]).await;
    }
    let without = Made::nth(user, 9).start(|start| start.prompt = None);
    db.commit(run, &[without]).await;
    for (part, expected) in [
        ("the BUG", 1),
        ("bug\u{20}", 0),
        ("100%", 1),
        ("1%f", 0),
        ("É_X\\Y", 1),
        ("É", 1),
        ("é", 1),
        ("kelvin", 0),
        ("ELVIN", 1),
        ("_", 1),
        ("", 5),
        ("\0", 0),
    ] {
        let found = ids(db, &filter(|f| f.text = Some(part.to_owned()))).await;
        assert_eq!(found.len(), expected, "{part:?}");
    }
}

async fn times_bound_by_ids(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    for n in 0..5 {
        db.commit(run, &[Made::nth(user, n).start(|_| {})]).await;
    }
    for (from, until, expected) in [
        (Some(after(1)), None, 4),
        (None, Some(after(1)), 1),
        (Some(after(1)), Some(after(3)), 2),
        (Some(after(3)), Some(after(1)), 0),
        (Some(Timestamp::from_micros(i64::MIN)), Some(Timestamp::MAX), 5),
    ] {
        let found = ids(
            db,
            &filter(|f| (f.started_after, f.started_before) = (from, until)),
        )
        .await;
        assert_eq!(found.len(), expected, "{from:?} {until:?}");
    }
}

async fn pages_are_stable_while_records_come(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let first: Vec<Made> = (0..150).map(|n| Made::nth(user, n)).collect();
    let starts: Vec<Record> = first.iter().map(|made| made.start(|_| {})).collect();
    db.commit(run, &starts).await;
    let (mut seen, mut last, mut later) = (Vec::new(), None, 150);
    loop {
        let page = db
            .records()
            .list(&InterceptionFilter::default(), last, 70, PATIENCE)
            .await
            .unwrap()
            .rows;
        let Some(oldest) = page.last() else { break };
        last = Some(oldest.id);
        assert!(
            page.iter()
                .all(|found| found.usage.is_none() && found.prompt.is_some())
        );
        seen.extend(page.iter().map(|found| found.id));
        let made = Made::nth(user, later);
        db.commit(run, &[made.start(|_| {}), made.end(|_| {})]).await;
        later += 1;
    }
    let expected: Vec<InterceptionId> = first.iter().rev().map(|made| made.id).collect();
    assert_eq!(seen, expected);
    assert!(
        db.records()
            .list(&InterceptionFilter::default(), None, 0, PATIENCE)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

async fn a_page_ends_where_it_becomes_large(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let large = "é".repeat(usize::try_from(MAX_PAGE_BYTES).unwrap() / 2 / 2 - 200);
    for n in 0..5 {
        let made = Made::nth(user, n);
        let mut call = tool(0, "x");
        call.input = Some(large.clone());
        // Of the last two, each is larger than a page.
        let thoughts = if n < 2 {
            vec![thought(&large), thought(&large)]
        } else {
            Vec::new()
        };
        let group = [
            made.start(|_| {}),
            made.record(Entry::Tool(Box::new(call))),
            made.end(|end| end.thoughts = thoughts),
        ];
        db.commit(run, &group).await;
    }
    let (mut sizes, mut last) = (Vec::new(), None);
    loop {
        let page = db
            .records()
            .list(&InterceptionFilter::default(), last, 10, PATIENCE)
            .await
            .unwrap()
            .rows;
        let Some(oldest) = page.last() else { break };
        last = Some(oldest.id);
        sizes.push(page.len());
    }
    assert_eq!(sizes, [2, 1, 1, 1]);
}

async fn counts_stop_at_the_cap(db: &TestDb) {
    let (run, user) = (db.run().await, UserId::generate());
    let starts: Vec<Record> = (0..10).map(|n| Made::nth(user, n).start(|_| {})).collect();
    db.commit(run, &starts).await;
    for (cap, expected) in [
        (9, (9, true)),
        (10, (10, false)),
        (u32::MAX, (10, false)),
        (0, (0, true)),
    ] {
        let all = InterceptionFilter::default();
        assert_eq!(db.records().count(&all, cap, PATIENCE).await.unwrap(), expected);
        assert_eq!(
            db.records().count_sessions(&all, cap, PATIENCE).await.unwrap(),
            expected
        );
    }
}

async fn usage_by_any_key(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    let midnight = NOW.as_micros() / 86_400_000_000 * 86_400_000_000;
    let day = |n: u32| Timestamp::from_micros(midnight).plus(Duration::from_hours(24) * n);
    for (user, n, model, client) in [
        (ann, 0, "a", "x"),
        (ann, 0, "b", "x"),
        (ann, 1, "a", "x"),
        (bob, 1, "a", "y"),
        (bob, 3, "a", "y"),
    ] {
        let made = Made::new(user);
        let start = made.start(|start| {
            start.started_at = day(n).plus(Duration::from_secs(1));
            (start.model, start.client) = (model.to_owned(), client.to_owned());
        });
        db.commit(run, &[start, made.end(|_| {})]).await;
    }
    let usage = async |change: &dyn Fn(&mut UsageQuery)| {
        let mut query = UsageQuery::default();
        change(&mut query);
        db.records().usage(&query).await.unwrap()
    };
    let total = usage(&|_| {}).await;
    assert_eq!(total.len(), 1);
    assert_eq!((total[0].requests, total[0].errors, total[0].day), (5, 0, None));
    let tokens = TokenSums {
        input: 50,
        output: 100,
        cache_read_input: 1500,
        cache_write_input: 200,
        reasoning: 25,
    };
    assert_eq!(total[0].tokens, tokens);

    let days = usage(&|query| query.group_by = vec![UsageKey::Day]).await;
    let shown = days
        .iter()
        .map(|row| (row.day.unwrap(), row.requests))
        .collect::<Vec<_>>();
    assert_eq!(shown, [(day(0), 2), (day(1), 2), (day(3), 1)]);

    let some = usage(&|query| {
        query.group_by = vec![UsageKey::Model, UsageKey::User];
        (query.from, query.until) = (Some(day(1)), Some(day(2)));
    })
    .await;
    assert_eq!(some.len(), 2);
    assert!(
        some.iter()
            .all(|row| row.model.as_deref() == Some("a") && row.requests == 1)
    );
    assert_eq!(some.iter().filter(|row| row.initiator_id == Some(bob)).count(), 1);
    assert!(some[0].initiator_username.as_ref().unwrap().starts_with("user-"));
    assert!(some[0].client.is_none() && some[0].provider_name.is_none());

    let mine = usage(&|query| {
        query.initiator = Some(ann);
        query.group_by = vec![UsageKey::Client, UsageKey::Provider];
    })
    .await;
    assert_eq!(
        (mine.len(), mine[0].client.as_deref(), mine[0].requests),
        (1, Some("x"), 3)
    );
    assert_eq!(
        usage(&|query| query.model = Some("b".to_owned())).await[0].requests,
        1
    );
    assert_eq!(usage(&|query| query.until = Some(day(1))).await[0].requests, 2);
    let nothing = usage(&|query| query.client = Some("nobody".to_owned())).await;
    assert_eq!(nothing.len(), 1);
    assert_eq!(nothing[0].requests, 0);
}

async fn names_by_prefix(db: &TestDb) {
    let (run, ann, bob) = (db.run().await, UserId::generate(), UserId::generate());
    for (user, model, client) in [
        (ann, "gpt-5", "Codex"),
        (ann, "gpt-4%", "Codex"),
        (bob, "claude", "Claude Code"),
        (bob, "", "Unknown"),
        (bob, "é-model", "Unknown"),
    ] {
        let made = Made::new(user);
        let start = made.start(|start| (start.model, start.client) = (model.to_owned(), client.to_owned()));
        db.commit(run, &[start, made.end(|_| {})]).await;
    }
    let records = db.records();
    let all = records.models(None, "", 10).await.unwrap();
    assert_eq!(all, ["claude", "gpt-4%", "gpt-5", "é-model"]);
    assert_eq!(records.models(None, "gpt-", 1).await.unwrap(), ["gpt-4%"]);
    assert_eq!(records.models(None, "gpt-4%", 9).await.unwrap(), ["gpt-4%"]);
    assert_eq!(records.models(None, "é", 9).await.unwrap(), ["é-model"]);
    assert!(records.models(None, "%", 9).await.unwrap().is_empty());
    assert!(records.models(None, "\0", 9).await.unwrap().is_empty());
    assert_eq!(
        records.models(Some(bob), "", 9).await.unwrap(),
        ["claude", "é-model"]
    );
    assert_eq!(records.clients(Some(ann), "", 9).await.unwrap(), ["Codex"]);
    assert_eq!(
        records.clients(None, "C", 9).await.unwrap(),
        ["Claude Code", "Codex"]
    );
}
