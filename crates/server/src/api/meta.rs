//! What needs no caller: probes, the description of the API, and what is not there.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use gateway_api_types::{BuildInfo, ErrorReply, Greeting};

use super::{ApiError, ApiState};

/// Alive, and nothing else.
#[utoipa::path(get, path = "/healthz", tag = "general", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn health() -> &'static str {
    "OK"
}

/// Whether requests could be served now: 503 says that this server should be left alone for a while, and why.
#[utoipa::path(get, path = "/readyz", tag = "general", responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 503, body = ErrorReply)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<&'static str, ApiError> {
    match state.readiness.obstacle() {
        None => Ok("OK"),
        Some(obstacle) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorReply::new(obstacle),
        )),
    }
}

/// A greeting, by which clients see what they talk to.
#[utoipa::path(get, path = "/api/v2/", tag = "general", responses((status = 200, body = Greeting)))]
pub(super) async fn greeting() -> Json<Greeting> {
    Json(Greeting {
        message: "👋".to_owned(),
    })
}

/// Version and address of the server.
#[utoipa::path(get, path = "/api/v2/buildinfo", tag = "general", responses((status = 200, body = BuildInfo)))]
pub(super) async fn build_info(State(state): State<ApiState>) -> Json<BuildInfo> {
    Json(BuildInfo::new(
        concat!("v", env!("CARGO_PKG_VERSION")),
        state.access_url,
    ))
}

/// This document.
#[utoipa::path(get, path = "/api/v2/openapi.json", tag = "general", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn document() -> impl IntoResponse {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let text = TEXT.get_or_init(|| super::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

pub(crate) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, ErrorReply::new("there is nothing here"))
}

pub(super) async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorReply::new(format!("{method} is not possible here")),
    )
}
