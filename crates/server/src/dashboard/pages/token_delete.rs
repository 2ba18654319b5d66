//! Deleting a token: asked once more, then done at once.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use gateway_core::{TokenKind, TokenRecord};
use serde::Deserialize;

use super::tokens::Row;
use crate::api::ApiState;
use crate::dashboard::address::Path;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place, render};
use crate::dashboard::session::Session;
use crate::service::error::ServiceError;

/// Nothing but the token of the form.
#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {}

#[derive(Template)]
#[template(path = "token_delete.html")]
struct DeletePage {
    page: Page,
    token: Row,
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
    let page = DeletePage {
        page: Page::signed_in(&session, "Delete token", Place::Tokens),
        token: Row::new(&record, state.services.clock.now()),
    };
    Ok(render(StatusCode::OK, &page))
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(Fields {}): Checked<Fields>,
) -> Result<Redirect, PageError> {
    match state.services.token(session.requester(), &id).await {
        Ok(record) if !is_own(&record, &session) => return Err(PageError::not_found()),
        Ok(_) | Err(ServiceError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match state.services.remove_token(session.requester(), &id).await {
        // Deleted a moment ago, in another window perhaps: what was asked for is so.
        Ok(()) | Err(ServiceError::NotFound(_)) => {
            Ok(Redirect::to(&Notice::TokenDeleted.told_at(Place::Tokens)))
        }
        Err(error) => Err(error.into()),
    }
}

/// These pages are about one's own API tokens; sessions and the tokens of others have pages of their own.
fn is_own(record: &TokenRecord, session: &Session) -> bool {
    record.kind == TokenKind::Api && record.user_id == session.requester().user_id
}
