//! Deleting somebody: the name is typed once more, for their tokens die with them and nothing brings either back.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway_core::{Permission, User};
use serde::Deserialize;

use super::{Somebody, find_manageable};
use crate::api::ApiState;
use crate::dashboard::address::Path;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place};
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Session;
use crate::service::error::ServiceError;
use crate::service::users::TokenCounts;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    confirmation: String,
}

#[derive(Template)]
#[template(path = "people/delete.html")]
struct DeletePage {
    page: Page,
    somebody: Somebody,
    counts: TokenCounts,
    faults: Faults,
}

pub(in crate::dashboard) async fn ask(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let user = find_manageable(&state, &session, &id).await?;
    delete_page(&state, &session, &user, Faults::default()).await
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let (services, caller) = (&state.services, session.requester());
    let list = Place::People.address();
    let user = match services.find_user(caller, &id).await {
        // Deleted a moment ago, in another window perhaps, where it may still be cutting.
        Err(ServiceError::NotFound(_)) if caller.roles.allow(Permission::ManageUsers) => {
            services.removals.wait(&id).await;
            return Ok(session.done(Notice::PersonGone, list));
        }
        found => found?,
    };
    if !services.rights_over(caller, &user).can_manage {
        return Err(PageError::not_found());
    }
    let deleted = if fields.confirmation.trim() == user.username {
        // By id: the name in the address may be another's by now.
        services.delete_user(caller, &user.id.to_string()).await
    } else {
        Err(ServiceError::field("confirmation", "this is another name"))
    };
    match deleted {
        Ok(_) => Ok(session.done(Notice::PersonDeleted, list)),
        Err(ServiceError::NotFound(_)) => Ok(session.done(Notice::PersonGone, list)),
        Err(error) => {
            let faults = Faults::of(error)?;
            delete_page(&state, &session, &user, faults).await
        }
    }
}

async fn delete_page(
    state: &ApiState,
    session: &Session,
    user: &User,
    faults: Faults,
) -> Result<Response, PageError> {
    let services = &state.services;
    let page = DeletePage {
        page: Page::signed_in(session, "Delete", Place::People),
        somebody: Somebody::new(user, services.clock.now()),
        counts: services
            .count_tokens(session.requester(), &user.id.to_string())
            .await?,
        faults,
    };
    Ok(page.faults.answer(&page))
}
