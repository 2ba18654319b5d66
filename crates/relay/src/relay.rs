//! From a request to an answer: route, authenticate, decide, receive, send, stream.
//!
//! One function a step, over plain values; each step that says no makes a [`Refusal`], which becomes an answer in
//! the provider's envelope in one place. Who may is in `allow`, what a body says in `inspect`, the exchange with the
//! provider and its record in `exchange`.

mod allow;
mod exchange;
mod inspect;

use std::collections::HashMap;
use std::sync::Arc;

use gateway_core::TokenId;
use gateway_core::token::hides_token;
use gateway_llm::error::ErrorKind;
use gateway_llm::route::{Family, route};
use http::header::{CONTENT_TYPE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::access::checkpoint::Step;
use crate::body::{RequestBody, ResponseBody};
use crate::budget::Budget;
use crate::listen::Downstream;
use crate::options::{RelayCounters, RelayError, RelayOptions};
use crate::prepare::Provider;
use crate::recorder::Recorder;
use crate::refuse::{Drains, Refusal};
use crate::target::Target;
use crate::upstream::Upstream;

/// How many larger or encoded bodies are looked into at once.
const DECODERS: usize = 4;

/// The data plane.
pub struct Relay {
    providers: HashMap<String, Provider>,
    options: RelayOptions,
    access: Arc<Access>,
    recorder: Recorder,
    upstream: Upstream,
    /// Memory for the bodies of requests, and for what is held of answers. Two, so that neither can use up the other's.
    budget: Budget,
    answers: Budget,
    counters: RelayCounters,
    decoders: Arc<Semaphore>,
    drains: Drains,
}

// === impl Relay ===

impl Relay {
    /// The recorder's writer must be running for as long as there are requests.
    pub fn new(
        options: RelayOptions,
        access: Arc<Access>,
        recorder: Recorder,
        tasks: TaskTracker,
    ) -> Result<Self, RelayError> {
        let mut providers = HashMap::new();
        for config in &options.providers {
            providers.insert(config.name.as_str().to_owned(), Provider::new(config)?);
        }
        Ok(Self {
            providers,
            upstream: Upstream::new(&options.proxies, &options.roots, options.connect_timeout)?,
            budget: Budget::new(options.body_memory / 4 * 3),
            answers: Budget::new(options.body_memory / 4),
            counters: RelayCounters::default(),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            options,
            access,
            recorder,
            drains: Drains::new(tasks),
        })
    }

    pub fn counters(&self) -> &RelayCounters {
        &self.counters
    }

    /// Answers one request of the data plane. Dropping the future ends the exchange with the provider.
    pub async fn handle(&self, request: Request<RequestBody>) -> Response<ResponseBody> {
        let (parts, mut body) = request.into_parts();
        let target = Target::parse(parts.uri.path());
        let provider = target.and_then(|target| self.providers.get(target.provider));
        let family = provider.map_or_else(|| guess_family(&parts), |provider| provider.family);
        let outcome = match (target, provider) {
            (Some(target), Some(provider)) if self.options.enabled => {
                self.answer(&parts, &mut body, target, provider).await
            }
            _ => Err(Refusal::new(
                ErrorKind::NotFound,
                "there is no such provider on this gateway",
            )),
        };
        outcome.unwrap_or_else(|refusal| {
            tracing::debug!(kind = ?refusal.kind, reason = refusal.message, "a request was refused");
            self.drains.drain(&parts.headers, body);
            refusal.into_response(family)
        })
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: &mut RequestBody,
        target: Target<'_>,
        provider: &Provider,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if target.is_base() && matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(greeting());
        }
        if parts.headers.contains_key(UPGRADE) && is_websocket(&parts.headers) {
            return Err(Refusal::new(
                ErrorKind::UpgradeRequired,
                "this gateway does not serve WebSockets; send the request by POST",
            ));
        }
        let route = route(provider.family, parts.method.as_str(), target.rest)
            .map_err(|_| Refusal::new(ErrorKind::NotFound, not_routed(parts, target)))?;
        let allowed = self.allow(parts, &route, provider).await?;
        // From here on the request ends when its token does, whatever it waits for.
        let in_flight = allowed.admission.in_flight();
        let downstream = parts.extensions.get::<Downstream>().cloned();
        tokio::select! {
            biased;
            () = in_flight.cut_token().cancelled() => Err(allow::invalid_token()),
            outcome = self.relay(parts, body, allowed, downstream) => outcome,
        }
    }

    async fn reach(&self, step: Step, token: TokenId) {
        self.options.checkpoints.reach(step, token).await;
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("providers", &self.providers)
            .finish_non_exhaustive()
    }
}

fn greeting() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full("OK\n"));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    *response.status_mut() = StatusCode::OK;
    response
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_all(UPGRADE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
        })
}

/// The envelope for a request that names no provider we know: by what only clients of one kind send.
fn guess_family(parts: &Parts) -> Family {
    if parts.headers.contains_key("anthropic-version") || parts.uri.path().contains("/messages") {
        Family::Anthropic
    } else {
        Family::OpenAi
    }
}

fn not_routed(parts: &Parts, target: Target<'_>) -> String {
    // A path in another spelling is not repeated: it could hide what must not be logged.
    if hides_token(target.rest.as_bytes()) || target.rest.contains('%') {
        return format!("route not supported: {} with such a path", parts.method);
    }
    let path: String = target.rest.chars().take(128).collect();
    format!("route not supported: {} {path}", parts.method)
}
