//! Signing in.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use gateway_api_types::SecretText;
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::address::Query;
use crate::dashboard::csrf::{Checked, FormKey};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::Page;
use crate::dashboard::local_path::LocalPath;
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Browser;
use crate::service::error::ServiceError;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Target {
    next: Option<String>,
    /// Whether somebody has just signed out.
    #[serde(default)]
    signed_out: String,
}

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    email: String,
    password: SecretText,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    csrf: String,
    email: String,
    next: LocalPath,
    /// Why one is here.
    reason: Option<&'static str>,
    faults: Faults,
}

pub(in crate::dashboard) async fn form(
    State(state): State<ApiState>,
    Extension(key): Extension<FormKey>,
    browser: Browser,
    Query(target): Query<Target>,
) -> Result<Response, PageError> {
    let next = LocalPath::parse_or_start(target.next.as_deref().unwrap_or("/"));
    if !state.services.is_set_up().await? {
        return Ok(Redirect::to("/setup").into_response());
    }
    if browser.admit(&state).await?.is_some() {
        return Ok(Redirect::to(next.as_str()).into_response());
    }
    let reason = if let Some(notice) = browser.notice() {
        Some(notice.text())
    } else if !target.signed_out.is_empty() {
        Some("You are signed out.")
    } else if target.next.is_some() {
        Some("Sign in to go on. You are signed out, or your session has expired.")
    } else {
        None
    };
    let page = LoginPage {
        page: Page::plain("Sign in"),
        csrf: key.token(),
        email: String::new(),
        next,
        reason,
        faults: Faults::default(),
    };
    Ok(browser.told(page.answer()))
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    Extension(key): Extension<FormKey>,
    browser: Browser,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let next = LocalPath::parse_or_start(&fields.next);
    let source = &browser.client().source;
    let error = match state
        .services
        .login(&fields.email, fields.password.into_secret(), source)
        .await
    {
        Ok(token) => return Ok(browser.signed_in(&state, &token, &next).await),
        Err(error) => error,
    };
    // The status is no 401: that would be about HTTP's own ways of signing in.
    let faults = match error {
        ServiceError::Unauthenticated(message) => Faults::whole(&message),
        error => Faults::of(error)?,
    };
    Ok(LoginPage {
        page: Page::plain("Sign in"),
        csrf: key.token(),
        email: fields.email.chars().take(254).collect(),
        next,
        reason: None,
        faults,
    }
    .answer())
}

// === impl LoginPage ===

impl LoginPage {
    fn answer(&self) -> Response {
        self.faults.answer(self)
    }
}
