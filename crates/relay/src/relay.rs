//! From a request to an answer: route, authenticate, decide, receive, send, stream.
//!
//! One function a step, over plain values; each step that says no makes a [`Refusal`], which becomes an answer in
//! the provider's envelope in one place.

mod inspect;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_core::credential::{OwnCredential, Plan};
use gateway_core::token::hides_token;
use gateway_core::{ApiToken, TokenId};
use gateway_llm::error::ErrorKind;
use gateway_llm::route::{Api, Family, Route, RouteAccess, route};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::access::checkpoint::Step;
use crate::access::{Access, AccessError, Admission, Side};
use crate::answer::{Answer, AnswerContext};
use crate::body::{RequestBody, ResponseBody};
use crate::budget::Budget;
use crate::listen::{Downstream, PeerAddr};
use crate::options::{RelayCounters, RelayError, RelayOptions};
use crate::prepare::{self, Provider, UnclearCredential};
use crate::receive::{ReceiveError, receive};
use crate::refuse::{Drains, Refusal};
use crate::target::Target;
use crate::upstream::{Upstream, UpstreamBody, UpstreamError};

/// How many larger or encoded bodies are looked into at once.
const DECODERS: usize = 4;

/// The data plane.
pub struct Relay {
    providers: HashMap<String, Provider>,
    options: RelayOptions,
    access: Arc<Access>,
    upstream: Upstream,
    budget: Budget,
    counters: RelayCounters,
    decoders: Arc<Semaphore>,
    drains: Drains,
}

/// A request that may go upstream.
struct Allowed<'a> {
    provider: &'a Provider,
    api: Api,
    uri: http::Uri,
    admission: Admission,
    own: Option<OwnCredential>,
    headers: HeaderMap,
}

// === impl Relay ===

impl Relay {
    pub fn new(options: RelayOptions, access: Arc<Access>, tasks: TaskTracker) -> Result<Self, RelayError> {
        let mut providers = HashMap::new();
        for config in &options.providers {
            providers.insert(config.name.as_str().to_owned(), Provider::new(config)?);
        }
        Ok(Self {
            providers,
            upstream: Upstream::new(&options.proxies, &options.roots, options.connect_timeout)?,
            budget: Budget::new(options.body_memory),
            counters: RelayCounters::default(),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            options,
            access,
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
            () = in_flight.cut_token().cancelled() => Err(invalid_token()),
            outcome = self.relay(parts, body, allowed, downstream) => outcome,
        }
    }

    /// Who asks, and may they?
    async fn allow<'a>(
        &'a self,
        parts: &Parts,
        route: &Route<'_>,
        provider: &'a Provider,
    ) -> Result<Allowed<'a>, Refusal> {
        let presented = prepare::presented(&parts.headers).map_err(|unclear: UnclearCredential| {
            Refusal::new(ErrorKind::InvalidRequest, unclear.to_string())
        })?;
        let plan = Plan::new(presented);
        let address = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip());
        let admission = self.authenticate(&plan.candidates, address).await?;
        if !admission.principal().scopes.allows_models() {
            return Err(Refusal::new(
                ErrorKind::Permission,
                "the scope of this token does not allow calling models",
            ));
        }
        let headers = prepare::upstream_headers(&parts.headers, route.api.intercepted());
        if prepare::leaks_token(&headers, parts.uri.path(), parts.uri.query()) {
            return Err(Refusal::new(
                ErrorKind::InvalidRequest,
                "a gateway token stands in the address or in a header where it would reach the provider; \
                 send it in Authorization, X-Api-Key or X-Coder-AI-Governance-Token only",
            ));
        }
        match &plan.own {
            Some(_) if !self.options.allow_byok => {
                return Err(Refusal::new(
                    ErrorKind::Permission,
                    "bringing your own provider credential is switched off on this gateway",
                ));
            }
            None if route.access == RouteAccess::OwnCredentialOnly => {
                return Err(Refusal::new(
                    ErrorKind::NotFound,
                    "not found; this route is served with your own provider credential only",
                ));
            }
            None if !provider.has_key() => {
                return Err(Refusal::new(
                    ErrorKind::Permission,
                    format!(
                        "the organisation has no key for provider {}; bring your own",
                        provider.name
                    ),
                ));
            }
            _ => {}
        }
        let uri = provider
            .uri(route.upstream_suffix, parts.uri.query())
            .map_err(|_| {
                Refusal::new(
                    ErrorKind::InvalidRequest,
                    "the address cannot be sent to the provider",
                )
            })?;
        Ok(Allowed {
            provider,
            api: route.api,
            uri,
            admission,
            own: plan.own,
            headers,
        })
    }

    /// One valid token is enough; two of different users are not.
    async fn authenticate(&self, tokens: &[ApiToken], from: Option<IpAddr>) -> Result<Admission, Refusal> {
        let mut admitted: Option<Admission> = None;
        let mut refused: Option<AccessError> = None;
        for token in tokens {
            match self.access.admit(token, from).await {
                Ok(admission) => match &admitted {
                    Some(first) if first.principal().user_id != admission.principal().user_id => {
                        return Err(Refusal::new(
                            ErrorKind::Authentication,
                            "the request carries gateway tokens of two different users",
                        ));
                    }
                    Some(_) => {}
                    None => admitted = Some(admission),
                },
                Err(error) => refused = Some(worse(refused, error)),
            }
        }
        admitted.ok_or_else(|| match refused {
            None | Some(AccessError::Invalid) => invalid_token(),
            Some(AccessError::Expired) => {
                Refusal::new(ErrorKind::Authentication, "the gateway token has expired; create a new one")
            }
            Some(error @ (AccessError::Busy | AccessError::Unavailable(_))) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "a token could not be verified");
                Refusal::busy("tokens cannot be verified at the moment; try again")
            }
        })
    }

    async fn relay(
        &self,
        parts: &Parts,
        body: &mut RequestBody,
        allowed: Allowed<'_>,
        downstream: Option<Downstream>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let principal = Arc::clone(allowed.admission.principal());
        self.reach(Step::BeforeBody, principal.token_id).await;
        let mut share = self.budget.share(principal.user_id);
        let bytes = receive(body, &mut share)
            .await
            .map_err(|error| not_received(&error))?;
        self.inspect(&parts.headers, allowed.api, allowed.own.is_none(), &bytes)
            .await?;
        self.reach(Step::BeforeUpstream, principal.token_id).await;

        let in_flight = allowed.admission.in_flight();
        let mut request = Request::new(UpstreamBody::new(bytes, in_flight.clone(), share.into_permits()));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = allowed.uri;
        *request.headers_mut() = allowed.headers;
        allowed
            .provider
            .set_credential(request.headers_mut(), allowed.own.as_ref());
        let sent =
            tokio::time::timeout(self.options.head_timeout, self.upstream.send(request, &in_flight)).await;
        let answered = sent.map_err(|_| {
            tracing::warn!(provider = %allowed.provider.name, "the provider did not answer in time");
            Refusal::new(ErrorKind::GatewayTimeout, "the provider did not answer in time")
        })?;
        let response = answered.map_err(|error| not_answered(allowed.provider, &error))?;
        self.reach(Step::BeforeHead, principal.token_id).await;
        if let Some(downstream) = &downstream {
            in_flight.attach(Side::Downstream, downstream.severable());
        }
        let context = AnswerContext {
            api: allowed.api,
            admission: allowed.admission,
            downstream,
            is_event_stream: is_event_stream(response.headers()),
            ends_with_connection: parts.version == Version::HTTP_10,
            idle_timeout: self.options.idle_timeout,
            checkpoints: self.options.checkpoints.clone(),
        };
        Ok(pass_on(response, context))
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

fn pass_on(response: Response<Incoming>, context: AnswerContext) -> Response<ResponseBody> {
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(ResponseBody::new(Answer::new(body, context)));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = prepare::client_headers(&parts.headers);
    answer
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

/// An answer that is sent as events and not encoded.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let is_plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    is_plain && essence.eq_ignore_ascii_case("text/event-stream")
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

fn invalid_token() -> Refusal {
    Refusal::new(
        ErrorKind::Authentication,
        "a valid gateway token is required; create one with `coder tokens create`",
    )
}

/// Of two failures to verify, the one that leaves more open.
fn worse(first: Option<AccessError>, second: AccessError) -> AccessError {
    let rank = |error: &AccessError| match error {
        AccessError::Invalid => 0,
        AccessError::Expired => 1,
        AccessError::Busy => 2,
        AccessError::Unavailable(_) => 3,
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}

fn not_received(error: &ReceiveError) -> Refusal {
    match error {
        ReceiveError::TooLarge => Refusal::new(
            ErrorKind::TooLarge,
            "the request body is larger than the maximum of 32 MiB",
        ),
        ReceiveError::TooSlow => Refusal::new(ErrorKind::Timeout, error.to_string()),
        ReceiveError::Memory(exhausted) => Refusal::busy(exhausted.to_string()),
        ReceiveError::Broken(_) => Refusal::new(ErrorKind::InvalidRequest, error.to_string()),
    }
}

fn not_answered(provider: &Provider, error: &UpstreamError) -> Refusal {
    let cause = std::error::Error::source(error).map(|source| format!("{source:?}"));
    tracing::warn!(provider = %provider.name, %error, cause, "the provider gave no answer");
    Refusal::new(ErrorKind::BadGateway, error.to_string())
}
