//! One session of a client with models, as threads of steps.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::{InterceptionId, Timestamp};
use gateway_store::{Interception, SessionSummary, Steps, Thread, ThreadPage};
use serde::Deserialize;
use uuid::Uuid;

use crate::api::ApiState;
use crate::dashboard::address::{Path, Query};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::parts::When;
use crate::dashboard::session::Session;
use crate::dashboard::steps::{Allowance, Excerpt, Lengths, NAME, Step, text_address};
use crate::dashboard::wording::{self, counted, number, shortened};

/// How many threads are on one page.
const THREADS: usize = 5;

/// How many steps of a thread are shown among others, and alone.
const STEPS: usize = 8;
const STEPS_ALONE: usize = 25;

/// What all that was recorded may take of the page, in bytes.
const ALLOWANCE: usize = 26_000;

const LENGTHS: Lengths = Lengths {
    prompt: 1200,
    part: 600,
};

/// Which part of it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Shown {
    /// Threads that are older than this one.
    after: String,
    /// Threads that are newer than this one.
    before: String,
    /// This thread alone,
    thread: String,
    /// from this step on.
    step: usize,
}

#[derive(Template)]
#[template(path = "ai_session.html")]
struct SessionPage {
    page: Page,
    id: String,
    facts: Facts,
    threads: Vec<ThreadPart>,
    /// Addresses of the threads before and after these.
    newer: Option<String>,
    older: Option<String>,
    /// Only one thread is shown.
    is_alone: bool,
}

/// What is known of the session as a whole.
struct Facts {
    person: String,
    client: String,
    providers: String,
    models: String,
    started: When,
    last_active: When,
    is_running: bool,
    sizes: String,
    tokens: Vec<(&'static str, String)>,
    session_id: String,
}

struct ThreadPart {
    id: String,
    started: When,
    prompt: Option<Excerpt>,
    credential: String,
    steps: Vec<Step>,
    /// The first that is shown, and how many there are; from 0.
    first: usize,
    total: usize,
    is_cut: bool,
    /// Where the steps before and after those are.
    earlier: Option<String>,
    later: Option<String>,
}

/// Some of the threads.
struct Found {
    threads: Vec<Thread>,
    has_newer: bool,
    has_older: bool,
}

pub(in crate::dashboard) async fn show(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let alone = optional(&shown.thread)?;
    let steps = match alone {
        Some(_) => Steps {
            skip: shown.step,
            take: STEPS_ALONE,
        },
        None => Steps { skip: 0, take: STEPS },
    };
    let (summary, found) = find(&state, &session, &id, &shown, alone, steps).await?;
    let now = state.services.clock.now();
    let mut allowance = Allowance::new(ALLOWANCE);
    let mut threads = Vec::new();
    for thread in &found.threads {
        threads.extend(ThreadPart::new(&summary, thread, steps.skip, &mut allowance, now));
    }
    let at = |name, place: Option<&Thread>| {
        place.map(|thread| format!("/ai-gateway/sessions/{}?{name}={}", summary.id, thread.id))
    };
    let page = SessionPage {
        page: Page::signed_in(&session, "AI session", Place::AiSessions),
        id: summary.id.to_string(),
        newer: at("before", found.threads.first().filter(|_| found.has_newer)),
        older: at("after", found.threads.last().filter(|_| found.has_older)),
        facts: Facts::new(&summary, now),
        threads,
        is_alone: alone.is_some(),
    };
    Ok(render(StatusCode::OK, &page))
}

/// The session and the threads that are asked for.
async fn find(
    state: &ApiState,
    session: &Session,
    id: &str,
    shown: &Shown,
    alone: Option<InterceptionId>,
    steps: Steps,
) -> Result<(SessionSummary, Found), PageError> {
    let (after, before) = (optional(&shown.after)?, optional(&shown.before)?);
    let (place, limit) = match (alone, after, before) {
        (Some(thread), ..) => (ThreadPage::OlderThan(next(thread)), 1),
        (None, Some(after), _) => (ThreadPage::OlderThan(after), THREADS + 1),
        (None, None, Some(before)) => (ThreadPage::NewerThan(before), THREADS + 1),
        (None, None, None) => (ThreadPage::First, THREADS + 1),
    };
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let (summary, mut threads) = state
        .services
        .find_ai_session(session.requester(), id, place, limit, steps)
        .await?;
    if alone.is_some_and(|wanted| threads.first().is_none_or(|thread| thread.id != wanted)) {
        return Err(PageError::not_found());
    }
    let has_more = threads.len() > THREADS;
    let (has_newer, has_older) = match place {
        _ if alone.is_some() => (false, false),
        ThreadPage::First => (false, has_more),
        ThreadPage::OlderThan(_) => (true, has_more),
        ThreadPage::NewerThan(_) => (has_more, true),
    };
    // The one too many is the farthest from where the page begins.
    if has_more && matches!(place, ThreadPage::NewerThan(_)) {
        threads.remove(0);
    }
    threads.truncate(THREADS);
    let found = Found {
        threads,
        has_newer,
        has_older,
    };
    Ok((summary, found))
}

fn optional(id: &str) -> Result<Option<InterceptionId>, PageError> {
    if id.is_empty() {
        return Ok(None);
    }
    id.parse().map(Some).map_err(|_| PageError::not_found())
}

/// What an id is the next smaller one of: pages begin after an id.
fn next(id: InterceptionId) -> InterceptionId {
    InterceptionId::from_uuid(Uuid::from_u128(id.as_uuid().as_u128().saturating_add(1)))
}

// === impl Facts ===

impl Facts {
    fn new(found: &SessionSummary, now: Timestamp) -> Self {
        let listed = |names: &[String]| {
            let names: Vec<String> = names
                .iter()
                .filter(|name| !name.is_empty())
                .take(5)
                .map(|name| shortened(name, NAME))
                .collect();
            names.join(", ")
        };
        let tokens = found.tokens;
        Self {
            person: shortened(&found.initiator_username, NAME),
            client: shortened(&found.client, NAME),
            providers: listed(&found.providers),
            models: listed(&found.models),
            started: When::new(found.started_at, now),
            last_active: When::new(found.last_active_at, now),
            is_running: found.ended_at.is_none(),
            sizes: format!(
                "{}, {}",
                counted(found.threads, "thread"),
                counted(found.interceptions, "request")
            ),
            tokens: [
                ("Input", tokens.input),
                ("Output", tokens.output),
                ("From cache", tokens.cache_read_input),
                ("To cache", tokens.cache_write_input),
                ("Reasoning", tokens.reasoning),
            ]
            .map(|(label, count)| (label, number(count)))
            .into(),
            session_id: shortened(&found.session_id, 80),
        }
    }
}

// === impl ThreadPart ===

impl ThreadPart {
    /// None if all of it has been removed for its age meanwhile.
    fn new(
        session: &SessionSummary,
        thread: &Thread,
        first: usize,
        allowance: &mut Allowance,
        now: Timestamp,
    ) -> Option<Self> {
        let beginning = thread.interceptions.first()?;
        let asking = thread.interceptions.iter().find(|one| one.prompt.is_some());
        let prompt = asking.and_then(|one| one.prompt.as_ref().map(|prompt| (one.id, prompt)));
        let total = usize::try_from(thread.total).unwrap_or(usize::MAX);
        let mut part = Self {
            id: thread.id.to_string(),
            started: When::new(beginning.started_at, now),
            prompt: prompt.map(|(id, text)| {
                Excerpt::new(text, LENGTHS.prompt, || text_address(id, "prompt"), allowance)
            }),
            credential: credential(beginning),
            steps: Vec::new(),
            first: first.min(total),
            total,
            is_cut: thread.is_cut,
            earlier: None,
            later: None,
        };
        // The beginning is there even where it is not shown.
        for found in thread.interceptions.iter().skip(usize::from(first > 0)) {
            // Each thread shows something, or there would be no way on.
            if allowance.is_used_up() && !part.steps.is_empty() {
                break;
            }
            part.steps.push(Step::new(found, LENGTHS, allowance));
        }
        let at = |step: usize| {
            format!(
                "/ai-gateway/sessions/{}?thread={}&step={step}",
                session.id, thread.id
            )
        };
        let shown_to = part.first + part.steps.len();
        part.earlier = (part.first > 0).then(|| at(part.first.saturating_sub(STEPS_ALONE)));
        part.later = (shown_to < total).then(|| at(shown_to));
        Some(part)
    }

    /// Which of its steps are shown, for people.
    fn range(&self) -> String {
        let total = number(self.total as u64);
        if self.steps.len() == self.total {
            return counted(self.total as u64, "step");
        }
        format!(
            "Steps {} to {} of {total}",
            number(self.first as u64 + 1),
            number((self.first + self.steps.len()) as u64)
        )
    }
}

fn credential(found: &Interception) -> String {
    let kind = wording::credential(found.credential_kind);
    if found.credential_hint.is_empty() {
        return format!("{} with {kind}", found.provider_name);
    }
    format!("{} with {kind} {}", found.provider_name, found.credential_hint)
}
