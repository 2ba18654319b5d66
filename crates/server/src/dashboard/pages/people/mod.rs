//! People and service accounts, for those who may see them. One file a task.
//!
//! Who may do what is the services' to say (`Services::rights_over`); these pages only leave out what would be refused.

pub(in crate::dashboard) mod create;
pub(in crate::dashboard) mod delete;
pub(in crate::dashboard) mod list;
pub(in crate::dashboard) mod password;
pub(in crate::dashboard) mod person;
pub(in crate::dashboard) mod status;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::{Permission, Role, Roles, Secret, Timestamp, User, UserStatus};
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render, roles_in_words};
use crate::dashboard::parts::{CopyBox, When};
use crate::dashboard::session::Session;
use crate::service::users::RightsOver;

/// Somebody as the pages show them.
struct Somebody {
    id: String,
    username: String,
    /// Possibly empty.
    name: String,
    email: Option<String>,
    is_service_account: bool,
    is_suspended: bool,
    /// In words.
    roles: String,
    last_seen: Option<When>,
    created: When,
}

/// The roles that a form gives: one box each.
#[derive(Default, Deserialize)]
struct RoleFields {
    #[serde(default)]
    owner: String,
    #[serde(default)]
    user_admin: String,
    #[serde(default)]
    auditor: String,
}

/// One role that can be chosen.
struct RoleChoice {
    field: &'static str,
    label: &'static str,
    hint: &'static str,
    is_chosen: bool,
}

/// A password that was made here, shown this once.
#[derive(Template)]
#[template(path = "people/password_shown.html")]
struct PasswordShown {
    page: Page,
    heading: &'static str,
    somebody: Somebody,
    password: CopyBox,
}

/// The one that an address names, for those who may see people.
pub(super) async fn find(
    state: &ApiState,
    session: &Session,
    id: &str,
) -> Result<(User, RightsOver), PageError> {
    let caller = session.requester();
    if !caller.roles.allow(Permission::ReadUsers) {
        return Err(PageError::not_found());
    }
    let user = state.services.find_user(caller, id).await?;
    let rights = state.services.rights_over(caller, &user);
    Ok((user, rights))
}

/// The one that an address names, for those who may act on them.
async fn find_manageable(state: &ApiState, session: &Session, id: &str) -> Result<User, PageError> {
    match find(state, session, id).await? {
        (user, rights) if rights.can_manage => Ok(user),
        _ => Err(PageError::not_found()),
    }
}

/// The address of a person's page.
fn address(user: &User) -> String {
    format!("{}/{}", Place::People.address(), user.id)
}

// === impl Somebody ===

impl Somebody {
    fn new(user: &User, now: Timestamp) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            is_service_account: user.is_service_account,
            is_suspended: user.status == UserStatus::Suspended,
            roles: roles_in_words(&user.roles),
            last_seen: user.last_seen_at.map(|at| When::new(at, now)),
            created: When::new(user.created_at, now),
        }
    }
}

// === impl RoleFields ===

impl RoleFields {
    fn of(roles: &Roles) -> Self {
        let said = |role| {
            if roles.iter().any(|held| held == role) {
                "1".to_owned()
            } else {
                String::new()
            }
        };
        Self {
            owner: said(Role::Owner),
            user_admin: said(Role::UserAdmin),
            auditor: said(Role::Auditor),
        }
    }

    /// As the services take them.
    fn names(&self) -> Vec<String> {
        let chosen = [
            (&self.owner, Role::Owner),
            (&self.user_admin, Role::UserAdmin),
            (&self.auditor, Role::Auditor),
        ];
        chosen
            .into_iter()
            .filter(|(said, _)| !said.is_empty())
            .map(|(_, role)| role.as_str().to_owned())
            .collect()
    }

    fn choices(&self) -> Vec<RoleChoice> {
        let choice = |field, role: Role, hint, said: &str| RoleChoice {
            field,
            label: role.display_name(),
            hint,
            is_chosen: !said.is_empty(),
        };
        vec![
            choice("owner", Role::Owner, "Everything, for everybody.", &self.owner),
            choice(
                "user_admin",
                Role::UserAdmin,
                "Adds people, and manages those without a role.",
                &self.user_admin,
            ),
            choice(
                "auditor",
                Role::Auditor,
                "Sees what everybody's models did, and changes nothing.",
                &self.auditor,
            ),
        ]
    }
}

// === impl PasswordShown ===

impl PasswordShown {
    fn answer(session: &Session, heading: &'static str, somebody: Somebody, password: &Secret) -> Response {
        let page = Self {
            page: Page::signed_in(session, heading, Place::People),
            heading,
            somebody,
            password: CopyBox {
                id: "new-password",
                label: "The new password",
                text: password.expose().to_owned(),
            },
        };
        render(StatusCode::OK, &page)
    }
}
