//! The AI Gateway Proxy: how to reach it, and what to trust.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use gateway_api_types::{AiProxy, ErrorReply};

use crate::api::extract::Caller;
use crate::api::{ApiError, ApiState};

/// Tells whether the AI Gateway Proxy runs, how clients reach it and what it intercepts.
#[utoipa::path(get, path = "/api/v2/aibridge/proxy", operation_id = "show_proxy",
    tag = "aibridge", security(("token" = [])),
    responses(
        (status = 200, body = AiProxy),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
    ))]
pub(in crate::api) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Json<AiProxy>, ApiError> {
    caller.still()?;
    let description = state.proxy.map(|facts| facts.description.clone());
    Ok(Json(description.unwrap_or_default()))
}

/// Gives the certificate authority that clients of the AI Gateway Proxy must trust, in PEM form.
#[utoipa::path(get, path = "/api/v2/aibridge/proxy/ca-cert.pem", operation_id = "show_proxy_certificate",
    tag = "aibridge", security(("token" = [])),
    responses(
        (status = 200, body = String, content_type = "application/x-pem-file"),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply, description = "The proxy is off"),
    ))]
pub(in crate::api) async fn certificate(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<impl IntoResponse, ApiError> {
    caller.still()?;
    let Some(facts) = state.proxy else {
        let reply = ErrorReply::new("the AI Gateway Proxy is off");
        return Err(ApiError::new(StatusCode::NOT_FOUND, reply));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"ca-cert.pem\"",
        ),
    ];
    Ok((headers, facts.certificate_pem.clone()))
}
