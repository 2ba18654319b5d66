//! Signing out.

use axum::extract::State;
use axum::response::{Redirect, Response};

use crate::api::ApiState;
use crate::dashboard::csrf::{Checked, NoFields};
use crate::dashboard::error::PageError;
use crate::dashboard::session::{Browser, Session};

/// A link cannot sign anybody out; the button for it is on every page.
pub(in crate::dashboard) async fn ask() -> Redirect {
    Redirect::to("/")
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    browser: Browser,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    session.release();
    state.services.logout(session.requester()).await?;
    Ok(browser.forget(Redirect::to("/login?signed_out=1")))
}
