//! Suspending somebody, asked once more, and activating them again.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway_core::{User, UserStatus};

use super::{Somebody, address, find_manageable};
use crate::api::ApiState;
use crate::dashboard::address::Path;
use crate::dashboard::csrf::{Checked, NoFields};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place};
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Session;

#[derive(Template)]
#[template(path = "people/suspend.html")]
struct SuspendPage {
    page: Page,
    somebody: Somebody,
    faults: Faults,
}

pub(in crate::dashboard) async fn ask(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let user = find_manageable(&state, &session, &id).await?;
    Ok(suspend_page(&state, &session, &user, Faults::default()))
}

pub(in crate::dashboard) async fn suspend(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    let user = find_manageable(&state, &session, &id).await?;
    let (services, caller) = (&state.services, session.requester());
    match services.set_status(caller, &id, UserStatus::Suspended).await {
        Ok(user) => Ok(session.done(Notice::PersonSuspended, &address(&user))),
        Err(error) => Ok(suspend_page(&state, &session, &user, Faults::of(error)?)),
    }
}

pub(in crate::dashboard) async fn activate(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    find_manageable(&state, &session, &id).await?;
    let (services, caller) = (&state.services, session.requester());
    let user = services.set_status(caller, &id, UserStatus::Active).await?;
    Ok(session.done(Notice::PersonActivated, &address(&user)))
}

fn suspend_page(state: &ApiState, session: &Session, user: &User, faults: Faults) -> Response {
    let page = SuspendPage {
        page: Page::signed_in(session, "Suspend", Place::People),
        somebody: Somebody::new(user, state.services.clock.now()),
        faults,
    };
    page.faults.answer(&page)
}
