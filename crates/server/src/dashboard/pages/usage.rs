//! What was used up over time, as charts with their tables.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_store::{UsageKey, UsageQuery, UsageRow};
use jiff::ToSpan as _;
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::address::{Query, with_pairs};
use crate::dashboard::chart::Bars;
use crate::dashboard::days;
use crate::dashboard::error::PageError;
use crate::dashboard::filter::sees_all;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::periods::{Length, Period};
use crate::dashboard::session::Session;
use crate::dashboard::sums::{Share, Sums, ranked, tokens};
use crate::dashboard::wording::short;
use crate::service::error::ServiceError;

/// The most sums of days and models that are read for a page: those of 50 models over a year.
const DAYS_AND_MODELS: u32 = 20_000;

/// The most clients, or people, that are read to rank them.
const RANKED: u32 = 5000;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Shown {
    /// `day`, `week` or `month`.
    by: String,
    /// A day of the last period.
    until: String,
    /// Id or username.
    person: String,
}

#[derive(Template)]
#[template(path = "usage.html")]
struct UsagePage {
    page: Page,
    sees_all: bool,
    person: String,
    by: &'static str,
    until: String,
    lengths: Vec<(&'static str, String, bool)>,
    /// None where there is nothing before.
    earlier: Option<String>,
    later: Option<String>,
    range: String,
    sums: Sums,
    charts: Charts,
    rankings: Vec<Ranking>,
}

/// A list by size.
struct Ranking {
    heading: &'static str,
    what: &'static str,
    /// None if there are too many to tell.
    shares: Option<Vec<Share>>,
}

/// Drawings, made here of numbers and dates.
struct Charts {
    tokens: String,
    cached: String,
    errors: String,
    waits: String,
}

pub(in crate::dashboard) async fn show(
    State(state): State<ApiState>,
    session: Session,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let today = days::of(state.services.clock.now());
    let until = days::parse(&shown.until)?.unwrap_or(today).min(today);
    let length = Length::parse(&shown.by).unwrap_or_default();
    let periods = length.until(until);
    let (Some(first), Some(last)) = (periods.first().cloned(), periods.last().cloned()) else {
        return Err(PageError::not_found());
    };
    let reader = Reader {
        state: &state,
        session: &session,
        person: Some(shown.person.trim()).filter(|person| !person.is_empty()),
        first: &first,
        last: &last,
    };
    // Each goes through all sums of the time, so they do at once.
    let (by_model, by_client, by_person) = tokio::try_join!(
        reader.read(&[UsageKey::Day, UsageKey::Model], DAYS_AND_MODELS),
        reader.read(&[UsageKey::Client], RANKED),
        async {
            if !sees_all(&session) {
                return Ok(None);
            }
            reader.read(&[UsageKey::User], RANKED).await.map(Some)
        },
    )?;
    let by_model = match by_model {
        Some(rows) => rows,
        None => reader
            .read(&[UsageKey::Day], DAYS_AND_MODELS)
            .await?
            .unwrap_or_default(),
    };
    let narrowed = |name: &str, value: &str| shown.sessions(&first, &last, name, value);
    let mut rankings = vec![Ranking::of_clients(by_client, &narrowed)];
    rankings.extend(by_person.map(|rows| Ranking::of_people(rows, &narrowed)));
    let sums = Sums::new(&by_model, &periods, &narrowed, |period| {
        shown.sessions(period, period, "", "")
    });
    let page = UsagePage {
        page: Page::signed_in(&session, "Usage", Place::Usage),
        sees_all: sees_all(&session),
        charts: Charts::draw(&sums)?,
        rankings,
        by: length.as_str(),
        lengths: Length::ALL
            .iter()
            .map(|other| (other.as_str(), shown.at(*other, &shown.until), *other == length))
            .collect(),
        earlier: earlier(first.first).map(|day| shown.at(length, &day.to_string())),
        later: (last.last < today).then(|| shown.at(length, &later(length, last.last).to_string())),
        range: format!("{} to {}", first.first, last.last.min(today)),
        until: shown.until.clone(),
        person: shown.person.clone(),
        sums,
    };
    Ok(render(StatusCode::OK, &page))
}

/// The end of what comes before a page that begins here. Addresses know no day before 1970.
fn earlier(first: jiff::civil::Date) -> Option<jiff::civil::Date> {
    first.yesterday().ok().filter(|day| day.year() >= 1970)
}

/// The end of what comes after a page that ends here.
fn later(length: Length, last: jiff::civil::Date) -> jiff::civil::Date {
    match length {
        Length::Day => last.saturating_add(14.days()),
        Length::Week => last.saturating_add(12.weeks()),
        Length::Month => last.saturating_add(12.months()),
    }
}

/// Reads sums of one range of time.
struct Reader<'a> {
    state: &'a ApiState,
    session: &'a Session,
    person: Option<&'a str>,
    first: &'a Period,
    last: &'a Period,
}

// === impl Reader ===

impl Reader<'_> {
    /// None if there are too many groups: names come from clients, who can make up any number of them.
    async fn read(&self, group_by: &[UsageKey], limit: u32) -> Result<Option<Vec<UsageRow>>, ServiceError> {
        let query = UsageQuery {
            from: Some(days::beginning(self.first.first)),
            until: Some(days::end(self.last.last)),
            group_by: group_by.to_vec(),
            limit: Some(limit),
            ..UsageQuery::default()
        };
        let services = &self.state.services;
        match services.usage(self.session.requester(), self.person, query).await {
            Ok(rows) => Ok(Some(rows)),
            Err(ServiceError::Invalid { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A value of the scale, which is a count of tokens.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the scale begins at 0 and is for reading, not for reckoning"
)]
fn in_short(value: f64) -> String {
    short(value as u64)
}

// === impl Ranking ===

impl Ranking {
    fn of_clients(rows: Option<Vec<UsageRow>>, address: &impl Fn(&str, &str) -> String) -> Self {
        let name = |row: &UsageRow| row.client.clone().unwrap_or_default();
        Self {
            heading: "Requests by client",
            what: "Requests",
            shares: rows.map(|rows| {
                ranked(
                    &rows,
                    |row| row.requests,
                    name,
                    |row| address("client", &name(row)),
                )
            }),
        }
    }

    fn of_people(rows: Option<Vec<UsageRow>>, address: &impl Fn(&str, &str) -> String) -> Self {
        let name = |row: &UsageRow| row.initiator_username.clone().unwrap_or_default();
        // Of a user who was deleted the id is all that is left.
        let id = |row: &UsageRow| row.initiator_id.map(|id| id.to_string()).unwrap_or_default();
        Self {
            heading: "Top people",
            what: "Tokens",
            shares: rows.map(|rows| ranked(&rows, tokens, name, |row| address("person", &id(row)))),
        }
    }
}

// === impl Charts ===

impl Charts {
    fn draw(sums: &Sums) -> Result<Self, ServiceError> {
        let labels = sums.labels();
        let percent = |value: f64| format!("{value:.0}%");
        let bars = |id, title, summary, series: &[Vec<f64>], scale, top| {
            Bars {
                id,
                title,
                summary,
                labels: &labels,
                series,
                scale,
                top,
            }
            .svg()
        };
        Ok(Self {
            tokens: bars(
                "tokens",
                "Tokens by model",
                format!(
                    "{} tokens in all; the table below has the numbers.",
                    short(sums.tokens)
                ),
                &sums.by_model(),
                in_short,
                None,
            )?,
            cached: bars(
                "cached",
                "Share of input that came from a cache",
                format!("{} of all; the table below has the numbers.", sums.cached),
                &[sums.cached_shares()],
                percent,
                Some(100.0),
            )?,
            errors: bars(
                "errors",
                "Share of requests that failed",
                format!("{} of all; the table below has the numbers.", sums.failed),
                &[sums.failed_shares()],
                |value| format!("{value:.1}%"),
                None,
            )?,
            waits: bars(
                "waits",
                "Time until answers began",
                format!("{} on average; the table below has the numbers.", sums.wait),
                &[sums.waits()],
                |value| format!("{value:.1}s"),
                None,
            )?,
        })
    }
}

// === impl Shown ===

impl Shown {
    /// This page, otherwise.
    fn at(&self, length: Length, until: &str) -> String {
        let pairs = [
            ("by", length.as_str()),
            ("until", until),
            ("person", &self.person),
        ];
        with_pairs("/ai-gateway/usage", &pairs)
    }

    /// The sessions behind a number.
    fn sessions(&self, first: &Period, last: &Period, name: &str, value: &str) -> String {
        let (first, last) = (first.first.to_string(), last.last.to_string());
        let person = if name == "person" { "" } else { &self.person };
        let pairs = [
            ("from", first.as_str()),
            ("until", &last),
            ("person", person),
            (name, value),
        ];
        with_pairs("/ai-gateway/sessions", &pairs)
    }
}
