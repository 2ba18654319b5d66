//! Interceptions: a page, all of them, or one.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gateway_api_types::{ErrorReply, Interception, InterceptionsPage};
use gateway_core::InterceptionId;
use gateway_store as found;

use super::{RecordsQuery, view};
use crate::api::export::{self, Columns, Form, Line, Outlet, Pages};
use crate::api::extract::{AppPath, AppQuery, Caller};
use crate::api::{ApiError, ApiState};
use crate::service::Services;
use crate::service::error::ServiceError;
use crate::service::records::{Names, RecordPages, RecordQuery};

/// Lists interceptions, newest first: one's own, for auditors and owners all.
///
/// With `Accept: text/csv` or `application/x-ndjson` all of them, or as many as `limit` says, in one streamed answer.
/// It is whole only if it ends as HTTP says that it ends.
#[utoipa::path(get, path = "/api/v2/aibridge/interceptions", operation_id = "list_interceptions",
    tag = "aibridge", params(RecordsQuery),
    security(("token" = [])), responses(
        (status = 200, content(
            (InterceptionsPage = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, body = ErrorReply),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
        (status = 429, body = ErrorReply, description = "The caller has as many exports or searches going on as one may"),
    ))]
pub(in crate::api) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    form: Form,
    outlet: Outlet,
    AppQuery(query): AppQuery<RecordsQuery>,
) -> Result<Response, ApiError> {
    let services = &state.services;
    if form != Form::Json {
        let limit = query.export_limit()?;
        let query = query.record_query()?;
        return Ok(export(services, caller, query, form, outlet, limit).await?);
    }
    let limit = query.page_limit();
    let page = services
        .list_interceptions(&caller.requester, query.record_query()?, limit)
        .await?;
    let mut names = Names::default();
    names
        .learn(services, page.rows.iter().map(|row| row.initiator_id))
        .await?;
    caller.still()?;
    Ok(Json(InterceptionsPage {
        count: page.count,
        count_capped: page.is_capped,
        results: page
            .rows
            .into_iter()
            .map(|row| view::interception(row, &names))
            .collect(),
    })
    .into_response())
}

/// Shows an interception. As CSV or NDJSON, too, by `Accept`.
#[utoipa::path(get, path = "/api/v2/aibridge/interceptions/{id}", operation_id = "show_interception", tag = "aibridge",
    params(("id" = String, Path)), security(("token" = [])), responses(
        (status = 200, content(
            (Interception = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
        (status = 429, body = ErrorReply, description = "The caller is reading as many long answers as one may"),
    ))]
pub(in crate::api) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    form: Form,
    outlet: Outlet,
    AppPath(id): AppPath<String>,
) -> Result<Response, ApiError> {
    let id = id
        .parse::<InterceptionId>()
        .map_err(|_| ServiceError::NotFound("interception"))?;
    let services = &state.services;
    let found = services.find_interception(&caller.requester, id).await?;
    let shown = view(services, found).await?;
    let response = match form {
        Form::Json => Json(shown).into_response(),
        form => export::whole(form, &[shown]),
    };
    Ok(outlet.hold(response, caller).await?)
}

/// An interception as the API shows it.
pub(crate) async fn view(
    services: &Services,
    found: found::Interception,
) -> Result<Interception, ServiceError> {
    let mut names = Names::default();
    names.learn(services, [found.initiator_id]).await?;
    Ok(view::interception(found, &names))
}

/// All interceptions that match, or as many as `limit` says, as one streamed answer.
pub(crate) async fn export(
    services: &Services,
    caller: Caller,
    query: RecordQuery,
    form: Form,
    outlet: Outlet,
    limit: u64,
) -> Result<Response, ServiceError> {
    let pages = services.export_records(&caller.requester, query).await?;
    let source = Source {
        pages,
        names: Names::default(),
    };
    outlet.stream(form, source, limit, caller).await
}

/// The interceptions of an export.
struct Source {
    pages: RecordPages,
    names: Names,
}

impl Pages for Source {
    type Row = Interception;

    async fn next(&mut self, at_most: u64) -> Result<Vec<Interception>, ServiceError> {
        let page = self.pages.interceptions(at_most).await?;
        let initiators = page.iter().map(|row| row.initiator_id);
        self.names.learn(self.pages.services(), initiators).await?;
        Ok(page
            .into_iter()
            .map(|row| view::interception(row, &self.names))
            .collect())
    }
}

impl Columns for Interception {
    const NAME: &'static str = "interceptions";

    const COLUMNS: &'static [&'static str] = &[
        "id",
        "started_at",
        "ended_at",
        "initiator_id",
        "initiator_username",
        "initiator_name",
        "api_key_id",
        "provider",
        "provider_name",
        "route",
        "model",
        "answered_model",
        "client",
        "client_version",
        "user_agent",
        "client_session_id",
        "session_id",
        "thread_parent_id",
        "thread_root_id",
        "credential_kind",
        "credential_hint",
        "is_streamed",
        "status",
        "outcome",
        "stop_reason",
        "error_type",
        "error_message",
        "provider_response_id",
        "marks",
        "observation_incomplete",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_write_input_tokens",
        "reasoning_tokens",
        "tools",
        "prompt",
    ];

    fn cells(&self, line: &mut Line) {
        let usage = self.token_usages.first();
        let tools: Vec<&str> = self.tool_usages.iter().map(|tool| tool.tool.as_str()).collect();
        line.value(self.id);
        line.value(self.started_at);
        line.maybe(self.ended_at);
        line.value(self.initiator.id);
        for text in [
            &self.initiator.username,
            &self.initiator.name,
            &self.api_key_id,
            &self.provider,
            &self.provider_name,
            &self.route,
            &self.model,
        ] {
            line.text(text);
        }
        line.maybe_text(self.answered_model.as_deref());
        line.text(&self.client);
        line.maybe_text(self.client_version.as_deref());
        line.maybe_text(self.user_agent.as_deref());
        line.maybe_text(self.client_session_id.as_deref());
        line.text(&self.session_id);
        line.maybe(self.thread_parent_id);
        line.maybe(self.thread_root_id);
        line.text(&self.credential_kind);
        line.text(&self.credential_hint);
        line.value(self.is_streamed);
        line.maybe(self.status);
        for text in [
            &self.outcome,
            &self.stop_reason,
            &self.error_type,
            &self.error_message,
            &self.provider_response_id,
        ] {
            line.maybe_text(text.as_deref());
        }
        line.text(&self.marks.join(" "));
        line.value(self.observation_incomplete);
        line.maybe(usage.map(|usage| usage.input_tokens));
        line.maybe(usage.map(|usage| usage.output_tokens));
        line.maybe(usage.map(|usage| usage.cache_read_input_tokens));
        line.maybe(usage.map(|usage| usage.cache_write_input_tokens));
        line.maybe(usage.and_then(|usage| usage.reasoning_tokens));
        line.text(&tools.join(" "));
        line.maybe_text(self.prompt());
    }
}
