//! Deleting a token: asked once more, then done at once.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::tokens::Row;
use super::whose::Whose;
use crate::api::ApiState;
use crate::dashboard::address::Path;
use crate::dashboard::csrf::{Checked, NoFields};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, render};
use crate::dashboard::session::Session;
use crate::service::error::ServiceError;

#[derive(Template)]
#[template(path = "token_delete.html")]
struct DeletePage {
    page: Page,
    whose: Whose,
    token: Row,
}

pub(in crate::dashboard) async fn ask(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let whose = Whose::own(&session);
    delete_page(&state, &session, whose, &id).await
}

/// About somebody else's.
pub(in crate::dashboard) async fn ask_for(
    State(state): State<ApiState>,
    session: Session,
    Path((user, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let whose = Whose::of(&state, &session, &user).await?;
    delete_page(&state, &session, whose, &id).await
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    delete(&state, &session, &Whose::own(&session), &id).await
}

pub(in crate::dashboard) async fn submit_for(
    State(state): State<ApiState>,
    session: Session,
    Path((user, id)): Path<(String, String)>,
    Checked(NoFields {}): Checked<NoFields>,
) -> Result<Response, PageError> {
    let whose = Whose::of(&state, &session, &user).await?;
    delete(&state, &session, &whose, &id).await
}

async fn delete_page(
    state: &ApiState,
    session: &Session,
    whose: Whose,
    id: &str,
) -> Result<Response, PageError> {
    let record = state.services.token(session.requester(), id).await?;
    if !whose.has(&record) {
        return Err(PageError::not_found());
    }
    let page = DeletePage {
        page: whose.page(session, "Delete token"),
        whose,
        token: Row::new(&record, state.services.clock.now()),
    };
    Ok(render(StatusCode::OK, &page))
}

async fn delete(state: &ApiState, session: &Session, whose: &Whose, id: &str) -> Result<Response, PageError> {
    match state.services.token(session.requester(), id).await {
        Ok(record) if !whose.has(&record) => return Err(PageError::not_found()),
        Ok(_) | Err(ServiceError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let notice = match state.services.remove_token(session.requester(), id).await {
        Ok(()) => Notice::TokenDeleted,
        // Deleted a moment ago, in another window perhaps, or never there.
        Err(ServiceError::NotFound(_)) => Notice::TokenGone,
        Err(error) => return Err(error.into()),
    };
    Ok(session.done(notice, &whose.list))
}
