//! One person or service account: who they are, their roles, their tokens, and the way to what can be done.

use askama::Template;
use axum::extract::State;
use axum::response::{Redirect, Response};
use gateway_core::User;
use serde::Deserialize;

use super::{RoleChoice, RoleFields, Somebody, address, find};
use crate::api::ApiState;
use crate::dashboard::address::{Path, Query};
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place};
use crate::dashboard::pager::Pager;
use crate::dashboard::pages::tokens::Row;
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Session;
use crate::service::tokens::TokenListing;
use crate::service::users::RightsOver;

#[derive(Default, Deserialize)]
pub(in crate::dashboard) struct Shown {
    /// Of the tokens, from 1.
    page: Option<usize>,
}

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    #[serde(flatten)]
    roles: RoleFields,
}

#[derive(Template)]
#[template(path = "people/person.html")]
struct PersonPage {
    page: Page,
    somebody: Somebody,
    rights: RightsOver,
    roles: Vec<RoleChoice>,
    tokens: Option<Tokens>,
    faults: Faults,
}

/// The API tokens of somebody.
struct Tokens {
    rows: Vec<Row>,
    pager: Pager,
    /// The address of the one with this id, without the id.
    base: String,
    can_delete: bool,
}

pub(in crate::dashboard) async fn show(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let (user, rights) = find(&state, &session, &id).await?;
    let roles = RoleFields::of(&user.roles);
    let page = person_page(&state, &session, &user, rights, &roles, shown.page).await?;
    Ok(page.faults.answer(&page))
}

/// For somebody who had to sign in before a button could do its work; the button is on the person's page.
pub(in crate::dashboard) async fn ask_again(Path(id): Path<uuid::Uuid>) -> Redirect {
    Redirect::to(&format!("{}/{id}", Place::People.address()))
}

pub(in crate::dashboard) async fn set_roles(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let (user, rights) = find(&state, &session, &id).await?;
    if !rights.can_set_roles {
        return Err(PageError::not_found());
    }
    let names = fields.roles.names();
    let set = state.services.set_roles(session.requester(), &id, &names).await;
    let error = match set {
        Ok(user) => return Ok(session.done(Notice::RolesChanged, &address(&user))),
        Err(error) => error,
    };
    let faults = Faults::of(error)?;
    let mut page = person_page(&state, &session, &user, rights, &fields.roles, None).await?;
    page.faults = faults;
    Ok(page.faults.answer(&page))
}

async fn person_page(
    state: &ApiState,
    session: &Session,
    user: &User,
    rights: RightsOver,
    roles: &RoleFields,
    page_of_tokens: Option<usize>,
) -> Result<PersonPage, PageError> {
    let now = state.services.clock.now();
    Ok(PersonPage {
        page: Page::signed_in(session, "Person", Place::People),
        somebody: Somebody::new(user, now),
        rights,
        roles: roles.choices(),
        tokens: if rights.can_read_tokens {
            Some(tokens(state, session, user, rights, page_of_tokens).await?)
        } else {
            None
        },
        faults: Faults::default(),
    })
}

/// Those that have not expired, the newest first.
async fn tokens(
    state: &ApiState,
    session: &Session,
    user: &User,
    rights: RightsOver,
    page: Option<usize>,
) -> Result<Tokens, PageError> {
    let (services, id) = (&state.services, user.id.to_string());
    let mut listed = services
        .list_tokens(session.requester(), &id, TokenListing::default())
        .await?;
    listed.sort_by_key(|token| std::cmp::Reverse(token.record.created_at));
    let address = format!("{}/{id}", Place::People.address());
    let pager = Pager::new(listed.len(), page, format!("{address}?page="));
    let now = services.clock.now();
    Ok(Tokens {
        rows: pager
            .slice(&listed)
            .iter()
            .map(|token| Row::new(&token.record, now))
            .collect(),
        pager,
        base: format!("{address}/tokens"),
        can_delete: rights.can_manage_tokens,
    })
}
