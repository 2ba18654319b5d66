//! Everybody there is, in the order in which they were made.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::{Permission, Role, UserStatus};
use gateway_store::{UserFilter, UserPage};
use serde::Deserialize;

use super::Somebody;
use crate::api::ApiState;
use crate::dashboard::address::Query;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::pager::Pager;
use crate::dashboard::session::Session;

/// Which of them are shown. What is empty filters nothing.
#[derive(Default, Deserialize)]
pub(in crate::dashboard) struct Shown {
    #[serde(default)]
    q: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    status: String,
    /// `person` or `service`.
    #[serde(default)]
    kind: String,
    /// From 1.
    page: Option<usize>,
}

#[derive(Template)]
#[template(path = "people/list.html")]
struct ListPage {
    page: Page,
    shown: Shown,
    is_filtered: bool,
    roles: Vec<Role>,
    rows: Vec<Somebody>,
    count: u64,
    pager: Pager,
    can_create: bool,
}

pub(in crate::dashboard) async fn list(
    State(state): State<ApiState>,
    session: Session,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let (found, pager) = find(&state, &session, &shown).await?;
    let now = state.services.clock.now();
    let page = ListPage {
        page: Page::signed_in(&session, "People", Place::People),
        is_filtered: [&shown.q, &shown.role, &shown.status, &shown.kind]
            .iter()
            .any(|part| !part.is_empty()),
        roles: Role::ALL
            .into_iter()
            .filter(|role| *role != Role::Member)
            .collect(),
        rows: found.users.iter().map(|user| Somebody::new(user, now)).collect(),
        count: found.count,
        pager,
        can_create: session.requester().roles.allow(Permission::ManageUsers),
        shown,
    };
    Ok(render(StatusCode::OK, &page))
}

/// The page that is asked for, or the last one where there are fewer.
async fn find(state: &ApiState, session: &Session, shown: &Shown) -> Result<(UserPage, Pager), PageError> {
    let filter = shown.filter()?;
    let wanted = shown.page.unwrap_or(1);
    let list = async |number| {
        let (limit, offset) = Pager::window(number);
        let filter = UserFilter {
            limit,
            offset,
            ..filter.clone()
        };
        state.services.list_users(session.requester(), filter).await
    };
    let found = list(wanted).await?;
    let rows = usize::try_from(found.count).unwrap_or(usize::MAX);
    let pager = Pager::new(rows, Some(wanted), shown.address());
    if pager.number() == wanted.max(1) {
        return Ok((found, pager));
    }
    Ok((list(pager.number()).await?, pager))
}

// === impl Shown ===

impl Shown {
    fn filter(&self) -> Result<UserFilter, PageError> {
        let unknown = |_| PageError::not_found();
        let said = |part: &'_ str| !part.is_empty();
        Ok(UserFilter {
            search: Some(self.q.trim().to_owned()).filter(|text| said(text)),
            status: match self.status.as_str() {
                "" => None,
                status => Some(status.parse::<UserStatus>().map_err(unknown)?),
            },
            role: match self.role.as_str() {
                "" => None,
                role => Some(role.parse::<Role>().map_err(|_| PageError::not_found())?),
            },
            is_service_account: match self.kind.as_str() {
                "" => None,
                "person" => Some(false),
                "service" => Some(true),
                _ => return Err(PageError::not_found()),
            },
            ..UserFilter::default()
        })
    }

    /// Of the pages of this list, without the number.
    fn address(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", &self.q),
            ("role", &self.role),
            ("status", &self.status),
            ("kind", &self.kind),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("page", "");
        format!("{}?{}", Place::People.address(), query.finish())
    }
}
