//! Making the first user, who is an owner.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use gateway_api_types::SecretText;
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::csrf::{Checked, FormKey};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page};
use crate::dashboard::local_path::LocalPath;
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Browser;
use crate::service::error::ServiceError;
use crate::service::sessions::FirstUser;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    username: String,
    #[serde(default)]
    name: String,
    email: String,
    password: SecretText,
    #[serde(default)]
    setup_code: String,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    page: Page,
    csrf: String,
    username: String,
    name: String,
    email: String,
    /// Whether the code has to be given from where this browser is.
    needs_code: bool,
    faults: Faults,
}

pub(in crate::dashboard) async fn form(
    State(state): State<ApiState>,
    Extension(key): Extension<FormKey>,
    browser: Browser,
) -> Result<Response, PageError> {
    if state.services.is_set_up().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    let page = SetupPage {
        page: Page::plain("Set up"),
        csrf: key.token(),
        username: String::new(),
        name: String::new(),
        email: String::new(),
        needs_code: needs_code(&state, &browser),
        faults: Faults::default(),
    };
    Ok(page.faults.answer(&page))
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    Extension(key): Extension<FormKey>,
    browser: Browser,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let password = fields.password.into_secret();
    let first = FirstUser {
        username: fields.username.trim().to_owned(),
        email: fields.email.trim().to_owned(),
        name: fields.name.trim().to_owned(),
        password: password.clone(),
        setup_code: Some(fields.setup_code.trim().to_owned()).filter(|code| !code.is_empty()),
    };
    let (services, client) = (&state.services, browser.client());
    let made = services
        .create_first_user(first, client.origin, &client.source)
        .await;
    let Err(error) = made else {
        let signed_in = services
            .login(fields.email.trim(), password, &client.source)
            .await;
        return Ok(match signed_in {
            Ok(token) => browser.signed_in(&state, &token, &LocalPath::start()).await,
            Err(error) => {
                tracing::debug!(%error, "the first user is made and could not be signed in");
                browser.tell(Notice::SignInAsOwner, Redirect::to("/login"))
            }
        });
    };
    if services.is_set_up().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    let faults = match error {
        ServiceError::Forbidden(_) => Faults::field(
            "setup_code",
            "this is not the set-up code that the server printed when it started",
        ),
        error => Faults::of(error)?,
    };
    let page = SetupPage {
        page: Page::plain("Set up"),
        csrf: key.token(),
        username: fields.username,
        name: fields.name,
        email: fields.email,
        needs_code: needs_code(&state, &browser),
        faults,
    };
    Ok(page.faults.answer(&page))
}

fn needs_code(state: &ApiState, browser: &Browser) -> bool {
    state.services.setup.check(browser.client().origin, None).is_err()
}
