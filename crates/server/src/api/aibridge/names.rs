//! Names that occur in what was recorded.

use axum::Json;
use axum::extract::State;
use gateway_api_types::ErrorReply;
use serde::Deserialize;
use utoipa::IntoParams;

use super::PAGE;
use crate::api::extract::{AppQuery, Caller};
use crate::api::{ApiError, ApiState};

/// Which names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct NamesQuery {
    /// How they begin.
    prefix: Option<String>,
    /// 1 to 1000; 100 unless given.
    limit: Option<u32>,
}

/// Lists models that were asked for, in order.
#[utoipa::path(get, path = "/api/v2/aibridge/models", operation_id = "list_models",
    tag = "aibridge", params(NamesQuery), security(("token" = [])),
    responses(
        (status = 200, body = Vec<String>),
        (status = 400, body = ErrorReply),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
    ))]
pub(in crate::api) async fn models(
    State(state): State<ApiState>,
    caller: Caller,
    AppQuery(query): AppQuery<NamesQuery>,
) -> Result<Json<Vec<String>>, ApiError> {
    let (prefix, limit) = (query.prefix.unwrap_or_default(), query.limit.unwrap_or(PAGE));
    let names = state.services.models(&caller.requester, &prefix, limit).await?;
    caller.still()?;
    Ok(Json(names))
}

/// Lists clients that asked, in order.
#[utoipa::path(get, path = "/api/v2/aibridge/clients", operation_id = "list_clients",
    tag = "aibridge", params(NamesQuery), security(("token" = [])),
    responses(
        (status = 200, body = Vec<String>),
        (status = 400, body = ErrorReply),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
    ))]
pub(in crate::api) async fn clients(
    State(state): State<ApiState>,
    caller: Caller,
    AppQuery(query): AppQuery<NamesQuery>,
) -> Result<Json<Vec<String>>, ApiError> {
    let (prefix, limit) = (query.prefix.unwrap_or_default(), query.limit.unwrap_or(PAGE));
    let names = state.services.clients(&caller.requester, &prefix, limit).await?;
    caller.still()?;
    Ok(Json(names))
}
