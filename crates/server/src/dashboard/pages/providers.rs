//! The provider instances as they are configured, and how they fare, for those who may read records.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::interception::Outcome;
use gateway_core::{Permission, Timestamp};
use gateway_store::{Interception, InterceptionFilter, UsageKey, UsageQuery, UsageRow};
use jiff::ToSpan as _;

use crate::api::ApiState;
use crate::dashboard::days;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{Page, Place, render};
use crate::dashboard::parts::When;
use crate::dashboard::session::Session;
use crate::dashboard::wording::{self, counted, number, shortened};
use crate::provider_facts::ProviderFacts;
use crate::service::records::RecordQuery;
use crate::service::require;

/// How many days are summed up, today included.
const DAYS: i64 = 7;

/// Among how many of the last requests an error is looked for.
const LOOKED_AT: u64 = 20;

/// How much of an error is shown, in characters.
const ERROR: usize = 300;

#[derive(Template)]
#[template(path = "providers.html")]
struct ProvidersPage {
    page: Page,
    since: String,
    providers: Vec<Provider>,
}

/// One instance.
struct Provider {
    name: String,
    kind: &'static str,
    base_url: String,
    /// What clients use as their base URL.
    client_url: String,
    key: String,
    intercepted: Vec<String>,
    requests: String,
    errors: String,
    last_error: Option<LastError>,
}

struct LastError {
    id: String,
    at: When,
    text: String,
}

pub(in crate::dashboard) async fn list(
    State(state): State<ApiState>,
    session: Session,
) -> Result<Response, PageError> {
    require(session.requester(), Permission::ReadRecords)?;
    let now = state.services.clock.now();
    let since = days::of(now).saturating_sub((DAYS - 1).days());
    let query = UsageQuery {
        from: Some(days::beginning(since)),
        group_by: vec![UsageKey::Provider],
        ..UsageQuery::default()
    };
    let usage = state.services.usage(session.requester(), None, query).await?;
    let mut providers = Vec::new();
    for facts in state.providers.iter() {
        let row = usage
            .iter()
            .find(|row| row.provider_name.as_deref() == Some(facts.name.as_str()));
        let mut provider = Provider::new(&state, facts, row);
        if row.is_some_and(|row| row.errors > 0) {
            provider.last_error = last_error(&state, &session, facts, days::beginning(since)).await?;
        }
        providers.push(provider);
    }
    let page = ProvidersPage {
        page: Page::signed_in(&session, "Providers", Place::Providers),
        since: since.to_string(),
        providers,
    };
    Ok(render(StatusCode::OK, &page))
}

/// Of the last few requests to it.
async fn last_error(
    state: &ApiState,
    session: &Session,
    facts: &ProviderFacts,
    since: Timestamp,
) -> Result<Option<LastError>, PageError> {
    let query = RecordQuery {
        filter: InterceptionFilter {
            provider_name: Some(facts.name.to_string()),
            started_after: Some(since),
            only_ended: true,
            ..InterceptionFilter::default()
        },
        ..RecordQuery::default()
    };
    let mut pages = state.services.export_records(session.requester(), query).await?;
    let found = pages.interceptions(LOOKED_AT).await?;
    let failed = found.into_iter().find(|one| {
        matches!(
            one.outcome,
            Some(Outcome::ProviderError | Outcome::ProviderBroke | Outcome::GatewayError)
        )
    });
    Ok(failed.map(|failed| LastError::new(&failed, state.services.clock.now())))
}

// === impl LastError ===

impl LastError {
    fn new(failed: &Interception, now: Timestamp) -> Self {
        let mut text = wording::outcome(failed.outcome).text.to_owned();
        if let Some(status) = failed.status {
            text = format!("{text} (status {status})");
        }
        for more in [&failed.error_type, &failed.error_message].into_iter().flatten() {
            text.push_str(": ");
            text.push_str(more);
        }
        Self {
            id: failed.id.to_string(),
            at: When::new(failed.started_at, now),
            text: shortened(&text, ERROR),
        }
    }
}

// === impl Provider ===

impl Provider {
    fn new(state: &ApiState, facts: &ProviderFacts, usage: Option<&UsageRow>) -> Self {
        let hosts = state.proxy.iter().flat_map(|proxy| &proxy.description.hosts);
        let (requests, errors) = usage.map_or((0, 0), |row| (row.requests, row.errors));
        Self {
            name: facts.name.to_string(),
            kind: facts.kind.as_str(),
            base_url: facts.base_url.clone(),
            client_url: format!(
                "{}/api/v2/aibridge/{}",
                state.access_url.trim_end_matches('/'),
                facts.name
            ),
            key: facts.key_hint.clone().unwrap_or_default(),
            intercepted: hosts
                .filter(|host| host.provider == facts.name.as_str())
                .map(|host| format!("{}:{}", host.host, host.port))
                .collect(),
            requests: counted(requests, "request"),
            errors: number(errors),
            last_error: None,
        }
    }
}
