//! The audit log, for those who may read it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::audit::{Action, Actor, ActorKind, AuditId, Entry, TargetKind};
use gateway_core::{Permission, Timestamp};
use gateway_store::AuditFilter;
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::address::{Query, with_pairs};
use crate::dashboard::days;
use crate::dashboard::error::{PageError, sentence};
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::parts::When;
use crate::dashboard::session::Session;
use crate::dashboard::wording::shortened;
use crate::service::error::ServiceError;
use crate::service::require;

/// How many entries are on one page.
const ROWS: usize = 25;

/// How much of a name or value is shown, in characters.
const VALUE: usize = 120;

/// How many changes of one entry are shown.
const CHANGES: usize = 8;

/// Which entries. What is empty is not asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Shown {
    actor: String,
    action: String,
    target: String,
    /// Days, both included.
    from: String,
    until: String,
    /// Only what comes after this.
    after: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    page: Page,
    shown: Shown,
    actions: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    /// Addresses; none where there is nothing.
    newest: Option<String>,
    older: Option<String>,
}

/// One act.
struct Row {
    at: When,
    actor: String,
    /// The token that it was done with.
    token: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    action: String,
    target: String,
    target_id: Option<String>,
    changes: Vec<ChangeRow>,
    more: usize,
    detail: Option<String>,
}

struct ChangeRow {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

pub(in crate::dashboard) async fn list(
    State(state): State<ApiState>,
    session: Session,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    // Before anything is said of the filter: to others there is no such page.
    require(session.requester(), Permission::ReadRecords)?;
    let filter = shown.filter()?;
    let mut entries = state.services.list_audit(session.requester(), filter).await?;
    let has_more = entries.len() > ROWS;
    entries.truncate(ROWS);
    let now = state.services.clock.now();
    let last = entries
        .last()
        .filter(|_| has_more)
        .map(|entry| entry.id.to_string());
    let page = AuditPage {
        page: Page::signed_in(&session, "Audit log", Place::Audit),
        actions: Action::ALL
            .iter()
            .map(|action| (action.as_str(), in_words(action.as_str())))
            .collect(),
        rows: entries.iter().map(|entry| Row::new(entry, now)).collect(),
        newest: (!shown.after.is_empty()).then(|| shown.page_after("")),
        older: last.map(|last| shown.page_after(&last)),
        shown,
    };
    Ok(render(StatusCode::OK, &page))
}

/// `login_failed` as people write it.
fn in_words(word: &str) -> String {
    sentence(&word.replace('_', " ")).trim_end_matches('.').to_owned()
}

// === impl Shown ===

impl Shown {
    fn filter(&self) -> Result<AuditFilter, ServiceError> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let action = given(&self.action).map(|word| word.parse::<Action>());
        let after = given(&self.after).map(|id| id.parse::<AuditId>());
        Ok(AuditFilter {
            actor: given(self.actor.trim()),
            action: action.transpose().map_err(|_| ServiceError::NotFound("action"))?,
            target: given(self.target.trim()),
            from: days::parse(&self.from)?.map(days::beginning),
            until: days::parse(&self.until)?.map(days::end),
            after: after
                .transpose()
                .map_err(|_| ServiceError::NotFound("place in the list"))?,
            limit: u32::try_from(ROWS + 1).unwrap_or(u32::MAX),
        })
    }

    fn page_after(&self, after: &str) -> String {
        let pairs = [
            ("actor", self.actor.as_str()),
            ("action", &self.action),
            ("target", &self.target),
            ("from", &self.from),
            ("until", &self.until),
            ("after", after),
        ];
        with_pairs("/audit", &pairs)
    }

    fn is_narrowed(&self) -> bool {
        [&self.actor, &self.action, &self.target, &self.from, &self.until]
            .iter()
            .any(|text| !text.is_empty())
    }
}

// === impl Row ===

impl Row {
    fn new(entry: &Entry, now: Timestamp) -> Self {
        let short = |text: &str| shortened(text, VALUE);
        let target = match (entry.target.kind, &entry.target.name) {
            (TargetKind::Configuration, _) => "the configuration".to_owned(),
            (kind, Some(name)) => format!("{} {}", kind.as_str(), short(name)),
            (kind, None) => kind.as_str().to_owned(),
        };
        let changes = entry
            .changes
            .iter()
            .take(CHANGES)
            .map(|(field, change)| ChangeRow {
                field: short(field),
                before: change.before.as_deref().map(short),
                after: change.after.as_deref().map(short),
            });
        Self {
            at: When::new(entry.at, now),
            actor: actor(&entry.actor),
            token: entry.actor.token_id.map(|id| id.to_string()),
            address: entry.source.address().map(|address| address.to_string()),
            user_agent: entry.source.user_agent().map(short),
            action: in_words(entry.action.as_str()),
            target,
            target_id: entry.target.id.as_deref().map(short),
            changes: changes.collect(),
            more: entry.changes.iter().count().saturating_sub(CHANGES),
            detail: entry.detail.as_deref().map(short),
        }
    }
}

fn actor(actor: &Actor) -> String {
    match (actor.kind, &actor.username) {
        (ActorKind::System, _) => "The server".to_owned(),
        (ActorKind::User, Some(name)) => shortened(name, VALUE),
        (ActorKind::User, None) => "Nobody known".to_owned(),
    }
}
