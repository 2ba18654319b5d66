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
use std::sync::atomic::Ordering;

use gateway_core::TokenId;
use gateway_core::token::hides_token;
use gateway_llm::error::ErrorKind;
use gateway_llm::route::{Family, Route, route};
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
use crate::options::{RelayCounters, RelayError, RelayOptions, SideCalls};
use crate::pinned::Pinned;
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

/// What a request is for: by a path on the gateway, or by the provider's own address.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    provider: &'a Provider,
    /// Behind the provider's base URL; none if there is no such path.
    path: Option<&'a str>,
    /// The path as the client knows it.
    shown: &'a str,
    /// The base URL of clients itself.
    is_base: bool,
    /// How it came, if through the proxy.
    pinned: Option<&'a Pinned>,
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
        let wanted = self.wanted(&parts);
        let family = wanted.map_or_else(|| guess_family(&parts), Wanted::family);
        let outcome = match wanted {
            Some(wanted) if self.options.enabled => self.answer(&parts, &mut body, wanted).await,
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

    fn wanted<'a>(&'a self, parts: &'a Parts) -> Option<Wanted<'a>> {
        let path = parts.uri.path();
        if let Some(pinned) = parts.extensions.get::<Pinned>() {
            let provider = self.providers.get(pinned.provider.as_str())?;
            return Some(Wanted {
                provider,
                path: provider.below_base(path),
                shown: path,
                is_base: false,
                pinned: Some(pinned),
            });
        }
        let target = Target::parse(path)?;
        let provider = self.providers.get(target.provider)?;
        Some(Wanted {
            provider,
            path: provider.list.below_base(target.rest),
            shown: target.rest,
            is_base: target.is_base(),
            pinned: None,
        })
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: &mut RequestBody,
        wanted: Wanted<'_>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if wanted.is_base && matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(greeting());
        }
        if parts.headers.contains_key(UPGRADE) && is_websocket(&parts.headers) {
            return Err(Refusal::new(
                ErrorKind::UpgradeRequired,
                "this gateway does not serve WebSockets; send the request by POST",
            ));
        }
        let route = wanted.route(&parts.method)?;
        if self.options.side_calls == SideCalls::Refuse && route.side_call.is_some() {
            return Err(self.side_call_refused(&route));
        }
        let allowed = self.allow(parts, &route, wanted).await?;
        // From here on the request ends when its token does, whatever it waits for.
        let in_flight = allowed.admission.in_flight();
        let downstream = parts.extensions.get::<Downstream>().cloned();
        tokio::select! {
            biased;
            () = in_flight.cut_token().cancelled() => Err(allow::invalid_token()),
            outcome = self.relay(parts, body, allowed, downstream) => outcome,
        }
    }

    /// Counted by the few kinds there are, whoever makes them.
    fn side_call_refused(&self, route: &Route<'_>) -> Refusal {
        if let Some(call) = route.side_call {
            self.counters
                .refused_side_calls
                .of(call)
                .fetch_add(1, Ordering::Relaxed);
        }
        Refusal::new(
            ErrorKind::NotFound,
            "this gateway does not relay calls that are not for a model",
        )
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

// === impl Wanted ===

impl<'a> Wanted<'a> {
    fn family(self) -> Family {
        self.provider.list.family(self.path.unwrap_or_default())
    }

    fn route(self, method: &Method) -> Result<Route<'a>, Refusal> {
        self.path
            .and_then(|path| route(self.provider.list, method.as_str(), path).ok())
            .ok_or_else(|| Refusal::new(ErrorKind::NotFound, not_routed(method, self.shown)))
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

fn not_routed(method: &Method, path: &str) -> String {
    // A path in another spelling is not repeated: it could hide what must not be logged.
    if hides_token(path.as_bytes()) || path.contains('%') {
        return format!("route not supported: {method} with such a path");
    }
    let path: String = path.chars().take(128).collect();
    format!("route not supported: {method} {path}")
}
