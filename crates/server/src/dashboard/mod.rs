//! The dashboard: pages for people, rendered here and complete without a script.
//!
//! To add a page: a file in `pages` with its handlers and the context of its template, the template of the same name
//! under `templates`, a line in [`router`], if it is to be found one in `layout::navigation`, and one in
//! `tests/browser/pages.py`, so that it is looked at. Handlers go through the same services as the REST API; they hold
//! no rule and no SQL.
//!
//! What every page can rely on stands in the layers of [`router`]: a verified session (`session`), the headers that
//! keep a page to itself (`headers`), and, for whatever changes something, the two checks of `csrf`. The REST API does
//! not know the cookie, so nothing but these pages can be called with it.

mod address;
mod assets;
mod chart;
mod cookie;
mod csrf;
mod days;
mod error;
mod filter;
mod headers;
mod layout;
mod local_path;
mod pager;
mod pages;
mod parts;
mod periods;
mod session;
mod snippets;
mod steps;
mod sums;
mod wording;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

pub(crate) use cookie::OverTls;

use crate::api::ApiState;
use crate::service::error::ServiceError;
use error::PageError;

/// The largest form.
const BODY_LIMIT: usize = 64 * 1024;

/// No page takes longer.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Whether a path is for the REST API, or a probe, rather than for a page.
pub(crate) fn is_api(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/api") || path.starts_with("/api/")
}

/// All pages. The layers, the outermost last: the headers that every answer gets, then the time limit, then who asks.
pub(crate) fn router(state: ApiState) -> Router {
    let for_anybody = Router::new()
        .route("/login", get(pages::login::form).post(pages::login::submit))
        .route("/setup", get(pages::setup::form).post(pages::setup::submit))
        .layer(from_fn_with_state(state.clone(), csrf::visitor));
    let signed_in = Router::new()
        .route("/", get(pages::home::show))
        .route("/logout", get(pages::logout::ask).post(pages::logout::submit))
        .route(
            "/cli-auth",
            get(pages::cli_auth::ask).post(pages::cli_auth::confirm),
        )
        .route("/settings/tokens", get(pages::tokens::list))
        .route(
            "/settings/tokens/new",
            get(pages::token_create::form).post(pages::token_create::submit),
        )
        .route(
            "/settings/tokens/{id}/delete",
            get(pages::token_delete::ask).post(pages::token_delete::submit),
        )
        .route("/settings/sessions", get(pages::sessions::list))
        .route(
            "/settings/sessions/end-all",
            get(pages::sessions::ask_all).post(pages::sessions::end_all),
        )
        .route(
            "/settings/sessions/{id}/end",
            get(pages::sessions::ask).post(pages::sessions::end),
        )
        .route(
            "/settings/password",
            get(pages::password::form).post(pages::password::submit),
        )
        .merge(of_the_gateway())
        .merge(people())
        .route_layer(from_fn_with_state(state.clone(), session::required));
    for_anybody
        .merge(signed_in)
        .route("/cli-auth/done", get(pages::cli_auth::done))
        .route("/assets/{name}", get(assets::serve))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(state)
        .layer(from_fn(within_time))
        .layer(from_fn(headers::add))
}

/// What the gateway does and did.
fn of_the_gateway() -> Router<ApiState> {
    Router::new()
        .route("/ai-gateway/sessions", get(pages::ai_sessions::list))
        .route("/ai-gateway/sessions/{id}", get(pages::ai_session::show))
        .route("/ai-gateway/export/{name}", get(pages::ai_sessions::export))
        .route("/ai-gateway/interceptions/{id}", get(pages::interception::show))
        .route(
            "/ai-gateway/interceptions/{id}/all.json",
            get(pages::interception::json),
        )
        .route(
            "/ai-gateway/interceptions/{id}/text/{part}",
            get(pages::interception::text),
        )
        .route("/ai-gateway/usage", get(pages::usage::show))
        .route("/ai-gateway/providers", get(pages::providers::list))
        .route("/ai-gateway/proxy", get(pages::proxy::show))
        .route("/ai-gateway/proxy/ca-cert.pem", get(pages::proxy::certificate))
        .route("/audit", get(pages::audit::list))
}

/// The pages about people and service accounts.
fn people() -> Router<ApiState> {
    use pages::people::{create, delete, list, password, person, status};
    use pages::{token_create, token_delete};
    Router::new()
        .route("/users", get(list::list))
        .route("/users/new", get(create::form).post(create::submit))
        .route("/users/{id}", get(person::show))
        .route(
            "/users/{id}/roles",
            get(person::ask_again).post(person::set_roles),
        )
        .route("/users/{id}/suspend", get(status::ask).post(status::suspend))
        .route(
            "/users/{id}/activate",
            get(person::ask_again).post(status::activate),
        )
        .route("/users/{id}/password", get(password::form).post(password::submit))
        .route("/users/{id}/delete", get(delete::ask).post(delete::submit))
        .route(
            "/users/{id}/tokens/new",
            get(token_create::form_for).post(token_create::submit_for),
        )
        .route(
            "/users/{id}/tokens/{token}/delete",
            get(token_delete::ask_for).post(token_delete::submit_for),
        )
}

/// Programs with a wrong base URL end up here, too, and are told in the way of the REST API.
async fn not_found(request: Request) -> Response {
    let is_page = request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    if is_page {
        PageError::not_found().into_response()
    } else {
        crate::api::not_found().await.into_response()
    }
}

async fn method_not_allowed() -> PageError {
    PageError::method_not_allowed()
}

async fn within_time(request: Request, next: Next) -> Result<Response, PageError> {
    tokio::time::timeout(TIME_LIMIT, next.run(request))
        .await
        .map_err(|_| ServiceError::OutOfTime.into())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_may_have_been_done() {
        let router = Router::new()
            .route("/", get(std::future::pending::<()>))
            .layer(from_fn(within_time));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
        let page = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let page = std::str::from_utf8(&page).unwrap();
        assert!(
            page.contains("not known whether it was done") && !page.contains("Nothing was done"),
            "{page}"
        );
    }
}
