//! The API tokens of whoever looks.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::{Timestamp, TokenRecord};
use serde::Deserialize;

use crate::api::ApiState;
use crate::dashboard::address::Query;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::pager::Pager;
use crate::dashboard::parts::When;
use crate::dashboard::session::Session;
use crate::service::tokens::TokenListing;

#[derive(Default, Deserialize)]
pub(in crate::dashboard) struct Shown {
    /// From 1.
    page: Option<usize>,
    /// Whether those that have expired are shown, too.
    #[serde(default)]
    expired: String,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    page: Page,
    /// The address of the token with this id, without the id.
    base: &'static str,
    can_delete: bool,
    rows: Vec<Row>,
    total: usize,
    pager: Pager,
    with_expired: bool,
}

/// One token.
pub(in crate::dashboard) struct Row {
    pub(in crate::dashboard) id: String,
    pub(in crate::dashboard) name: String,
    pub(in crate::dashboard) scope: &'static str,
    pub(in crate::dashboard) last_used: Option<When>,
    pub(in crate::dashboard) expires: When,
    pub(in crate::dashboard) is_expired: bool,
    pub(in crate::dashboard) created: When,
}

/// The newest first.
pub(in crate::dashboard) async fn list(
    State(state): State<ApiState>,
    session: Session,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let with_expired = !shown.expired.is_empty();
    let listing = TokenListing {
        include_expired: with_expired,
        ..TokenListing::default()
    };
    let mut tokens = state
        .services
        .list_tokens(session.requester(), "me", listing)
        .await?;
    tokens.sort_by_key(|token| std::cmp::Reverse(token.record.created_at));
    let address = if with_expired {
        "/settings/tokens?expired=1&page="
    } else {
        "/settings/tokens?page="
    };
    let pager = Pager::new(tokens.len(), shown.page, address);
    let now = state.services.clock.now();
    let page = TokensPage {
        page: Page::signed_in(&session, "Tokens", Place::Tokens),
        base: Place::Tokens.address(),
        can_delete: true,
        rows: pager
            .slice(&tokens)
            .iter()
            .map(|token| Row::new(&token.record, now))
            .collect(),
        total: tokens.len(),
        pager,
        with_expired,
    };
    Ok(render(StatusCode::OK, &page))
}

// === impl Row ===

impl Row {
    pub(in crate::dashboard) fn new(record: &TokenRecord, now: Timestamp) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            scope: if record.scopes.allows_management() {
                "Everything"
            } else {
                "Models only"
            },
            last_used: record.last_used_at.map(|at| When::new(at, now)),
            expires: When::new(record.expires_at, now),
            is_expired: record.expires_at <= now,
            created: When::new(record.created_at, now),
        }
    }
}
