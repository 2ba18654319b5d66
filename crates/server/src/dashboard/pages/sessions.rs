//! Where one is signed in.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use gateway_core::audit::Source;
use gateway_core::{TokenKind, TokenRecord};
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::address::{Path, Query};
use crate::dashboard::csrf::{Checked, NoFields};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place, render};
use crate::dashboard::pager::Pager;
use crate::dashboard::parts::When;
use crate::dashboard::session::{Browser, Session};
use crate::service::error::ServiceError;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Shown {
    /// From 1.
    page: Option<usize>,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    page: Page,
    rows: Vec<Row>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "session_end.html")]
struct EndPage {
    page: Page,
    row: Row,
}

/// One session.
struct Row {
    id: String,
    /// What made it, as it called itself.
    client: String,
    address: Option<String>,
    is_this: bool,
    last_used: Option<When>,
    created: When,
    expires: When,
}

pub(in crate::dashboard) async fn list(
    State(state): State<ApiState>,
    session: Session,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let sessions = state.services.list_sessions(session.requester()).await?;
    let pager = Pager::new(sessions.len(), shown.page, "/settings/sessions?page=");
    let mut rows = Vec::new();
    for record in pager.slice(&sessions) {
        rows.push(Row::new(&state, &session, record).await?);
    }
    let page = SessionsPage {
        page: Page::signed_in(&session, "Sessions", Place::Sessions),
        rows,
        pager,
    };
    Ok(render(StatusCode::OK, &page))
}

pub(in crate::dashboard) async fn ask(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let record = state.services.token(session.requester(), &id).await?;
    if !is_own(&record, &session) {
        return Err(PageError::not_found());
    }
    let page = EndPage {
        page: Page::signed_in(&session, "End session", Place::Sessions),
        row: Row::new(&state, &session, &record).await?,
    };
    Ok(render(StatusCode::OK, &page))
}

pub(in crate::dashboard) async fn end(
    State(state): State<ApiState>,
    session: Session,
    browser: Browser,
    Path(id): Path<String>,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    let (services, caller) = (&state.services, session.requester());
    if caller.token_id.as_str() == id {
        session.release();
        services.logout(caller).await?;
        return Ok(browser.forget(Redirect::to("/login?signed_out=1")));
    }
    match services.token(caller, &id).await {
        Ok(record) if !is_own(&record, &session) => return Err(PageError::not_found()),
        Ok(_) | Err(ServiceError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let notice = match services.remove_token(caller, &id).await {
        Ok(()) => Notice::SessionEnded,
        // Ended a moment ago, or never there.
        Err(ServiceError::NotFound(_)) => Notice::SessionGone,
        Err(error) => return Err(error.into()),
    };
    Ok(session.done(notice, Place::Sessions.address()))
}

/// For somebody who had to sign in before the button could do its work; the button is on the list.
pub(in crate::dashboard) async fn ask_all() -> Redirect {
    Redirect::to(Place::Sessions.address())
}

/// All of them, this one too.
pub(in crate::dashboard) async fn end_all(
    State(state): State<ApiState>,
    session: Session,
    browser: Browser,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    session.release();
    state.services.end_sessions(session.requester()).await?;
    Ok(browser.forget(Redirect::to("/login?signed_out=1")))
}

/// These pages are about one's own sessions; tokens have pages of their own.
fn is_own(record: &TokenRecord, session: &Session) -> bool {
    record.kind == TokenKind::Session && record.user_id == session.requester().user_id
}

// === impl Row ===

impl Row {
    async fn new(state: &ApiState, session: &Session, record: &TokenRecord) -> Result<Self, ServiceError> {
        let (services, caller) = (&state.services, session.requester());
        let source = services.session_source(caller, record).await?;
        let now = services.clock.now();
        Ok(Self {
            id: record.id.to_string(),
            client: client(source.as_ref().and_then(Source::user_agent)),
            address: source
                .as_ref()
                .and_then(Source::address)
                .map(|address| address.to_string()),
            is_this: record.id == caller.token_id,
            last_used: record.last_used_at.map(|at| When::new(at, now)),
            created: When::new(record.created_at, now),
            expires: When::new(record.expires_at, now),
        })
    }
}

/// A name for what calls itself like this. It is a hint for whoever owns the session, and can be made up.
fn client(user_agent: Option<&str>) -> String {
    const BROWSERS: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 5] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let Some(text) = user_agent else {
        return "Unknown client".to_owned();
    };
    if text.starts_with("coder-cli/") {
        return "Command line".to_owned();
    }
    let find = |known: &[(&str, &'static str)]| {
        known
            .iter()
            .find(|(mark, _)| text.contains(mark))
            .map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        _ => text.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_names() {
        for (user_agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605.1 (KHTML, like Gecko) Version/17 Safari/605",
                "Safari on macOS",
            ),
            ("coder-cli/0.1.0 (linux/x86_64)", "Command line"),
            ("curl/8", "curl/8"),
        ] {
            assert_eq!(client(Some(user_agent)), name);
        }
        assert_eq!(client(None), "Unknown client");
    }
}
