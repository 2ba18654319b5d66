//! Sums of what was used up.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gateway_api_types::{ErrorReply, Usage, UsagePage};
use gateway_store::{UsageKey, UsageQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view;
use crate::api::export::{self, Columns, Form, Line};
use crate::api::extract::{AppQuery, Caller};
use crate::api::query::{given, time};
use crate::api::{ApiError, ApiState};
use crate::service::records::Names;

/// What to sum up, and by what.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct SumsQuery {
    /// Some of `user`, `provider`, `model`, `client` and `day`, separated by commas, in the order in which to sort;
    /// one sum of all unless given.
    group_by: Option<String>,
    /// Id or username of a user, or `me`.
    initiator: Option<String>,
    /// Name of a provider instance.
    provider: Option<String>,
    /// As asked for.
    model: Option<String>,
    client: Option<String>,
    /// RFC 3339; from the day on that this is in, UTC.
    started_after: Option<String>,
    /// RFC 3339; up to the day before the one that begins with this, or with the day that this is in.
    started_before: Option<String>,
}

const KEYS: [(&str, UsageKey); 5] = [
    ("user", UsageKey::User),
    ("provider", UsageKey::Provider),
    ("model", UsageKey::Model),
    ("client", UsageKey::Client),
    ("day", UsageKey::Day),
];

/// Sums up tokens and requests of what has ended, by whole days, UTC: one's own, for auditors and owners of all.
///
/// As CSV or NDJSON, too, by `Accept`.
#[utoipa::path(get, path = "/api/v2/aibridge/usage", operation_id = "usage",
    tag = "aibridge", params(SumsQuery), security(("token" = [])),
    responses(
        (status = 200, content(
            (UsagePage = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, body = ErrorReply),
        (status = 401, body = ErrorReply),
        (status = 403, body = ErrorReply),
    ))]
pub(in crate::api) async fn sums(
    State(state): State<ApiState>,
    caller: Caller,
    form: Form,
    AppQuery(query): AppQuery<SumsQuery>,
) -> Result<Response, ApiError> {
    let services = &state.services;
    let wanted = UsageQuery {
        initiator: None,
        provider_name: given(query.provider),
        model: given(query.model),
        client: given(query.client),
        from: time("started_after", query.started_after)?,
        until: time("started_before", query.started_before)?,
        group_by: keys(query.group_by.as_deref().unwrap_or_default())?,
        limit: None,
    };
    let initiator = given(query.initiator);
    let rows = services
        .usage(&caller.requester, initiator.as_deref(), wanted)
        .await?;
    let mut names = Names::default();
    names
        .learn(services, rows.iter().filter_map(|row| row.initiator_id))
        .await?;
    caller.still()?;
    let results: Vec<Usage> = rows.into_iter().map(|row| view::usage(row, &names)).collect();
    Ok(match form {
        Form::Json => Json(UsagePage { results }).into_response(),
        form => export::whole(form, &results),
    })
}

fn keys(list: &str) -> Result<Vec<UsageKey>, ApiError> {
    let mut keys = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let Some((_, key)) = KEYS.iter().find(|(name, _)| *name == word) else {
            return Err(ApiError::field(
                "group_by",
                "takes user, provider, model, client and day, separated by commas",
            ));
        };
        if !keys.contains(key) {
            keys.push(*key);
        }
    }
    Ok(keys)
}

impl Columns for Usage {
    const NAME: &'static str = "usage";

    const COLUMNS: &'static [&'static str] = &[
        "day",
        "initiator_id",
        "initiator_username",
        "initiator_name",
        "provider_name",
        "model",
        "client",
        "requests",
        "errors",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_write_input_tokens",
        "reasoning_tokens",
        "first_byte_ms",
    ];

    fn cells(&self, line: &mut Line) {
        let initiator = self.initiator.as_ref();
        line.maybe_text(self.day.as_deref());
        line.maybe(initiator.map(|initiator| initiator.id));
        line.maybe_text(initiator.map(|initiator| initiator.username.as_str()));
        line.maybe_text(initiator.map(|initiator| initiator.name.as_str()));
        line.maybe_text(self.provider_name.as_deref());
        line.maybe_text(self.model.as_deref());
        line.maybe_text(self.client.as_deref());
        line.value(self.requests);
        line.value(self.errors);
        line.tokens(&self.tokens);
        line.maybe(self.first_byte_ms);
    }
}
