//! Signing in a command line: whoever is signed in here confirms, and it gets a session of its own.
//!
//! With a port in the address the browser carries a code there (see `service::cli_sign_in`). Without, or where the
//! command line runs on another machine, a session token is shown once, to be pasted.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::address::Query;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, render};
use crate::dashboard::parts::CopyBox;
use crate::dashboard::session::Session;
use crate::service::cli_sign_in::Challenge;

/// The longest state that a command line has use for.
const STATE_LENGTH: usize = 128;

/// What the command line put into the address, and the form sends on.
#[derive(Deserialize)]
pub(in crate::dashboard) struct Asked {
    port: Option<String>,
    state: Option<String>,
    challenge: Option<String>,
    /// Set by the button that shows the token in place of carrying a code.
    paste: Option<String>,
}

/// Where a command line waits on this machine.
struct Waiting {
    port: u16,
    /// Letters and digits, by which it knows its own answer.
    state: String,
    challenge: Challenge,
}

#[derive(Template)]
#[template(path = "cli_auth.html")]
struct ConfirmPage {
    page: Page,
    csrf: String,
    username: String,
    waiting: Option<Waiting>,
}

#[derive(Template)]
#[template(path = "cli_auth_token.html")]
struct TokenPage {
    page: Page,
    token: CopyBox,
}

#[derive(Template)]
#[template(path = "cli_auth_return.html")]
struct ReturnPage {
    page: Page,
    /// At the command line's own port, of letters and digits.
    address: String,
}

#[derive(Template)]
#[template(path = "cli_auth_done.html")]
struct DonePage {
    page: Page,
}

pub(in crate::dashboard) async fn ask(
    session: Session,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let page = ConfirmPage {
        page: Page::plain("Sign in the command line"),
        csrf: session.form_key().token(),
        username: session.requester().username.clone(),
        waiting: asked.waiting()?,
    };
    Ok(render(StatusCode::OK, &page))
}

pub(in crate::dashboard) async fn confirm(
    State(state): State<ApiState>,
    session: Session,
    Checked(asked): Checked<Asked>,
) -> Result<Response, PageError> {
    let waiting = asked.waiting()?.filter(|_| asked.paste.is_none());
    let Some(waiting) = waiting else {
        let token = state.services.create_session(session.requester(), "me").await?;
        let page = TokenPage {
            page: Page::plain("Sign in the command line"),
            token: CopyBox {
                id: "token",
                label: "Session token for the command line",
                text: token.expose().to_owned(),
            },
        };
        return Ok(render(StatusCode::OK, &page));
    };
    let code = state
        .services
        .offer_session(session.requester(), waiting.challenge)?;
    // A page that goes there rather than a redirect, which `form-action` would forbid.
    let page = ReturnPage {
        page: Page::plain("Sign in the command line"),
        address: format!(
            "http://127.0.0.1:{}/callback?code={code}&state={}",
            waiting.port, waiting.state
        ),
    };
    Ok(render(StatusCode::OK, &page))
}

/// Where the command line sends the browser when it has got its code. Anybody may see it; it says nothing.
pub(in crate::dashboard) async fn done() -> Response {
    let page = DonePage {
        page: Page::plain("Signed in"),
    };
    render(StatusCode::OK, &page)
}

// === impl Asked ===

impl Asked {
    /// All three parts, or none. What is not of the form that a command line gives leads nowhere.
    fn waiting(&self) -> Result<Option<Waiting>, PageError> {
        let (port, state, challenge) = match (&self.port, &self.state, &self.challenge) {
            (None, None, None) => return Ok(None),
            (Some(port), Some(state), Some(challenge)) => (port, state, challenge),
            _ => return Err(PageError::not_found()),
        };
        let is_plain = (1..=STATE_LENGTH).contains(&state.len())
            && state.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let port = port.parse().ok().filter(|port| *port >= 1024);
        match (port, Challenge::parse(challenge)) {
            (Some(port), Some(challenge)) if is_plain => Ok(Some(Waiting {
                port,
                state: state.clone(),
                challenge,
            })),
            _ => Err(PageError::not_found()),
        }
    }
}
