//! What was recorded of requests to providers: interceptions, sessions, sums. And the proxy on the way to them.
//!
//! The same handlers stand under both prefixes of the data plane, where their first segments can be no names of
//! providers.

#![expect(unused_qualifications, reason = "the macro of utoipa writes its paths whole")]

use axum::Router;
use axum::routing::get;
use gateway_core::InterceptionId;
use gateway_store::InterceptionFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::query::{given, time};
use super::{ApiError, ApiState};
use crate::service::records::RecordQuery;

pub(crate) mod interceptions;
pub(super) mod names;
pub(super) mod proxy;
pub(crate) mod sessions;
pub(super) mod usage;
mod view;

/// How many rows a page has unless asked.
const PAGE: u32 = 100;

/// What every prefix has below it.
pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/interceptions", get(interceptions::list))
        .route("/interceptions/{id}", get(interceptions::show))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::show))
        .route("/usage", get(usage::sums))
        .route("/models", get(names::models))
        .route("/clients", get(names::clients))
        .route("/proxy", get(proxy::show))
        .route("/proxy/ca-cert.pem", get(proxy::certificate))
}

/// Which interceptions, or sessions with such interceptions. What is given must all be true of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordsQuery {
    /// Id or username of a user, or `me`.
    initiator: Option<String>,
    /// Name of a provider instance, or what providers speak, such as `anthropic`.
    provider: Option<String>,
    /// Name of a provider instance.
    provider_name: Option<String>,
    /// As asked for.
    model: Option<String>,
    /// Such as `Claude Code`.
    client: Option<String>,
    session_id: Option<String>,
    /// RFC 3339; not older than this, to the millisecond.
    started_after: Option<String>,
    /// RFC 3339; older than this, to the millisecond.
    started_before: Option<String>,
    /// A part of the prompt, at most 256 bytes. Letters of ASCII match in either case.
    search: Option<String>,
    /// Only those that come after this one in the list, which are the older ones. Of sessions also as
    /// `after_session_id`.
    #[serde(alias = "after_session_id")]
    after_id: Option<String>,
    /// 1 to 1000, and 100 unless given; of an export any number, and all unless given.
    limit: Option<u64>,
}

/// The longest text that prompts are searched for.
const SEARCH: usize = 256;

// === impl RecordsQuery ===

impl RecordsQuery {
    /// For a page; that it is within bounds is checked further on.
    fn page_limit(&self) -> u32 {
        self.limit
            .map_or(PAGE, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
    }

    fn export_limit(&self) -> Result<u64, ApiError> {
        match self.limit {
            Some(0) => Err(ApiError::field("limit", "must be 1 or more")),
            limit => Ok(limit.unwrap_or(u64::MAX)),
        }
    }

    fn record_query(self) -> Result<RecordQuery, ApiError> {
        let after = given(self.after_id)
            .map(|id| id.parse::<InterceptionId>())
            .transpose();
        let search = given(self.search);
        if search.as_ref().is_some_and(|part| part.len() > SEARCH) {
            return Err(ApiError::field(
                "search",
                format!("must be {SEARCH} bytes at most"),
            ));
        }
        Ok(RecordQuery {
            initiator: given(self.initiator),
            filter: InterceptionFilter {
                initiator: None,
                provider: given(self.provider),
                provider_name: given(self.provider_name),
                model: given(self.model),
                client: given(self.client),
                session_id: given(self.session_id),
                started_after: time("started_after", self.started_after)?,
                started_before: time("started_before", self.started_before)?,
                text: search,
                only_ended: false,
            },
            after: after.map_err(|error| ApiError::field("after_id", error.to_string()))?,
        })
    }
}
