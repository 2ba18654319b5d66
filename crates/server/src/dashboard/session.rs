//! Who looks at a page: a session token in a cookie, verified like any other token on every request.
//!
//! So a session that was ended, or a user who was suspended, loses the dashboard at once. Signing in always makes a new
//! token and ends the one that the browser had, so that nobody can wait for a session that they have planted.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use gateway_core::{ApiToken, TokenKind};
use gateway_relay::access::{AccessError, Admission};
use parking_lot::Mutex;

use super::cookie::{self, Cookie};
use super::csrf::FormKey;
use super::error::PageError;
use super::layout::Notice;
use super::local_path::LocalPath;
use crate::api::{ApiState, Caller, Client};
use crate::service::Requester;
use crate::service::error::ServiceError;

/// Somebody who is signed in.
#[derive(Clone)]
pub(super) struct Session {
    requester: Requester,
    form_key: FormKey,
    is_secure: bool,
    /// What the page before has done, until a page tells it.
    notice: Arc<Mutex<Option<Notice>>>,
    /// Held while the page is made, so that it is not shown after the right to see it is gone.
    admission: Arc<Mutex<Option<Admission>>>,
}

/// The cookies of one browser, and how it is connected.
pub(super) struct Browser {
    is_secure: bool,
    session: Option<ApiToken>,
    notice: Option<Notice>,
    client: Client,
}

// === impl Session ===

impl Session {
    pub(super) fn requester(&self) -> &Requester {
        &self.requester
    }

    pub(super) fn form_key(&self) -> &FormKey {
        &self.form_key
    }

    /// For a change that takes away its own right: it is not to wait for itself, and is answered all the same. The
    /// store checks in its transaction that the right is still there.
    pub(super) fn release(&self) {
        self.admission.lock().take();
    }

    /// For an answer that goes on after its page: the right to it goes along.
    pub(super) fn into_caller(self) -> Option<Caller> {
        let admission = self.admission.lock().take()?;
        Some(Caller::admitted(self.requester, admission))
    }

    /// For the page that tells it.
    pub(super) fn take_notice(&self) -> Option<Notice> {
        self.notice.lock().take()
    }

    /// On to a page, which is to tell what was done.
    pub(super) fn done(&self, notice: Notice, address: &str) -> Response {
        tell(notice, self.is_secure, Redirect::to(address))
    }

    fn is_cut(&self) -> bool {
        self.admission.lock().as_ref().is_some_and(Admission::is_cut)
    }
}

impl FromRequestParts<ApiState> for Session {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, PageError> {
        // Only a page outside of the layer that puts it there has none.
        parts.extensions.get::<Self>().cloned().ok_or(PageError::SignIn)
    }
}

/// The layer of all pages that need somebody.
pub(super) async fn required(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let browser = Browser::new(&mut parts, &state).await;
    let session = match browser.admit(&state).await {
        Ok(Some(session)) => session,
        Ok(None) => return sign_in(&parts, &browser),
        Err(error) => return PageError::from(error).into_response(),
    };
    parts.extensions.insert(*session.form_key());
    parts.extensions.insert(session.clone());
    let again = Parts::clone(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    if session.is_cut() {
        return sign_in(&again, &browser);
    }
    if browser.notice.is_some() && session.notice.lock().is_none() {
        return forgotten(Cookie::Notice, response);
    }
    response
}

/// The answer, which brings a notice for the page after it.
fn tell(notice: Notice, is_secure: bool, response: impl IntoResponse) -> Response {
    let cookie = Cookie::Notice.set(notice.as_str(), is_secure);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), response).into_response()
}

/// The answer, which takes the cookie away.
fn forgotten(cookie: Cookie, response: impl IntoResponse) -> Response {
    let headers = cookie.remove().map(|removal| (header::SET_COOKIE, removal));
    (AppendHeaders(headers), response).into_response()
}

/// To the page that signs in and comes back. What was sent along is lost, so a form is opened anew.
fn sign_in(parts: &Parts, browser: &Browser) -> Response {
    let uri = &parts.uri;
    let target = match parts.method {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("/", |target| target.as_str()),
        _ => uri.path(),
    };
    let redirect = Redirect::to(&LocalPath::parse_or_start(target).login());
    if Cookie::Session.read(&parts.headers, browser.is_secure).is_some() {
        return browser.forget(redirect);
    }
    redirect.into_response()
}

// === impl Browser ===

impl Browser {
    async fn new(parts: &mut Parts, state: &ApiState) -> Self {
        let Ok(client) = Client::from_request_parts(parts, state).await;
        let is_secure = cookie::is_secure(parts, state);
        let session = session_token(&parts.headers, is_secure);
        Self {
            is_secure,
            session,
            notice: Cookie::Notice
                .read(&parts.headers, is_secure)
                .and_then(Notice::parse),
            client,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Who is signed in, if anybody is.
    pub(super) async fn admit(&self, state: &ApiState) -> Result<Option<Session>, ServiceError> {
        let Some(token) = &self.session else {
            return Ok(None);
        };
        let source = self.client.source.clone();
        let admission = match state.services.access.admit(token, source.address()).await {
            Ok(admission) => admission,
            Err(AccessError::Invalid | AccessError::Expired) => return Ok(None),
            Err(AccessError::Busy) => return Err(ServiceError::Busy),
            Err(error @ AccessError::Unavailable(_)) => return Err(ServiceError::Unavailable(error.into())),
        };
        let principal = Arc::clone(admission.principal());
        // A token for models that somebody has put into the cookie opens nothing here.
        if principal.token_kind != TokenKind::Session || !principal.scopes.allows_management() {
            return Ok(None);
        }
        Ok(Some(Session {
            requester: Requester { principal, source },
            form_key: FormKey::of_session(token),
            is_secure: self.is_secure,
            notice: Arc::new(Mutex::new(self.notice)),
            admission: Arc::new(Mutex::new(Some(admission))),
        }))
    }

    /// Signs the browser in with a new session and goes to `target`; the session that it had ends.
    pub(super) async fn signed_in(&self, state: &ApiState, token: &ApiToken, target: &LocalPath) -> Response {
        self.end_old(state).await;
        (
            AppendHeaders([(
                header::SET_COOKIE,
                Cookie::Session.set(token.expose(), self.is_secure),
            )]),
            Redirect::to(target.as_str()),
        )
            .into_response()
    }

    /// Failing is no reason not to sign in: the browser forgets the old token, and it expires.
    async fn end_old(&self, state: &ApiState) {
        if let Ok(Some(old)) = self.admit(state).await {
            old.release();
            if let Err(error) = state.services.logout(&old.requester).await {
                tracing::debug!(%error, "the session before this one could not be ended");
            }
        }
    }

    /// The answer, which takes the session's cookie away.
    pub(super) fn forget(&self, response: impl IntoResponse) -> Response {
        forgotten(Cookie::Session, response)
    }

    /// What the page before has done, if this one is to tell it.
    pub(super) fn notice(&self) -> Option<Notice> {
        self.notice
    }

    /// The answer, with the notice told.
    pub(super) fn told(&self, response: Response) -> Response {
        match self.notice {
            Some(_) => forgotten(Cookie::Notice, response),
            None => response,
        }
    }

    /// The answer, which brings a notice for the page after it.
    pub(super) fn tell(&self, notice: Notice, response: impl IntoResponse) -> Response {
        tell(notice, self.is_secure, response)
    }
}

impl FromRequestParts<ApiState> for Browser {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Self::Rejection> {
        Ok(Self::new(parts, state).await)
    }
}

fn session_token(headers: &HeaderMap, is_secure: bool) -> Option<ApiToken> {
    ApiToken::parse(Cookie::Session.read(headers, is_secure)?).ok()
}
