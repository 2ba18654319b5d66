//! Giving somebody a new password, made here and shown once, or chosen. Their sessions end with it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway_api_types::SecretText;
use gateway_core::{Secret, User, password};
use serde::Deserialize;

use super::{PasswordShown, Somebody, address, find_manageable};
use crate::api::ApiState;
use crate::dashboard::address::Path;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Notice, Page, Place};
use crate::dashboard::parts::Faults;
use crate::dashboard::session::Session;

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    /// `made` or `chosen`.
    how: String,
    #[serde(default)]
    password: Option<SecretText>,
    /// `keep` or `delete`.
    tokens: String,
}

#[derive(Template)]
#[template(path = "people/password.html")]
struct PasswordPage {
    page: Page,
    somebody: Somebody,
    is_chosen: bool,
    keeps_tokens: bool,
    faults: Faults,
}

pub(in crate::dashboard) async fn form(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let user = find_person(&state, &session, &id).await?;
    let page = PasswordPage {
        page: Page::signed_in(&session, "Reset password", Place::People),
        somebody: Somebody::new(&user, state.services.clock.now()),
        is_chosen: false,
        keeps_tokens: true,
        faults: Faults::default(),
    };
    Ok(page.faults.answer(&page))
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let user = find_person(&state, &session, &id).await?;
    let (is_chosen, keeps_tokens) = (fields.how == "chosen", fields.tokens == "keep");
    let password = if is_chosen {
        fields
            .password
            .map_or_else(|| Secret::new(""), SecretText::into_secret)
    } else {
        password::generate(&mut rand::rng())
    };
    let (services, caller) = (&state.services, session.requester());
    let set = services
        .set_password(caller, &id, None, password.clone(), keeps_tokens)
        .await;
    let somebody = Somebody::new(&user, services.clock.now());
    let error = match set {
        Ok(()) if is_chosen => return Ok(session.done(notice(keeps_tokens), &address(&user))),
        Ok(()) => {
            return Ok(PasswordShown::answer(
                &session,
                "Password reset",
                somebody,
                &password,
            ));
        }
        Err(error) => error,
    };
    let page = PasswordPage {
        page: Page::signed_in(&session, "Reset password", Place::People),
        somebody,
        is_chosen,
        keeps_tokens,
        faults: Faults::of(error)?,
    };
    Ok(page.faults.answer(&page))
}

const fn notice(keeps_tokens: bool) -> Notice {
    if keeps_tokens {
        Notice::PasswordReset
    } else {
        Notice::PasswordAndTokensReset
    }
}

/// A service account has no password.
async fn find_person(state: &ApiState, session: &Session, id: &str) -> Result<User, PageError> {
    let user = find_manageable(state, session, id).await?;
    if user.is_service_account {
        return Err(PageError::not_found());
    }
    Ok(user)
}
