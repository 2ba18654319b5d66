//! What a database holds about the requests of a [`Load`], and whether that is what it must hold.

use std::collections::{BTreeMap, HashMap};

use gateway_core::interception::{Mark, Outcome};
use gateway_store::{
    Interception, InterceptionFilter, OPERATION_TIMEOUT, Store, TokenSums, UsageKey, UsageQuery, UsageRow,
};

use crate::load::{Load, Seen, marker_in};

/// Interceptions that are read at once.
const PAGE: u32 = 500;

const DAY_MICROS: i64 = 86_400_000_000;

/// All that was recorded.
pub(crate) struct Records {
    interceptions: Vec<Interception>,
    usage: Vec<UsageRow>,
}

/// How much was looked at, for the report of a long run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) asked: usize,
    pub(crate) whole: usize,
    /// Answers of which a part was received.
    pub(crate) begun: usize,
    pub(crate) refused: usize,
    /// Of them and of answers that nobody has received.
    pub(crate) recorded: usize,
    pub(crate) interrupted: usize,
}

// === impl Records ===

impl Records {
    pub(crate) async fn read(store: &Store) -> Self {
        let mut interceptions: Vec<Interception> = Vec::new();
        loop {
            let after = interceptions.last().map(|last| last.id);
            let filter = InterceptionFilter::default();
            let page = store
                .interceptions()
                .list(&filter, after, PAGE, OPERATION_TIMEOUT)
                .await
                .unwrap()
                .rows;
            if page.is_empty() {
                break;
            }
            interceptions.extend(page);
        }
        let query = UsageQuery {
            group_by: vec![
                UsageKey::Day,
                UsageKey::User,
                UsageKey::Provider,
                UsageKey::Model,
                UsageKey::Client,
            ],
            ..UsageQuery::default()
        };
        let usage = store.interceptions().usage(&query).await.unwrap();
        Self { interceptions, usage }
    }

    pub(crate) fn open(&self) -> usize {
        let is_open = |interception: &&Interception| interception.outcome.is_none();
        self.interceptions.iter().filter(is_open).count()
    }

    /// Every answer that a client has received whole has its complete record, every one of which it has received a
    /// byte its prompt, there is one record of each, and the sums are those of the records.
    pub(crate) fn check(&self, load: &Load) -> Figures {
        let by_marker = self.by_marker();
        let mut figures = Figures {
            recorded: self.interceptions.len(),
            interrupted: self.with_outcome(Outcome::Interrupted),
            ..Figures::default()
        };
        for seen in load.seen().iter() {
            figures.asked += 1;
            figures.refused += usize::from(seen.refusal.is_some());
            if seen.has_begun {
                figures.begun += 1;
                let record = by_marker.get(&seen.marker);
                let record =
                    record.unwrap_or_else(|| panic!("no record of an answer that was begun: {seen:?}"));
                assert_eq!(record.prompt.as_ref(), Some(&seen.prompt));
                if seen.is_whole {
                    figures.whole += 1;
                    check_complete(load, seen, record);
                }
            }
        }
        self.check_sums();
        assert!(figures.recorded >= figures.begun, "{figures:?}");
        figures
    }

    /// Everything that the provider has answered has its record: so where no process was killed.
    pub(crate) fn check_provider(&self, load: &Load) {
        let by_marker = self.by_marker();
        for marker in load.answered() {
            let record = by_marker.get(&marker);
            let record =
                record.unwrap_or_else(|| panic!("no record of what the provider was asked: {marker}"));
            assert!(record.outcome.is_some(), "{record:?}");
        }
    }

    fn by_marker(&self) -> HashMap<String, &Interception> {
        let mut by_marker: HashMap<String, &Interception> = HashMap::new();
        for interception in &self.interceptions {
            let prompt = interception.prompt.as_ref();
            let prompt = prompt.unwrap_or_else(|| panic!("a record without its prompt: {interception:?}"));
            // Those of a single request beside the load have none.
            let Some(marker) = marker_in(prompt.as_bytes()) else {
                continue;
            };
            let earlier = by_marker.insert(marker, interception);
            assert!(
                earlier.is_none(),
                "two records of one request: {interception:?} {earlier:?}"
            );
        }
        by_marker
    }

    fn with_outcome(&self, outcome: Outcome) -> usize {
        let has_it = |interception: &&Interception| interception.outcome == Some(outcome);
        self.interceptions.iter().filter(has_it).count()
    }

    fn check_sums(&self) {
        type Key<'a> = (i64, String, &'a str, &'a str, &'a str);
        let mut sums: BTreeMap<Key<'_>, UsageRow> = BTreeMap::new();
        for interception in self.interceptions.iter().filter(|it| it.outcome.is_some()) {
            let key = (
                interception.started_at.as_micros().div_euclid(DAY_MICROS),
                interception.initiator_id.to_string(),
                interception.provider_name.as_str(),
                interception.model.as_str(),
                interception.client.as_str(),
            );
            add(sums.entry(key).or_default(), interception);
        }
        let stored = self.usage.iter().map(|row| {
            let key = (
                row.day.unwrap().as_micros().div_euclid(DAY_MICROS),
                row.initiator_id.unwrap().to_string(),
                row.provider_name.as_deref().unwrap(),
                row.model.as_deref().unwrap(),
                row.client.as_deref().unwrap(),
            );
            let only_sums = UsageRow {
                requests: row.requests,
                errors: row.errors,
                tokens: row.tokens,
                ..UsageRow::default()
            };
            (key, only_sums)
        });
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), sums);
    }
}

fn add(row: &mut UsageRow, interception: &Interception) {
    let is_error = !matches!(
        interception.outcome,
        Some(Outcome::Completed | Outcome::ClientGone | Outcome::Revoked)
    );
    row.requests += 1;
    row.errors += u64::from(is_error);
    if let Some(usage) = &interception.usage {
        row.tokens = TokenSums {
            input: row.tokens.input + usage.input,
            output: row.tokens.output + usage.output,
            cache_read_input: row.tokens.cache_read_input + usage.cache_read_input,
            cache_write_input: row.tokens.cache_write_input + usage.cache_write_input,
            reasoning: row.tokens.reasoning + usage.reasoning.unwrap_or(0),
        };
    }
}

fn check_complete(load: &Load, seen: &Seen, record: &Interception) {
    let is_done = (record.outcome, record.status) == (Some(Outcome::Completed), Some(200));
    assert!(is_done, "{seen:?} is not recorded as completed: {record:?}");
    assert!(record.ended_at.is_some(), "{record:?}");
    for mark in [
        Mark::ObservationIncomplete,
        Mark::Unrecordable,
        Mark::UsageNotReported,
    ] {
        assert!(!record.marks.contains(mark), "{record:?}");
    }
    let told = load.told(&seen.marker);
    let told = told.unwrap_or_else(|| panic!("the provider knows nothing of {seen:?}"));
    let usage = record.usage.as_ref();
    let usage = usage.unwrap_or_else(|| panic!("no usage in {record:?}"));
    assert_eq!(
        (
            usage.input,
            usage.cache_read_input,
            usage.output,
            usage.is_partial
        ),
        (told.input, told.cached, told.output, false),
        "{record:?}"
    );
    assert_eq!(record.tools.len(), seen.kind.tools, "{record:?}");
    for (tool, ordinal) in record.tools.iter().zip(0..) {
        assert_eq!(tool.ordinal, ordinal, "{record:?}");
        assert!(
            tool.provider_tool_call_id.is_some() && tool.input.is_some(),
            "{record:?}"
        );
    }
}
