//! The sessions of clients with models: a list that keeps itself up to date, and its export.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::{InterceptionId, Timestamp};
use gateway_store::{Found, SessionSummary};
use serde::Deserialize;

use crate::api::ApiState;
use crate::api::aibridge::{interceptions, sessions};
use crate::api::export::{Form, Outlet};
use crate::dashboard::address::{Path, Query};
use crate::dashboard::error::PageError;
use crate::dashboard::filter::{Wanted, sees_all};
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::parts::When;
use crate::dashboard::session::Session;
use crate::dashboard::wording::{counted, shortened, tokens};

/// How many sessions are on one page.
const ROWS: usize = 20;

/// How much of a prompt, and of a name, a line shows, in characters.
const PROMPT: usize = 140;
const NAME: usize = 40;

/// How many models a line names.
const MODELS: usize = 3;

#[derive(Default, Deserialize)]
pub(in crate::dashboard) struct Shown {
    /// `list` for the list alone, which the script asks for.
    #[serde(default)]
    part: String,
}

#[derive(Template)]
#[template(path = "ai_sessions.html")]
struct ListPage {
    page: Page,
    wanted: Wanted,
    sees_all: bool,
    list: List,
    /// Whether the list keeps itself up to date: its beginning does, where asking again costs little.
    is_live: bool,
    /// Names to choose from, as they occur on this page.
    clients: Vec<String>,
    models: Vec<String>,
    providers: Vec<String>,
}

/// What changes by itself.
#[derive(Template)]
#[template(path = "parts/ai_session_list.html")]
struct List {
    rows: Vec<Row>,
    is_narrowed: bool,
    /// Whose is worth saying.
    names_people: bool,
    /// Addresses; none where there is nothing.
    newest: Option<String>,
    older: Option<String>,
    /// If not all was searched that might belong here: how far. `older` goes on from there.
    searched_to: Option<When>,
    /// Of this very list.
    here: String,
}

/// One session.
struct Row {
    id: String,
    prompt: String,
    person: String,
    client: String,
    models: Vec<String>,
    /// Models beside those.
    more: usize,
    started: When,
    is_running: bool,
    requests: String,
    tokens: String,
}

impl askama::filters::HtmlSafe for List {}

pub(in crate::dashboard) async fn list(
    State(state): State<ApiState>,
    session: Session,
    Query(wanted): Query<Wanted>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let now = state.services.clock.now();
    let wanted = wanted.completed(now);
    let query = wanted.query()?;
    let limit = u32::try_from(ROWS + 1).unwrap_or(u32::MAX);
    let Found {
        rows: mut found,
        stopped_at,
    } = state
        .services
        .ai_sessions(session.requester(), query, limit)
        .await?;
    let has_more = found.len() > ROWS;
    found.truncate(ROWS);
    let next = stopped_at.or(found.last().filter(|_| has_more).map(|one| one.id));
    let sees_all = sees_all(&session);
    let mut list = List::new(&found, &wanted, next, sees_all, now);
    list.searched_to = stopped_at.map(|id| When::new(id.time(), now));
    if shown.part == "list" {
        return Ok(render(StatusCode::OK, &list));
    }
    let page = ListPage {
        page: Page::signed_in(&session, "AI sessions", Place::AiSessions),
        sees_all,
        is_live: list.newest.is_none() && wanted.text.is_empty(),
        list,
        clients: names(found.iter().map(|one| one.client.as_str())),
        models: names(found.iter().flat_map(|one| &one.models).map(String::as_str)),
        providers: names(state.providers.iter().map(|one| one.name.as_str())),
        wanted,
    };
    Ok(render(StatusCode::OK, &page))
}

/// All that is filtered, in a file.
pub(in crate::dashboard) async fn export(
    State(state): State<ApiState>,
    session: Session,
    outlet: Outlet,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let (what, form) = match name.rsplit_once('.') {
        Some((what, "csv")) => (what, Form::Csv),
        Some((what, "ndjson")) => (what, Form::JsonLines),
        _ => return Err(PageError::not_found()),
    };
    let query = wanted.completed(state.services.clock.now()).query()?;
    let caller = session.into_caller().ok_or(PageError::SignIn)?;
    let services = &state.services;
    Ok(match what {
        "sessions" => sessions::export(services, caller, query, form, outlet, u64::MAX).await?,
        "interceptions" => interceptions::export(services, caller, query, form, outlet, u64::MAX).await?,
        _ => return Err(PageError::not_found()),
    })
}

/// Each once, the short ones only: they are a help, no more.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all.filter(|name| !name.is_empty() && name.chars().count() <= NAME) {
        if !names.iter().any(|known| known == name) && names.len() < ROWS {
            names.push(name.to_owned());
        }
    }
    names
}

// === impl List ===

impl List {
    fn new(
        found: &[SessionSummary],
        wanted: &Wanted,
        next: Option<InterceptionId>,
        sees_all: bool,
        now: Timestamp,
    ) -> Self {
        const PATH: &str = "/ai-gateway/sessions";
        Self {
            rows: found.iter().map(|one| Row::new(one, now)).collect(),
            is_narrowed: wanted.is_narrowed(),
            names_people: sees_all,
            newest: (!wanted.after.is_empty()).then(|| wanted.address(PATH, None)),
            older: next.map(|next| wanted.address(PATH, Some(&next.to_string()))),
            searched_to: None,
            here: wanted.address(PATH, Some(&wanted.after)),
        }
    }
}

// === impl Row ===

impl Row {
    fn new(found: &SessionSummary, now: Timestamp) -> Self {
        let models = found.models.iter().filter(|model| !model.is_empty());
        Self {
            id: found.id.to_string(),
            prompt: shortened(found.last_prompt.as_deref().unwrap_or_default().trim(), PROMPT),
            person: shortened(&found.initiator_username, NAME),
            client: shortened(&found.client, NAME),
            models: models.take(MODELS).map(|model| shortened(model, NAME)).collect(),
            more: found.models.len().saturating_sub(MODELS),
            started: When::new(found.started_at, now),
            is_running: found.ended_at.is_none(),
            requests: counted(found.interceptions, "request"),
            tokens: tokens(&found.tokens),
        }
    }
}
