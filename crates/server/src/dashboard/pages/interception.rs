//! One request to a model: all that is known of it, and its texts as they are.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use gateway_core::InterceptionId;
use gateway_store::Interception;

use crate::api::ApiState;
use crate::api::aibridge::interceptions;
use crate::api::export::Outlet;
use crate::dashboard::address::Path;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::parts::When;
use crate::dashboard::session::Session;
use crate::dashboard::steps::{Allowance, Excerpt, Lengths, Step, name_of_model, text_address};
use crate::dashboard::wording::{self, number, shortened};

/// What all that was recorded may take of the page, in bytes.
const ALLOWANCE: usize = 26_000;

const LENGTHS: Lengths = Lengths {
    prompt: 4000,
    part: 1500,
};

/// How much of one fact is shown, in characters.
const FACT: usize = 256;

/// How many further counters are shown.
const COUNTERS: usize = 20;

#[derive(Template)]
#[template(path = "interception.html")]
struct InterceptionPage {
    page: Page,
    id: String,
    session: String,
    model: String,
    started: When,
    facts: Vec<(&'static str, String)>,
    counters: Vec<(String, String)>,
    prompt: Option<Excerpt>,
    step: Step,
}

pub(in crate::dashboard) async fn show(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let found = find(&state, &session, &id).await?;
    let mut allowance = Allowance::new(ALLOWANCE);
    let whole = || text_address(found.id, "prompt");
    let prompt = found
        .prompt
        .as_ref()
        .map(|prompt| Excerpt::new(prompt, LENGTHS.prompt, whole, &mut allowance));
    let page = InterceptionPage {
        page: Page::signed_in(&session, "Request", Place::AiSessions),
        id: found.id.to_string(),
        session: session_address(&found),
        model: name_of_model(&found.model),
        started: When::new(found.started_at, state.services.clock.now()),
        facts: facts(&found),
        counters: counters(&found),
        prompt,
        step: Step::new(&found, LENGTHS, &mut allowance).alone(),
    };
    Ok(render(StatusCode::OK, &page))
}

/// One text of it, whole, as nothing but text.
pub(in crate::dashboard) async fn text(
    State(state): State<ApiState>,
    session: Session,
    outlet: Outlet,
    Path((id, part)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let found = find(&state, &session, &id).await?;
    let place = |prefix: &str| part.strip_prefix(prefix).and_then(|place| place.parse().ok());
    let text = if part == "prompt" {
        found.prompt
    } else if let Some(ordinal) = place("tool-") {
        let mut tools = found.tools.into_iter();
        let tool = tools.find(|tool| usize::try_from(tool.ordinal) == Ok(ordinal));
        tool.and_then(|tool| tool.input)
    } else {
        let at: Option<usize> = place("thought-");
        at.and_then(|at| found.thoughts.into_iter().nth(at))
            .map(|thought| thought.content)
    };
    let text = text.ok_or_else(PageError::not_found)?;
    let response = ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response();
    let caller = session.into_caller().ok_or(PageError::SignIn)?;
    Ok(outlet.hold(response, caller).await?)
}

/// The whole record, as the REST API gives it.
pub(in crate::dashboard) async fn json(
    State(state): State<ApiState>,
    session: Session,
    outlet: Outlet,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let found = find(&state, &session, &id).await?;
    let disposition = format!("attachment; filename=\"{}.json\"", found.id);
    let shown = interceptions::view(&state.services, found).await?;
    let response = ([(header::CONTENT_DISPOSITION, disposition)], Json(shown)).into_response();
    let caller = session.into_caller().ok_or(PageError::SignIn)?;
    Ok(outlet.hold(response, caller).await?)
}

async fn find(state: &ApiState, session: &Session, id: &str) -> Result<Interception, PageError> {
    let id: InterceptionId = id.parse().map_err(|_| PageError::not_found())?;
    Ok(state.services.find_interception(session.requester(), id).await?)
}

/// The thread that it is in, of its session.
fn session_address(found: &Interception) -> String {
    let root = found.thread_root_id.unwrap_or(found.id);
    let mut id = url::form_urlencoded::byte_serialize(found.session_id.as_bytes()).collect::<String>();
    // A path has no plus sign for a space.
    id = id.replace('+', "%20");
    format!("/ai-gateway/sessions/{id}?thread={root}")
}

fn facts(found: &Interception) -> Vec<(&'static str, String)> {
    let client = match &found.client_version {
        Some(version) => format!("{} {version}", found.client),
        None => found.client.clone(),
    };
    let credential = format!(
        "{} {}",
        wording::credential(found.credential_kind),
        found.credential_hint
    );
    let mut facts = vec![
        ("Person", found.initiator_username.clone()),
        ("Token", found.token_id.to_string()),
        ("Client", client),
        (
            "Provider",
            format!("{} ({})", found.provider_name, found.provider),
        ),
        ("Route", found.route.clone()),
        ("Credential", credential),
        (
            "Answer",
            if found.is_streamed {
                "streamed"
            } else {
                "in one piece"
            }
            .to_owned(),
        ),
    ];
    let optional = [
        ("User agent", found.user_agent.clone()),
        ("Status", found.status.map(|status| status.to_string())),
        ("Stop reason", found.stop_reason.clone()),
        ("Answer's id", found.provider_response_id.clone()),
        ("Client's session", found.client_session_id.clone()),
        (
            "Service tier",
            found.usage.as_ref().and_then(|usage| usage.service_tier.clone()),
        ),
    ];
    facts.extend(
        optional
            .into_iter()
            .filter_map(|(label, value)| Some((label, value?))),
    );
    for (_, value) in &mut facts {
        *value = shortened(value, FACT);
    }
    facts
}

/// What the provider counted beside tokens.
fn counters(found: &Interception) -> Vec<(String, String)> {
    let extra = found.usage.iter().flat_map(|usage| &usage.extra);
    extra
        .take(COUNTERS)
        .map(|(name, count)| (shortened(name, FACT), number(*count)))
        .collect()
}
