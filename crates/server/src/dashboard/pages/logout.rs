//! Signing out.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::session::{Browser, Session};

/// Nothing but the token of the form.
#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {}

/// A link cannot sign anybody out; the button for it is on every page.
pub(in crate::dashboard) async fn ask() -> Redirect {
    Redirect::to("/")
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    browser: Browser,
    Checked(Fields {}): Checked<Fields>,
) -> Result<Response, PageError> {
    session.release();
    state.services.logout(session.requester()).await?;
    Ok((browser.forget(), Redirect::to("/login?signed_out=1")).into_response())
}
