//! Sessions: a page, all of them, or one with its threads.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gateway_api_types::{AiSession, AiSessionDetail, AiSessionsPage, ErrorReply};
use gateway_core::InterceptionId;
use gateway_store::{MAX_THREAD_INTERCEPTIONS, Steps, ThreadPage};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{RecordsQuery, view};
use crate::api::export::{Columns, Form, Line, Outlet, Pages};
use crate::api::extract::{AppPath, AppQuery, Caller};
use crate::api::query::given;
use crate::api::{ApiError, ApiState};
use crate::service::Services;
use crate::service::error::ServiceError;
use crate::service::records::{Names, RecordPages, RecordQuery};

/// How many threads are shown unless asked.
const THREADS: u32 = 50;

/// Of each thread: all, as far as they fit.
const STEPS: Steps = Steps {
    skip: 0,
    take: MAX_THREAD_INTERCEPTIONS + 1,
};

/// Which threads of a session.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ThreadsQuery {
    /// Only threads that come after this one in the list, which are the older ones.
    after_id: Option<String>,
    /// The last threads that come before this one. Not both.
    before_id: Option<String>,
    /// 1 to 200; 50 unless given.
    limit: Option<u32>,
}

/// Lists sessions, those that began last first: one's own, for auditors and owners all.
///
/// With `Accept: text/csv` or `application/x-ndjson` all of them, or as many as `limit` says, in one streamed answer.
/// It is whole only if it ends as HTTP says that it ends.
#[utoipa::path(get, path = "/api/v2/aibridge/sessions", operation_id = "list_sessions",
    tag = "aibridge", params(RecordsQuery),
    security(("token" = [])), responses(
        (status = 200, content(
            (AiSessionsPage = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"),
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
        .list_ai_sessions(&caller.requester, query.record_query()?, limit)
        .await?;
    let mut names = Names::default();
    names
        .learn(services, page.rows.iter().map(|row| row.initiator_id))
        .await?;
    caller.still()?;
    Ok(Json(AiSessionsPage {
        count: page.count,
        count_capped: page.is_capped,
        sessions: page
            .rows
            .into_iter()
            .map(|row| view::session(row, &names))
            .collect(),
    })
    .into_response())
}

/// Shows a session with a page of its threads, by its id or the one that its client gave it.
#[utoipa::path(get, path = "/api/v2/aibridge/sessions/{id}", operation_id = "show_session", tag = "aibridge",
    params(("id" = String, Path), ThreadsQuery), security(("token" = [])), responses(
        (status = 200, body = AiSessionDetail),
        (status = 400, body = ErrorReply),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
        (status = 429, body = ErrorReply, description = "The caller is reading as many long answers as one may"),
    ))]
pub(in crate::api) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    outlet: Outlet,
    AppPath(id): AppPath<String>,
    AppQuery(query): AppQuery<ThreadsQuery>,
) -> Result<Response, ApiError> {
    let services = &state.services;
    let limit = query.limit.unwrap_or(THREADS);
    let (session, threads) = services
        .find_ai_session(&caller.requester, &id, thread_page(query)?, limit, STEPS)
        .await?;
    let mut names = Names::default();
    names.learn(services, [session.initiator_id]).await?;
    let shown = AiSessionDetail {
        head: view::session_head(session, &names),
        threads: threads.into_iter().filter_map(view::thread).collect(),
    };
    Ok(outlet.hold(Json(shown).into_response(), caller).await?)
}

fn thread_page(query: ThreadsQuery) -> Result<ThreadPage, ApiError> {
    let id = |field: &str, text: Option<String>| {
        let parsed = given(text).map(|text| text.parse::<InterceptionId>()).transpose();
        parsed.map_err(|error| ApiError::field(field, error.to_string()))
    };
    match (id("after_id", query.after_id)?, id("before_id", query.before_id)?) {
        (None, None) => Ok(ThreadPage::First),
        (Some(after), None) => Ok(ThreadPage::OlderThan(after)),
        (None, Some(before)) => Ok(ThreadPage::NewerThan(before)),
        (Some(_), Some(_)) => Err(ApiError::field("before_id", "does not go with after_id")),
    }
}

/// All sessions that match, or as many as `limit` says, as one streamed answer.
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

/// The sessions of an export.
struct Source {
    pages: RecordPages,
    names: Names,
}

impl Pages for Source {
    type Row = AiSession;

    async fn next(&mut self, at_most: u64) -> Result<Vec<AiSession>, ServiceError> {
        let page = self.pages.sessions(at_most).await?;
        let initiators = page.iter().map(|row| row.initiator_id);
        self.names.learn(self.pages.services(), initiators).await?;
        Ok(page
            .into_iter()
            .map(|row| view::session(row, &self.names))
            .collect())
    }
}

impl Columns for AiSession {
    const NAME: &'static str = "sessions";

    const COLUMNS: &'static [&'static str] = &[
        "id",
        "session_id",
        "started_at",
        "ended_at",
        "last_active_at",
        "initiator_id",
        "initiator_username",
        "initiator_name",
        "client",
        "providers",
        "models",
        "threads",
        "interceptions",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_write_input_tokens",
        "reasoning_tokens",
        "last_prompt",
    ];

    fn cells(&self, line: &mut Line) {
        let head = &self.head;
        line.value(head.id);
        line.text(&head.session_id);
        line.value(head.started_at);
        line.maybe(head.ended_at);
        line.value(head.last_active_at);
        line.value(head.initiator.id);
        line.text(&head.initiator.username);
        line.text(&head.initiator.name);
        line.text(&head.client);
        line.text(&head.providers.join(" "));
        line.text(&head.models.join(" "));
        line.value(self.threads);
        line.value(head.interceptions);
        line.tokens(&head.token_usage_summary);
        line.maybe_text(head.last_prompt.as_deref());
    }
}
