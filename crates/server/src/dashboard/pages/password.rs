//! Changing one's password. It ends all sessions, so the browser gets a new one.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use gateway_api_types::SecretText;
use gateway_core::{ApiToken, Secret};
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place, render};
use crate::dashboard::local_path::LocalPath;
use crate::dashboard::parts::Faults;
use crate::dashboard::session::{Browser, Session};
use crate::service::error::ServiceError;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    old_password: SecretText,
    password: SecretText,
    password_again: SecretText,
    /// `keep` or `delete`.
    tokens: String,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    page: Page,
    username: String,
    keeps_tokens: bool,
    faults: Faults,
}

pub(in crate::dashboard) async fn form(session: Session) -> Response {
    let page = PasswordPage {
        page: Page::signed_in(&session, "Password", Place::Password),
        username: session.requester().username.clone(),
        keeps_tokens: true,
        faults: Faults::default(),
    };
    render(StatusCode::OK, &page)
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    browser: Browser,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let keeps_tokens = fields.tokens == "keep";
    let (old, new) = (fields.old_password.into_secret(), fields.password.into_secret());
    let changed = if new.expose() == fields.password_again.expose() {
        change(&state, &session, old, new, keeps_tokens).await
    } else {
        Err(ServiceError::field("password_again", "the two passwords differ"))
    };
    let faults = match changed {
        Ok(Some(token)) => {
            let notice = if keeps_tokens {
                Notice::PasswordChanged
            } else {
                Notice::PasswordAndTokensChanged
            };
            let target = LocalPath::parse_or_start(Place::Password.address());
            let response = browser.signed_in(&state, &token, &target).await;
            return Ok(browser.tell(notice, response));
        }
        Ok(None) => {
            let login = browser.forget(Redirect::to("/login"));
            return Ok(browser.tell(Notice::SignInWithNewPassword, login));
        }
        Err(error) => Faults::of(error)?,
    };
    let page = PasswordPage {
        page: Page::signed_in(&session, "Password", Place::Password),
        username: session.requester().username.clone(),
        keeps_tokens,
        faults,
    };
    Ok(page.faults.answer(&page))
}

/// Changes it, and signs in with the new one like anybody. None if it is changed and signing in has failed: there may
/// have been too many attempts, or too much to do.
async fn change(
    state: &ApiState,
    session: &Session,
    old: Secret,
    new: Secret,
    keeps_tokens: bool,
) -> Result<Option<ApiToken>, ServiceError> {
    let (services, caller) = (&state.services, session.requester());
    let email = services.find_user(caller, "me").await?.email.unwrap_or_default();
    session.release();
    services
        .set_password(caller, "me", Some(old), new.clone(), keeps_tokens)
        .await?;
    let signed_in = services.login(&email, new, &caller.source).await;
    Ok(signed_in
        .inspect_err(
            |error| tracing::debug!(%error, "a password is changed and its user could not be signed in"),
        )
        .ok())
}
