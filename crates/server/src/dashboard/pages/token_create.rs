//! Making a token. Its secret is in the answer to the form and never again: not in an address, and in no cache.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::{ApiToken, Lifetime, Scope, Timestamp, TokenRecord};
use serde::Deserialize;

use super::whose::Whose;
use crate::api::ApiState;
use crate::dashboard::address::Path;
use crate::dashboard::csrf::Checked;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, render};
use crate::dashboard::parts::{CopyBox, Faults, When};
use crate::dashboard::session::Session;
use crate::dashboard::snippets::{Snippet, snippets};
use crate::service::error::ServiceError;
use crate::service::tokens::TokenRequest;

/// What is offered, in days, as far as the ceiling allows.
const DAYS: [u64; 4] = [7, 30, 60, 90];

/// What is chosen to begin with, if it is offered.
const USUAL_DAYS: u64 = 30;

/// The value that stands for a lifetime written by hand.
const CUSTOM: &str = "custom";

#[derive(Deserialize)]
pub(in crate::dashboard) struct Fields {
    #[serde(default)]
    name: String,
    lifetime: String,
    #[serde(default)]
    custom_lifetime: String,
    scope: String,
}

#[derive(Template)]
#[template(path = "token_create.html")]
struct FormPage {
    page: Page,
    whose: Whose,
    name: String,
    choices: Vec<Choice>,
    custom_lifetime: String,
    is_custom: bool,
    ceiling: String,
    /// Whether the scope is everything, rather than models only.
    is_for_all: bool,
    faults: Faults,
}

/// One lifetime that can be chosen.
struct Choice {
    days: u64,
    ends: When,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "token_created.html")]
struct CreatedPage {
    page: Page,
    whose: Whose,
    name: String,
    expires: When,
    secret: CopyBox,
    snippets: Vec<Snippet>,
}

pub(in crate::dashboard) async fn form(
    State(state): State<ApiState>,
    session: Session,
) -> Result<Response, PageError> {
    let whose = Whose::own(&session);
    form_page(&state, &session, whose, Fields::usual(), Faults::default()).await
}

/// The form for somebody else's.
pub(in crate::dashboard) async fn form_for(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let whose = Whose::of(&state, &session, &id).await?;
    form_page(&state, &session, whose, Fields::usual(), Faults::default()).await
}

pub(in crate::dashboard) async fn submit(
    State(state): State<ApiState>,
    session: Session,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let whose = Whose::own(&session);
    create(&state, &session, whose, fields).await
}

pub(in crate::dashboard) async fn submit_for(
    State(state): State<ApiState>,
    session: Session,
    Path(id): Path<String>,
    Checked(fields): Checked<Fields>,
) -> Result<Response, PageError> {
    let whose = Whose::of(&state, &session, &id).await?;
    create(&state, &session, whose, fields).await
}

async fn create(
    state: &ApiState,
    session: &Session,
    whose: Whose,
    fields: Fields,
) -> Result<Response, PageError> {
    let made = match fields.lifetime() {
        Ok(lifetime) => make(state, session, &whose, &fields, lifetime).await,
        Err(error) => Err(error),
    };
    let (token, record) = match made {
        Ok(made) => made,
        Err(error) => {
            let faults = Faults::of(error)?;
            return form_page(state, session, whose, fields, faults).await;
        }
    };
    let now = state.services.clock.now();
    let page = CreatedPage {
        page: whose.page(session, "Token created"),
        whose,
        name: record.name,
        expires: When::new(record.expires_at, now),
        secret: CopyBox {
            id: "secret",
            label: "Your new token",
            text: token.expose().to_owned(),
        },
        snippets: snippets(state, &token),
    };
    Ok(render(StatusCode::OK, &page))
}

async fn make(
    state: &ApiState,
    session: &Session,
    whose: &Whose,
    fields: &Fields,
    lifetime: Lifetime,
) -> Result<(ApiToken, TokenRecord), ServiceError> {
    let request = TokenRequest {
        lifetime: Some(lifetime.as_nanos()),
        name: Some(fields.name.trim().to_owned()),
        scopes: vec![fields.scope.clone()],
    };
    state
        .services
        .create_token(session.requester(), &whose.target, request)
        .await
}

async fn form_page(
    state: &ApiState,
    session: &Session,
    whose: Whose,
    fields: Fields,
    faults: Faults,
) -> Result<Response, PageError> {
    let ceiling = state
        .services
        .token_config(session.requester(), &whose.target)
        .await?;
    let choices = choices(&fields.lifetime, ceiling, state.services.clock.now());
    let page = FormPage {
        page: whose.page(session, "New token"),
        whose,
        is_custom: !choices.iter().any(|choice| choice.is_chosen),
        name: fields.name,
        choices,
        custom_lifetime: if fields.custom_lifetime.is_empty() {
            ceiling.to_string()
        } else {
            fields.custom_lifetime
        },
        ceiling: ceiling.to_string(),
        is_for_all: fields.scope.parse() == Ok(Scope::All),
        faults,
    };
    Ok(page.faults.answer(&page))
}

/// Those within the ceiling. If the one that is wanted is not among them, the longest is chosen.
fn choices(wanted: &str, ceiling: Lifetime, now: Timestamp) -> Vec<Choice> {
    let offered: Vec<(u64, Lifetime)> = DAYS
        .into_iter()
        .filter_map(|days| Some((days, Lifetime::from_days(days)?)))
        .filter(|(_, lifetime)| *lifetime <= ceiling)
        .collect();
    let wanted_days = wanted.parse().ok();
    let chosen = match offered.iter().find(|(days, _)| Some(*days) == wanted_days) {
        Some((days, _)) => Some(*days),
        None if wanted == CUSTOM => None,
        None => offered.last().map(|(days, _)| *days),
    };
    offered
        .into_iter()
        .map(|(days, lifetime)| Choice {
            days,
            ends: When::new(now.plus(lifetime.as_duration()), now),
            is_chosen: chosen == Some(days),
        })
        .collect()
}

// === impl Fields ===

impl Fields {
    /// What the form begins with.
    fn usual() -> Self {
        Self {
            name: String::new(),
            lifetime: USUAL_DAYS.to_string(),
            custom_lifetime: String::new(),
            scope: Scope::Aibridge.as_str().to_owned(),
        }
    }

    fn lifetime(&self) -> Result<Lifetime, ServiceError> {
        if self.lifetime == CUSTOM {
            return self
                .custom_lifetime
                .trim()
                .parse()
                .map_err(|fault| ServiceError::field("lifetime", fault));
        }
        self.lifetime
            .parse()
            .ok()
            .and_then(Lifetime::from_days)
            .ok_or_else(|| ServiceError::field("lifetime", "choose one of these"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_ceiling_allows_is_offered() {
        let now = Timestamp::from_micros(0);
        let offered = |wanted, ceiling: &str| -> Vec<(u64, bool)> {
            choices(wanted, ceiling.parse().unwrap(), now)
                .iter()
                .map(|choice| (choice.days, choice.is_chosen))
                .collect()
        };
        assert_eq!(
            offered("30", "1y"),
            [(7, false), (30, true), (60, false), (90, false)]
        );
        assert_eq!(offered("30", "20d"), [(7, true)]);
        assert_eq!(offered("custom", "60d"), [(7, false), (30, false), (60, false)]);
        assert_eq!(offered("30", "1d"), []);
    }
}
