//! The audit log.

#![expect(unused_qualifications, reason = "the macro of utoipa writes its paths whole")]

use axum::Json;
use axum::extract::State;
use gateway_api_types::{AuditEntry, AuditPage, ErrorReply};
use gateway_core::audit::{Action, AuditId};
use gateway_store::AuditFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{AppQuery, Caller};
use super::query::{given, time};
use super::{ApiError, ApiState};
use crate::service::audit::PAGE;

/// Which entries to list. What is given must all be true of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Id of a user, or the username at the time.
    actor: Option<String>,
    /// Such as `login_failed`.
    action: Option<String>,
    /// Id of a user or token, or the name at the time.
    target: Option<String>,
    /// RFC 3339; not older than this.
    started_after: Option<String>,
    /// RFC 3339; older than this.
    started_before: Option<String>,
    /// Only entries that come after this one in the list, which are the older ones.
    after_id: Option<String>,
    /// 1 to 1000; 1000 unless given.
    limit: Option<u32>,
}

/// Lists administrative acts, newest first. Owners and auditors may.
#[utoipa::path(get, path = "/api/v2/audit", tag = "audit", params(ListQuery), security(("token" = [])), responses(
    (status = 200, body = AuditPage),
    (status = 400, body = ErrorReply),
    (status = 401, body = ErrorReply),
    (status = 403, body = ErrorReply),
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    AppQuery(query): AppQuery<ListQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    let filter = filter(query)?;
    let entries = state.services.list_audit(&caller.requester, filter).await?;
    caller.still()?;
    Ok(Json(AuditPage {
        results: entries.iter().map(AuditEntry::from).collect(),
    }))
}

fn filter(query: ListQuery) -> Result<AuditFilter, ApiError> {
    let action = given(query.action).map(|word| word.parse::<Action>()).transpose();
    let after = given(query.after_id).map(|id| id.parse::<AuditId>()).transpose();
    Ok(AuditFilter {
        actor: given(query.actor),
        action: action.map_err(|unknown| ApiError::field("action", unknown.to_string()))?,
        target: given(query.target),
        from: time("started_after", query.started_after)?,
        until: time("started_before", query.started_before)?,
        after: after.map_err(|error| ApiError::field("after_id", error.to_string()))?,
        limit: query.limit.unwrap_or(PAGE),
    })
}
