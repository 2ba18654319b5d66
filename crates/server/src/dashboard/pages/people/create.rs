//! Making a person or a service account. A password that is made here is in the answer to the form and never again.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway_api_types::SecretText;
use gateway_core::{Permission, Secret, User, password};
use serde::Deserialize;

use super::{PasswordShown, RoleChoice, RoleFields, Somebody, address};
use crate::api::ApiState;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place};
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Session;
use crate::service::error::ServiceError;
use crate::service::users::UserRequest;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    /// `person` or `service`.
    kind: String,
    username: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    /// `made` or `chosen`.
    #[serde(default)]
    how: String,
    #[serde(default)]
    password: Option<SecretText>,
    #[serde(flatten)]
    roles: RoleFields,
}

#[derive(Template)]
#[template(path = "people/create.html")]
struct FormPage {
    page: Page,
    is_service_account: bool,
    username: String,
    name: String,
    email: String,
    is_chosen: bool,
    /// None for those who may not give any.
    roles: Option<Vec<RoleChoice>>,
    faults: Faults,
}

pub(in crate::dashboard) async fn form(session: Session) -> Result<Response, PageError> {
    let fields = Fields {
        kind: "person".to_owned(),
        username: String::new(),
        name: String::new(),
        email: String::new(),
        how: String::new(),
        password: None,
        roles: RoleFields::default(),
    };
    form_page(&session, fields, Faults::default())
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    Checked(mut fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let made = fields
        .wants_made_password()
        .then(|| password::generate(&mut rand::rng()));
    let chosen = fields.password.take().map(SecretText::into_secret);
    match create(&state, &session, &fields, made.clone().or(chosen)).await {
        Ok(user) => Ok(match made {
            Some(password) => {
                let somebody = Somebody::new(&user, state.services.clock.now());
                PasswordShown::answer(&session, "Person created", somebody, &password)
            }
            None => session.done(Notice::PersonCreated, &address(&user)),
        }),
        Err(error) => {
            let faults = Faults::of(error)?;
            form_page(&session, fields, faults)
        }
    }
}

async fn create(
    state: &ApiState,
    session: &Session,
    fields: &Fields,
    password: Option<Secret>,
) -> Result<User, ServiceError> {
    let is_service_account = fields.is_service_account();
    let request = UserRequest {
        username: fields.username.trim().to_owned(),
        // What a browser without style sheets sends along for a service account does not count.
        email: Some(fields.email.trim().to_owned()).filter(|email| !email.is_empty() && !is_service_account),
        name: fields.name.trim().to_owned(),
        password: password.filter(|password| !password.expose().is_empty() && !is_service_account),
        roles: fields.roles.names(),
        is_service_account,
        without_password: false,
    };
    state.services.create_user(session.requester(), request).await
}

fn form_page(session: &Session, fields: Fields, faults: Faults) -> Result<Response, PageError> {
    let caller = session.requester();
    if !caller.roles.allow(Permission::ManageUsers) {
        return Err(PageError::not_found());
    }
    let page = FormPage {
        page: Page::signed_in(session, "New person", Place::People),
        is_service_account: fields.is_service_account(),
        roles: caller
            .roles
            .allow(Permission::ManageRoles)
            .then(|| fields.roles.choices()),
        is_chosen: fields.how == "chosen",
        username: fields.username,
        name: fields.name,
        email: fields.email,
        faults,
    };
    Ok(page.faults.answer(&page))
}

// === impl Fields ===

impl Fields {
    fn is_service_account(&self) -> bool {
        self.kind == "service"
    }

    fn wants_made_password(&self) -> bool {
        !self.is_service_account() && self.how != "chosen"
    }
}
