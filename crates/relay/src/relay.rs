//! From a request to an answer: route, authenticate, decide, receive, send, stream.
//!
//! One function a step, over plain values; each step that says no makes a [`Refusal`], which becomes an answer in
//! the provider's envelope in one place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway_core::credential::{OwnCredential, Plan};
use gateway_core::token::{find_tokens, hides_token};
use gateway_core::{ApiToken, TokenId};
use gateway_llm::error::ErrorKind;
use gateway_llm::route::{Api, Family, Route, RouteAccess, route};
use gateway_llm::{decode, peek};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::access::checkpoint::{CheckpointHook, Step};
use crate::access::{Access, AccessError, Admission, Side};
use crate::answer::{Answer, AnswerContext};
use crate::body::{RequestBody, ResponseBody};
use crate::budget::{Budget, quarter_of_memory};
use crate::listen::{Downstream, PeerAddr};
use crate::prepare::{self, Provider, ProviderError, UnclearCredential};
use crate::provider::ProviderConfig;
use crate::receive::{ReceiveError, receive};
use crate::refuse::{Refusal, drain, is_unread};
use crate::target::Target;
use crate::upstream::{ClientError, ProxySettings, Upstream, UpstreamBody, UpstreamError};

/// The largest copy of an encoded body that is decoded to be understood.
const DECODED_LIMIT: usize = 32 * 1024 * 1024;

/// Bodies up to this size are looked into on the spot.
const INLINE: usize = 256 * 1024;

/// How many larger or encoded bodies are looked into at once.
const DECODERS: usize = 4;

/// How many tokens in one body are looked at.
const TOKENS_IN_BODY: usize = 16;

/// What to do with a request whose body holds a gateway token, as its checksum shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenInBody {
    /// Relay it, and count it.
    #[default]
    Allow,
    /// Refuse it.
    Refuse,
    /// Refuse it, and remove the token if it is alive.
    Revoke,
}

/// Removes tokens that have leaked.
pub trait LeakedTokens: Send + Sync + 'static {
    /// Removes the token and cuts what is in flight with it. Its secret has been verified.
    fn remove(&self, token: TokenId) -> BoxFuture<'static, ()>;
}

/// How the relay works.
#[derive(Clone)]
pub struct RelayOptions {
    pub providers: Vec<ProviderConfig>,
    /// Off: every request of the data plane is answered 404.
    pub enabled: bool,
    /// Whether callers may bring a provider credential of their own.
    pub allow_byok: bool,
    pub token_in_body: TokenInBody,
    /// Needed for [`TokenInBody::Revoke`].
    pub leaked_tokens: Option<Arc<dyn LeakedTokens>>,
    pub proxies: ProxySettings,
    /// Certificates to trust beside the system's.
    pub roots: Vec<CertificateDer<'static>>,
    pub connect_timeout: Duration,
    /// How long a provider may take until the head of its answer.
    pub head_timeout: Duration,
    /// How long a provider may be silent within an answer.
    pub idle_timeout: Duration,
    /// Bytes that request bodies may take in all.
    pub body_memory: usize,
    pub checkpoints: CheckpointHook,
}

/// The relay could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What the relay has seen, for whoever watches it.
#[derive(Debug, Default)]
pub struct RelayCounters {
    /// Requests whose body held a gateway token.
    pub tokens_in_bodies: AtomicU64,
}

/// The data plane.
pub struct Relay {
    providers: HashMap<String, Provider>,
    options: RelayOptions,
    access: Arc<Access>,
    upstream: Upstream,
    budget: Budget,
    counters: RelayCounters,
    decoders: Arc<Semaphore>,
    tasks: TaskTracker,
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

// === impl RelayOptions ===

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            enabled: true,
            allow_byok: true,
            token_in_body: TokenInBody::Allow,
            leaked_tokens: None,
            proxies: ProxySettings::default(),
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_mins(10),
            idle_timeout: Duration::from_mins(10),
            body_memory: quarter_of_memory(),
            checkpoints: CheckpointHook::default(),
        }
    }
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
            tasks,
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
            if is_unread(&body) {
                self.tasks.spawn(drain(body));
            }
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
        self.inspect(parts, &allowed, &bytes).await?;
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

    /// What the gateway must know of a body before it goes upstream.
    async fn inspect(&self, parts: &Parts, allowed: &Allowed<'_>, bytes: &Bytes) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Ok(());
        }
        let encoding = content_encoding(&parts.headers);
        let api = allowed.api;
        let Seen {
            tokens,
            view,
            is_readable,
        } = if encoding.is_none() && bytes.len() <= INLINE {
            look_into(api, bytes)
        } else {
            // Long enough to hold up other requests; and decoded copies are bounded by how many there are.
            let permit = Arc::clone(&self.decoders).acquire_owned().await;
            let bytes = bytes.clone();
            let looking = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                match encoding {
                    None => look_into(api, &bytes),
                    Some(encoding) => match decode::decode_bounded(&encoding, &bytes, DECODED_LIMIT) {
                        Ok(decoded) => look_into(api, &decoded),
                        Err(error) => {
                            tracing::debug!(%error, "a request body could not be decoded");
                            Seen {
                                tokens: Vec::new(),
                                view: peek::RequestView::unreadable(api),
                                is_readable: false,
                            }
                        }
                    },
                }
            });
            looking
                .await
                .map_err(|_| Refusal::new(ErrorKind::Internal, "the request could not be read"))?
        };
        if !is_readable && self.options.token_in_body != TokenInBody::Allow {
            return Err(Refusal::new(
                ErrorKind::InvalidRequest,
                "the content encoding of the request body cannot be read to see whether it holds a gateway token",
            ));
        }
        self.judge_tokens(tokens).await?;
        if allowed.own.is_none() && view.background {
            return Err(Refusal::new(
                ErrorKind::NotImplemented,
                "background answers are not served with the organisation's key",
            ));
        }
        if allowed.own.is_none() && !view.object_ids.is_empty() {
            return Err(Refusal::new(
                ErrorKind::NotFound,
                "the request refers to an object that was not found, or cannot be read to see whether it does",
            ));
        }
        Ok(())
    }

    async fn judge_tokens(&self, tokens: Vec<ApiToken>) -> Result<(), Refusal> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.counters.tokens_in_bodies.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(?tokens, "the body of a request holds a gateway token");
        match (self.options.token_in_body, &self.options.leaked_tokens) {
            (TokenInBody::Allow, _) => return Ok(()),
            (TokenInBody::Revoke, Some(leaked)) => {
                for token in tokens {
                    // Only who knows the secret may remove: the id alone can be seen in any log.
                    if self.access.admit(&token, None).await.is_ok() {
                        leaked.remove(token.id()).await;
                    }
                }
            }
            (TokenInBody::Refuse | TokenInBody::Revoke, _) => {}
        }
        Err(Refusal::new(
            ErrorKind::InvalidRequest,
            "the body of the request holds a gateway token",
        ))
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

/// What a look into a body has shown.
struct Seen {
    tokens: Vec<ApiToken>,
    view: peek::RequestView,
    /// Its content encoding could be taken off, or there was none.
    is_readable: bool,
}

fn look_into(api: Api, body: &[u8]) -> Seen {
    Seen {
        tokens: find_tokens(body, TOKENS_IN_BODY),
        view: peek::peek(api, body),
        is_readable: true,
    }
}

/// The encodings of a body in the order in which they were applied. Several headers are one list (RFC 9110, section
/// 5.3); what is not text is an encoding that nobody knows.
fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| value.to_str().unwrap_or("unknown"))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
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
