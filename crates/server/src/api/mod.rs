//! The REST API under `/api/v2`.
//!
//! To add an endpoint: a type in `gateway-api-types`, an operation in `service`, a handler in the file of its resource
//! with its `utoipa::path`, a line in [`router`] and one in [`openapi`]. A test compares the two lists. Handlers
//! convert; they hold no rule and no SQL.

pub(crate) mod aibridge;
mod audit;
mod error;
pub(crate) mod export;
mod extract;
mod meta;
mod query;
mod session;
mod tokens;
mod users;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use utoipa::OpenApi as _;

pub(crate) use error::ApiError;
pub(crate) use extract::{Caller, Client};
pub(crate) use meta::not_found;

use crate::config::TrustedProxies;
use crate::provider_facts::ProviderFacts;
use crate::proxy::ProxyFacts;
use crate::readiness::Readiness;
use crate::service::Services;
use crate::service::error::ServiceError;

/// The largest body that any management request has a use for.
const BODY_LIMIT: usize = 256 * 1024;

/// No management call takes longer.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) services: Services,
    /// Under which address people reach the server.
    pub(crate) access_url: String,
    /// Whose word on the client's address counts.
    pub(crate) trusted_proxies: std::sync::Arc<TrustedProxies>,
    pub(crate) readiness: Readiness,
    /// None if the AI Gateway Proxy is off.
    pub(crate) proxy: Option<std::sync::Arc<ProxyFacts>>,
    /// The provider instances, in the order of the configuration.
    pub(crate) providers: std::sync::Arc<[ProviderFacts]>,
    /// The exports that are going on.
    pub(crate) exports: export::Exports,
}

/// All layers stand here, the outermost last: the headers that every answer gets, then the time limit, since it must
/// bound all that follows it.
pub(crate) fn router(state: ApiState) -> Router {
    let v2 = Router::new()
        .route("/buildinfo", get(meta::build_info))
        .route("/openapi.json", get(meta::document))
        .route("/audit", get(audit::list))
        .route("/users", get(users::list).post(users::create))
        .route("/users/first", get(session::first).post(session::create_first))
        .route("/users/authmethods", get(session::auth_methods))
        .route("/users/login", post(session::login))
        .route("/users/login/code", post(session::login_with_code))
        .route("/users/logout", post(session::logout))
        .route("/users/roles", get(users::assignable_roles))
        .route("/users/{user}", get(users::show).delete(users::delete))
        .route("/users/{user}/profile", put(users::set_profile))
        .route("/users/{user}/status/suspend", put(users::suspend))
        .route("/users/{user}/status/activate", put(users::activate))
        .route("/users/{user}/password", put(users::set_password))
        .route("/users/{user}/roles", get(users::roles).put(users::set_roles))
        .route("/users/{user}/login-type", get(users::login_type))
        .route("/users/{user}/keys", post(tokens::create_session))
        .route(
            "/users/{user}/keys/tokens",
            get(tokens::list).post(tokens::create),
        )
        .route("/users/{user}/keys/tokens/tokenconfig", get(tokens::config))
        .route("/users/{user}/keys/tokens/{name}", get(tokens::by_name))
        .route(
            "/users/{user}/keys/{id}",
            get(tokens::show).merge(delete(tokens::remove)),
        )
        .route("/users/{user}/keys/{id}/expire", put(tokens::expire))
        .nest("/aibridge", aibridge::routes())
        .nest("/ai-gateway", aibridge::routes());
    Router::new()
        .route("/healthz", get(meta::health))
        .route("/readyz", get(meta::ready))
        .route("/api/v2/", get(meta::greeting))
        .nest("/api/v2", v2)
        .fallback(not_found)
        .method_not_allowed_fallback(meta::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(state)
        .layer(middleware::from_fn(within_time))
        .layer(middleware::from_fn(private))
}

/// Nothing of this API is for caches, and nothing of it is to be guessed at.
async fn private(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn within_time(request: axum::extract::Request, next: Next) -> Result<Response, ApiError> {
    tokio::time::timeout(TIME_LIMIT, next.run(request))
        .await
        .map_err(|_| ServiceError::OutOfTime.into())
}

/// The description of the API, generated from the types and handlers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "AI gateway", description = "Accounts, sessions, tokens, the audit log and the records of the AI gateway. \
        Whatever is below `/api/v2/aibridge` is below `/api/v2/ai-gateway`, too."),
    paths(
        meta::health, meta::greeting, meta::build_info, meta::document,
        session::first, session::create_first, session::auth_methods, session::login, session::login_with_code,
        session::logout,
        users::list, users::create, users::assignable_roles, users::show, users::delete, users::set_profile,
        users::suspend, users::activate, users::set_password, users::roles, users::set_roles, users::login_type,
        tokens::create_session, tokens::list, tokens::create, tokens::config, tokens::by_name, tokens::show,
        tokens::remove, tokens::expire, audit::list, aibridge::interceptions::list,
        aibridge::interceptions::show, aibridge::sessions::list, aibridge::sessions::show, aibridge::usage::sums,
        aibridge::names::models, aibridge::names::clients, aibridge::proxy::show, aibridge::proxy::certificate,
    ),
    modifiers(&TokenHeader),
)]
struct Document;

/// How callers authenticate.
struct TokenHeader;

impl utoipa::Modify for TokenHeader {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(
            gateway_api_types::SESSION_HEADER,
        )));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", scheme);
    }
}
