//! Sums of usage, put together for people: by period and model, and in order of size.

use std::collections::HashMap;

use gateway_store::UsageRow;

use super::chart::SERIES;
use super::days;
use super::periods::Period;
use super::steps::name_of_model;
use super::wording::{number, short, shortened};

/// How many are in a list by size.
const RANKS: usize = 10;

/// How much of a name is shown, in characters.
const NAME: usize = 40;

/// What was used in some periods.
pub(super) struct Sums {
    periods: Vec<InPeriod>,
    /// The largest first; what is not among them stands together at the end.
    pub(super) models: Vec<Model>,
    pub(super) tokens: u64,
    pub(super) requests: String,
    pub(super) cached: String,
    pub(super) failed: String,
    /// Until answers began, on average.
    pub(super) wait: String,
}

/// A series of the chart.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) tokens: String,
    /// Where its sessions are.
    pub(super) address: Option<String>,
}

/// One period.
#[derive(Default)]
struct InPeriod {
    label: String,
    name: String,
    address: String,
    by_model: Vec<u64>,
    totals: Totals,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    requests: u64,
    errors: u64,
    input: u64,
    output: u64,
    cached: u64,
    first_bytes: u64,
    first_byte_micros: u64,
}

/// One line of the table.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) requests: String,
    pub(super) failed: String,
    pub(super) input: String,
    pub(super) cached: String,
    pub(super) output: String,
    pub(super) wait: String,
    pub(super) by_model: Vec<String>,
}

/// One of a list by size.
pub(super) struct Share {
    pub(super) name: String,
    pub(super) count: String,
    /// Of the largest, in percent.
    pub(super) percent: u64,
    pub(super) address: String,
}

/// All tokens, those of the cache too.
pub(super) fn tokens(row: &UsageRow) -> u64 {
    let sums = &row.tokens;
    sums.input
        .saturating_add(sums.output)
        .saturating_add(sums.cache_read_input)
        .saturating_add(sums.cache_write_input)
}

/// The largest, with where the sessions of each are.
pub(super) fn ranked(
    rows: &[UsageRow],
    size: impl Fn(&UsageRow) -> u64,
    name: impl Fn(&UsageRow) -> String,
    address: impl Fn(&UsageRow) -> String,
) -> Vec<Share> {
    let mut sorted: Vec<&UsageRow> = rows.iter().filter(|row| size(row) > 0).collect();
    sorted.sort_by_key(|row| std::cmp::Reverse(size(row)));
    let largest = sorted.first().map_or(1, |row| size(row)).max(1);
    sorted
        .into_iter()
        .take(RANKS)
        .map(|row| Share {
            name: shortened(&name(row), NAME),
            count: number(size(row)),
            percent: (u128::from(size(row)) * 100 / u128::from(largest))
                .try_into()
                .unwrap_or(100),
            address: address(row),
        })
        .collect()
}

// === impl Sums ===

impl Sums {
    /// Of rows by day and, if it could be told, by model.
    pub(super) fn new(
        rows: &[UsageRow],
        periods: &[Period],
        narrowed: &impl Fn(&str, &str) -> String,
        sessions: impl Fn(&Period) -> String,
    ) -> Self {
        let largest = largest(rows);
        let has_others = rows.iter().any(|row| !largest.contains(&row.model));
        let series = largest.len() + usize::from(has_others);
        let mut sums: Vec<InPeriod> = periods
            .iter()
            .map(|period| InPeriod {
                label: period.label.clone(),
                name: name_of(period),
                address: sessions(period),
                by_model: vec![0; series],
                totals: Totals::default(),
            })
            .collect();
        let mut all = Totals::default();
        for row in rows {
            let Some(day) = row.day.map(days::of) else {
                continue;
            };
            let within = |period: &Period| period.first <= day && day <= period.last;
            let Some(place) = periods.iter().position(within) else {
                continue;
            };
            let model = largest.iter().position(|name| *name == row.model);
            sums[place].by_model[model.unwrap_or(largest.len())] += tokens(row);
            sums[place].totals.add(row);
            all.add(row);
        }
        let total = |place: usize| sums.iter().map(|period| period.by_model[place]).sum::<u64>();
        let mut models: Vec<Model> = largest
            .iter()
            .enumerate()
            .map(|(place, name)| Model::new(name.as_deref(), total(place), narrowed))
            .collect();
        if has_others {
            models.push(Model::others(total(largest.len())));
        }
        Self {
            tokens: (0..series).map(total).sum(),
            periods: sums,
            models,
            requests: number(all.requests),
            cached: all.cached_share(),
            failed: all.failed_share(),
            wait: all.average_wait(),
        }
    }

    pub(super) fn labels(&self) -> Vec<String> {
        self.periods.iter().map(|period| period.label.clone()).collect()
    }

    /// The series of the chart.
    pub(super) fn by_model(&self) -> Vec<Vec<f64>> {
        (0..self.models.len())
            .map(|place| self.values(|period| as_f64(period.by_model[place])))
            .collect()
    }

    /// In percent.
    pub(super) fn cached_shares(&self) -> Vec<f64> {
        self.values(|period| share(period.totals.cached, period.totals.input))
    }

    /// In percent.
    pub(super) fn failed_shares(&self) -> Vec<f64> {
        self.values(|period| share(period.totals.errors, period.totals.requests))
    }

    /// In seconds.
    pub(super) fn waits(&self) -> Vec<f64> {
        self.values(|period| period.totals.wait().unwrap_or_default())
    }

    fn values(&self, value: impl Fn(&InPeriod) -> f64) -> Vec<f64> {
        self.periods.iter().map(value).collect()
    }

    /// The table, the newest first.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.periods.iter().rev().map(InPeriod::line).collect()
    }

    pub(super) fn total(&self) -> String {
        short(self.tokens)
    }
}

/// The models of which most was used, as many as there are patterns for. The last is for all others, if there are any.
fn largest(rows: &[UsageRow]) -> Vec<Option<String>> {
    let mut by_model: HashMap<&Option<String>, u64> = HashMap::new();
    for row in rows {
        *by_model.entry(&row.model).or_default() += tokens(row);
    }
    let mut sorted: Vec<_> = by_model.into_iter().collect();
    sorted.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
    if sorted.len() > SERIES {
        sorted.truncate(SERIES - 1);
    }
    sorted.into_iter().map(|(name, _)| name.clone()).collect()
}

fn name_of(period: &Period) -> String {
    if period.first == period.last {
        return period.first.to_string();
    }
    format!("{} to {}", period.first, period.last)
}

/// For a drawing, which is not so exact.
#[expect(clippy::cast_precision_loss, reason = "a drawing is not so exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// In percent; nothing of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    as_f64(part) * 100.0 / as_f64(whole)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    format!("{:.1}%", share(part, whole))
}

// === impl Model ===

impl Model {
    fn new(name: Option<&str>, tokens: u64, narrowed: &impl Fn(&str, &str) -> String) -> Self {
        Self {
            name: name.map_or_else(
                || "all models".to_owned(),
                |name| shortened(&name_of_model(name), NAME),
            ),
            tokens: short(tokens),
            address: name
                .filter(|name| !name.is_empty())
                .map(|name| narrowed("model", name)),
        }
    }

    fn others(tokens: u64) -> Self {
        Self {
            name: "all others".to_owned(),
            tokens: short(tokens),
            address: None,
        }
    }
}

// === impl InPeriod ===

impl InPeriod {
    fn line(&self) -> Line {
        Line {
            name: self.name.clone(),
            address: self.address.clone(),
            requests: number(self.totals.requests),
            failed: self.totals.failed_share(),
            input: short(self.totals.input),
            cached: self.totals.cached_share(),
            output: short(self.totals.output),
            wait: self.totals.average_wait(),
            by_model: self.by_model.iter().map(|tokens| short(*tokens)).collect(),
        }
    }
}

// === impl Totals ===

impl Totals {
    fn add(&mut self, row: &UsageRow) {
        self.requests += row.requests;
        self.errors += row.errors;
        self.input += row.tokens.input + row.tokens.cache_read_input + row.tokens.cache_write_input;
        self.output += row.tokens.output;
        self.cached += row.tokens.cache_read_input;
        self.first_bytes += row.first_bytes;
        self.first_byte_micros += row.first_byte_micros;
    }

    fn cached_share(self) -> String {
        percent(self.cached, self.input)
    }

    fn failed_share(self) -> String {
        percent(self.errors, self.requests)
    }

    /// In seconds, on average.
    fn wait(self) -> Option<f64> {
        (self.first_bytes > 0).then(|| as_f64(self.first_byte_micros) / as_f64(self.first_bytes) / 1e6)
    }

    fn average_wait(self) -> String {
        self.wait()
            .map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.2} s"))
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::Timestamp;
    use gateway_store::TokenSums;

    use super::*;
    use crate::dashboard::periods::Length;

    fn row(day: &str, model: &str, input: u64) -> UsageRow {
        let date = days::parse(day).unwrap().unwrap();
        UsageRow {
            day: Some(Timestamp::from_micros(days::beginning(date).as_micros())),
            model: Some(model.to_owned()),
            requests: 2,
            errors: 1,
            first_bytes: 1,
            first_byte_micros: 1_250_000,
            tokens: TokenSums {
                input,
                cache_read_input: 3 * input,
                ..TokenSums::default()
            },
            ..UsageRow::default()
        }
    }

    #[test]
    fn the_largest_models_have_series_and_the_others_one_together() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut rows: Vec<UsageRow> = (1u64..)
            .zip(names)
            .map(|(size, name)| row("2026-03-01", name, size * 10))
            .collect();
        rows.push(row("2020-01-01", "long-ago", 1));
        let periods = Length::Day.until("2026-03-01".parse().unwrap());
        let narrowed = |name: &str, value: &str| format!("{name}={value}");
        let sums = Sums::new(&rows, &periods, &narrowed, |period| period.label.clone());
        let shown: Vec<(&str, &str)> = sums
            .models
            .iter()
            .map(|model| (model.name.as_str(), model.tokens.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("f", "240"),
                ("e", "200"),
                ("d", "160"),
                ("c", "120"),
                ("all others", "120")
            ]
        );
        assert_eq!(sums.by_model()[0].last(), Some(&240.0));
        let line = &sums.lines()[0];
        assert_eq!((line.requests.as_str(), line.failed.as_str()), ("12", "50.0%"));
        assert_eq!((line.cached.as_str(), line.wait.as_str()), ("75.0%", "1.25 s"));
        assert_eq!(sums.waits().last(), Some(&1.25));
        assert_eq!(sums.lines()[1].wait, "–");
        assert_eq!(sums.lines()[1].cached, "–");
    }

    #[test]
    fn shares_are_of_the_largest() {
        let rows = [row("2026-03-01", "a", 10), row("2026-03-01", "b", 40)];
        let name = |row: &UsageRow| row.model.clone().unwrap();
        let shares = ranked(&rows, tokens, name, name);
        let shown: Vec<_> = shares
            .iter()
            .map(|share| (share.name.as_str(), share.percent))
            .collect();
        assert_eq!(shown, [("b", 100), ("a", 25)]);
    }
}
