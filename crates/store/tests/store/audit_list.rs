//! Reading the audit log, what is noted without a write, and what is removed by age.

use std::collections::BTreeMap;

use gateway_core::audit::{Action, Actor, ActorKind, AuditId, Changes, Entry, Target, TargetKind};
use gateway_core::{Timestamp, UserId};
use gateway_store::AuditFilter;

use crate::audit::{all, changed, fields, only, source};
use crate::support::{NOW, TestDb, after, on_both_engines};

on_both_engines!(
    names_and_ids_find_entries,
    kinds_and_times_find_entries,
    pages_are_newest_first_and_complete,
    old_entries_are_removed_in_batches,
    acts_without_a_write_are_noted_whatever_their_text,
    a_changed_configuration_is_noted_once,
);

/// An entry that no write has made.
fn entry(at: Timestamp, actor: Actor, action: Action, target: Target) -> Entry {
    Entry {
        id: AuditId::generate(at),
        at,
        actor,
        source: source(),
        action,
        target,
        changes: Changes::default(),
        detail: None,
    }
}

/// Four acts, a second apart, around two users and a token.
fn acts(ann: UserId, bob: UserId) -> [Entry; 4] {
    let token = Target {
        kind: TargetKind::Token,
        id: Some("abcDEF0123".to_owned()),
        name: Some("CI".to_owned()),
    };
    [
        entry(
            after(0),
            Actor::user(ann, "Ann"),
            Action::UserCreated,
            Target::user(bob, "bob"),
        ),
        entry(
            after(1),
            Actor::user(bob, "bob"),
            Action::TokenCreated,
            token.clone(),
        ),
        entry(after(2), Actor::user(ann, "renamed"), Action::TokenRemoved, token),
        entry(
            after(3),
            Actor::SYSTEM,
            Action::UserDeleted,
            Target::user(bob, "bob"),
        ),
    ]
}

/// At which seconds the entries were made that a filter finds.
async fn list(db: &TestDb, filter: AuditFilter) -> Vec<u64> {
    let found = db.store.audit().list(filter).await.unwrap();
    found.iter().map(|entry| entry.at.since(NOW).as_secs()).collect()
}

async fn names_and_ids_find_entries(db: &TestDb) {
    let (ann, bob) = (UserId::generate(), UserId::generate());
    db.store.audit().note(&acts(ann, bob)).await.unwrap();
    let list = |filter| list(db, filter);
    let actor = |name: &str| AuditFilter {
        actor: Some(name.to_owned()),
        ..AuditFilter::default()
    };
    let target = |name: &str| AuditFilter {
        target: Some(name.to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!(list(AuditFilter::default()).await, [3, 2, 1, 0]);
    assert_eq!(list(actor("ANN")).await, [0], "by the name at the time");
    assert_eq!(list(actor(&ann.to_string().to_uppercase())).await, [2, 0]);
    assert_eq!(list(actor("an")).await, [0; 0], "whole names");
    assert_eq!(list(actor("' OR ''='")).await, [0; 0]);
    assert_eq!(list(actor("nul\0")).await, [0; 0]);
    assert_eq!(list(target("bob")).await, [3, 0]);
    assert_eq!(list(target("ci")).await, [2, 1]);
    assert_eq!(list(target("abcDEF0123")).await, [2, 1]);
    assert_eq!(
        list(target("abcdef0123")).await,
        [0; 0],
        "ids of tokens differ by case"
    );
}

async fn kinds_and_times_find_entries(db: &TestDb) {
    let (ann, bob) = (UserId::generate(), UserId::generate());
    let entries = acts(ann, bob);
    db.store.audit().note(&entries).await.unwrap();
    let list = |filter| list(db, filter);
    for (action, expected) in [(Action::TokenRemoved, vec![2]), (Action::Login, vec![])] {
        let filter = AuditFilter {
            action: Some(action),
            ..AuditFilter::default()
        };
        assert_eq!(list(filter).await, expected);
    }
    for (from, until, expected) in [
        (Some(1), None, vec![3, 2, 1]),
        (None, Some(1), vec![0]),
        (Some(1), Some(3), vec![2, 1]),
        (Some(3), Some(1), vec![]),
    ] {
        let filter = AuditFilter {
            from: from.map(after),
            until: until.map(after),
            ..AuditFilter::default()
        };
        assert_eq!(list(filter).await, expected, "{from:?} {until:?}");
    }
    let all_at_once = AuditFilter {
        actor: Some("ann".to_owned()),
        action: Some(Action::UserCreated),
        target: Some(bob.to_string()),
        from: Some(NOW),
        until: Some(after(1)),
        after: Some(entries[1].id),
        limit: 5,
    };
    assert_eq!(list(all_at_once).await, [0]);
}

async fn pages_are_newest_first_and_complete(db: &TestDb) {
    let entries: Vec<Entry> = (0..25)
        .map(|n| {
            entry(
                after(n / 10),
                Actor::SYSTEM,
                Action::Login,
                Target::user(UserId::generate(), "x"),
            )
        })
        .collect();
    db.store.audit().note(&entries).await.unwrap();
    let mut seen: Vec<AuditId> = Vec::new();
    loop {
        let filter = AuditFilter {
            after: seen.last().copied(),
            limit: 7,
            ..AuditFilter::default()
        };
        let page = db.store.audit().list(filter).await.unwrap();
        seen.extend(page.iter().map(|entry| entry.id));
        if page.len() < 7 {
            break;
        }
        // What a page ended with may be removed before the next one is asked for.
        db.execute(&format!(
            "DELETE FROM audit_log WHERE id = '{}'",
            seen[seen.len() - 1]
        ))
        .await;
    }
    let mut expected: Vec<AuditId> = entries.iter().map(|entry| entry.id).collect();
    expected.reverse();
    assert_eq!(seen, expected);
}

async fn old_entries_are_removed_in_batches(db: &TestDb) {
    let entries: Vec<Entry> = (0..10)
        .map(|n| {
            entry(
                after(n),
                Actor::SYSTEM,
                Action::Login,
                Target::user(UserId::generate(), "x"),
            )
        })
        .collect();
    db.store.audit().note(&entries).await.unwrap();
    let audit = db.store.audit();
    assert_eq!(audit.remove_before(after(5), 3).await.unwrap(), 3);
    assert_eq!(all(db).await.last().unwrap().at, after(3), "the oldest went");
    assert_eq!(audit.remove_before(after(5), 3).await.unwrap(), 2);
    assert_eq!(audit.remove_before(after(5), 3).await.unwrap(), 0);
    assert_eq!(
        all(db).await,
        entries[5..].iter().rev().cloned().collect::<Vec<_>>()
    );
}

async fn acts_without_a_write_are_noted_whatever_their_text(db: &TestDb) {
    let long = "ß".repeat(2000);
    for name in ["nul\0", &long, "'\"\\%", "\u{fffd}"] {
        let target = Target {
            kind: TargetKind::User,
            id: None,
            name: Some(name.to_owned()),
        };
        let mut failed = entry(NOW, Actor::NOBODY, Action::LoginFailed, target);
        failed.detail = Some(name.to_owned());
        db.store.audit().note(&[failed]).await.unwrap();
        let kept = only(db).await;
        assert_eq!((kept.actor.kind, kept.actor.id), (ActorKind::User, None));
        let kept = kept.target.name.unwrap();
        assert!(kept.len() <= 1024 && !kept.contains('\0'), "{name:?}");
    }
    db.store.audit().note(&[]).await.unwrap();
    assert_eq!(all(db).await, []);
}

async fn a_changed_configuration_is_noted_once(db: &TestDb) {
    let options = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.collect()
    };
    let audit = db.store.audit();
    let first = options(&[("log-filter", "info"), ("openai-key", "unset")]);
    assert!(audit.note_configuration(&first, NOW).await.unwrap());
    assert_eq!(
        changed(&only(db).await),
        fields(&[("log-filter", ">info"), ("openai-key", ">unset")])
    );
    assert!(!audit.note_configuration(&first, after(1)).await.unwrap());
    assert_eq!(all(db).await, []);
    let second = options(&[("openai-key", "set"), ("new-option", "1")]);
    assert!(audit.note_configuration(&second, after(2)).await.unwrap());
    let entry = only(db).await;
    assert_eq!(
        changed(&entry),
        fields(&[
            ("log-filter", "info>"),
            ("openai-key", "unset>set"),
            ("new-option", ">1")
        ])
    );
    assert_eq!(
        (entry.action, entry.actor),
        (Action::ConfigurationChanged, Actor::SYSTEM)
    );
    assert_eq!(
        (entry.target.kind, entry.at),
        (TargetKind::Configuration, after(2))
    );
}
