//! The exchange with the provider, and its record.
//!
//! The order is what the audit rests on: the start is queued before anything is sent; while the provider works it is
//! committed; the head of the answer waits for that commit. What a body holds back is decided in [`crate::tap`].

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::interception::{CredentialKind, Mark, Outcome, Start};
use gateway_llm::client;
use gateway_llm::error::ErrorKind;
use gateway_llm::observe::ObserveOptions;
use gateway_llm::route::Api;
use gateway_llm::splice::stream_options_splice;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::Relay;
use super::allow::Allowed;
use super::inspect::{Inspected, content_encoding};
use crate::access::Side;
use crate::access::checkpoint::Step;
use crate::answer::{Answer, AnswerContext, Broken};
use crate::body::{RequestBody, ResponseBody};
use crate::listen::Downstream;
use crate::prepare::{self, Provider};
use crate::receive::{ReceiveError, receive};
use crate::recorder::Behind;
use crate::recording::{Recording, clean};
use crate::refuse::Refusal;
use crate::tap::{Form, TapContext, Tapped};
use crate::upstream::{UpstreamBody, UpstreamError};

/// One exchange with a provider.
struct Exchange<'a> {
    allowed: Allowed<'a>,
    /// None for routes that are not recorded, and once the record is closed.
    recording: Option<Recording>,
    usage_was_injected: bool,
    version: Version,
    /// The answer has no body, whatever its headers say.
    is_head: bool,
    downstream: Option<Downstream>,
}

/// Headers that say something of the body's bytes, so that it must not be edited.
const BODY_BOUND: [&str; 7] = [
    "content-encoding",
    "content-md5",
    "content-digest",
    "digest",
    "repr-digest",
    "signature",
    "signature-input",
];

/// The longest user agent that is kept, in bytes.
const USER_AGENT_MAX: usize = 256;

// === impl Relay ===

impl Relay {
    pub(super) async fn relay(
        &self,
        parts: &Parts,
        body: &mut RequestBody,
        allowed: Allowed<'_>,
        downstream: Option<Downstream>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let principal = Arc::clone(allowed.admission.principal());
        if allowed.api.intercepted() {
            self.recorder.check().map_err(not_recorded)?;
        }
        self.reach(Step::BeforeBody, principal.token_id).await;
        let mut share = self.budget.share(principal.user_id);
        let bytes = receive(body, &mut share)
            .await
            .map_err(|error| not_received(&error))?;
        let inspected = self.inspect(&parts.headers, &allowed, &bytes).await?;
        let pieces = usage_splice(&allowed, &bytes);
        let mut exchange = Exchange {
            usage_was_injected: pieces.is_some(),
            recording: self.open(parts, &allowed, inspected, pieces.is_some()).await?,
            version: parts.version,
            is_head: parts.method == Method::HEAD,
            downstream,
            allowed,
        };
        self.reach(Step::BeforeUpstream, principal.token_id).await;

        let in_flight = exchange.allowed.admission.in_flight();
        let pieces = pieces.unwrap_or_else(|| vec![bytes]);
        let mut request = Request::new(UpstreamBody::new(pieces, in_flight, share.into_permits()));
        *request.method_mut() = parts.method.clone();
        let response = self.send(request, &mut exchange).await?;
        self.reach(Step::BeforeHead, principal.token_id).await;
        self.pass_on(response, exchange).await
    }

    /// Admits the exchange and queues its start; nothing for routes that are not recorded.
    async fn open(
        &self,
        parts: &Parts,
        allowed: &Allowed<'_>,
        inspected: Inspected,
        usage_was_injected: bool,
    ) -> Result<Option<Recording>, Refusal> {
        if !allowed.api.intercepted() {
            return Ok(None);
        }
        let start = self.start(parts, allowed, inspected, usage_was_injected);
        let mut recording = Recording::open(
            &self.recorder,
            allowed.admission.principal().user_id,
            start,
            allowed.admission.in_flight(),
            self.access.clock(),
        )
        .map_err(not_recorded)?;
        recording.hide(allowed.provider.credential(allowed.own.as_ref()));
        tracing::debug!(interception = %recording.id(), route = allowed.label, "an exchange is recorded");
        if self.options.recording.before_send
            && let Err(behind) = recording.committed().await
        {
            recording.give_up(&behind.to_string());
            return Err(not_recorded(behind));
        }
        Ok(Some(recording))
    }

    fn start(
        &self,
        parts: &Parts,
        allowed: &Allowed<'_>,
        inspected: Inspected,
        usage_was_injected: bool,
    ) -> Start {
        let principal = allowed.admission.principal();
        let Inspected { view, mut marks } = inspected;
        // Clients write names in UTF-8, which `to_str` does not read.
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| str::from_utf8(value.as_bytes()).ok())
        };
        let client = client::detect(header);
        let client_session_id = client::session_id(client.agent, header, &view).map(clean);
        let is_chat_stream = allowed.api == Api::ChatCompletions && view.stream;
        if is_chat_stream && !view.has_stream_options && !usage_was_injected {
            marks.insert(Mark::UsageNotReported);
        }
        let user_agent = parts
            .headers
            .get(USER_AGENT)
            .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        // Only what was not UTF-8 had to be copied.
        if view.model_was_mended || matches!(user_agent, Some(Cow::Owned(_))) {
            marks.insert(Mark::TextMended);
        }
        let prompt = view.prompt.map(|prompt| {
            for (is_so, mark) in [
                (prompt.is_cut, Mark::PromptCut),
                (prompt.was_mended, Mark::TextMended),
            ] {
                if is_so {
                    marks.insert(mark);
                }
            }
            clean(prompt.text)
        });
        let (credential_kind, credential_hint) = match &allowed.own {
            Some(own) => (CredentialKind::Byok, own.hint()),
            None => (CredentialKind::Centralized, allowed.provider.hint.clone()),
        };
        Start {
            initiator_username: principal.username.clone(),
            token_id: principal.token_id,
            provider: allowed.provider.kind,
            provider_name: allowed.provider.name.clone(),
            route: allowed.label,
            model: view.model.map(clean).unwrap_or_default(),
            client: client.agent.name().to_owned(),
            client_version: client.version.map(clean),
            user_agent: user_agent.map(|agent| clean(shorten(&agent).to_owned())),
            client_session_id,
            correlating_tool_call_id: view.correlating_tool_call_id.map(clean),
            credential_kind,
            credential_hint,
            is_streamed: view.stream,
            prompt,
            started_at: self.access.clock().now(),
            marks,
        }
    }

    /// Sends the request and waits for the head of the answer, and then for the commit of the start.
    async fn send(
        &self,
        mut request: Request<UpstreamBody>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Response<Incoming>, Refusal> {
        let allowed = &mut exchange.allowed;
        *request.uri_mut() = std::mem::take(&mut allowed.uri);
        *request.headers_mut() = std::mem::take(&mut allowed.headers);
        let provider = allowed.provider;
        provider.set_credential(request.headers_mut(), allowed.own.as_ref());
        let in_flight = allowed.admission.in_flight();
        let sent =
            tokio::time::timeout(self.options.head_timeout, self.upstream.send(request, &in_flight)).await;
        let refusal = match sent {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => not_answered(provider, &error),
            Err(_) => {
                tracing::warn!(provider = %provider.name, "the provider did not answer in time");
                Refusal::new(ErrorKind::GatewayTimeout, "the provider did not answer in time")
            }
        };
        // A request whose right was taken is closed as what it is.
        if let Some(recording) = exchange.recording.take_if(|_| !in_flight.is_cut()) {
            let failed = recording.fail(Outcome::ProviderBroke, &refusal.message);
            failed.await.map_err(not_recorded)?;
        }
        Err(refusal)
    }

    /// Releases the head: of a stream when the start is committed, of another answer when the end is, if it is short.
    async fn pass_on(
        &self,
        response: Response<Incoming>,
        exchange: Exchange<'_>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let Allowed { api, admission, .. } = exchange.allowed;
        let in_flight = admission.in_flight();
        if let Some(downstream) = &exchange.downstream {
            in_flight.attach(Side::Downstream, downstream.severable());
        }
        let (parts, body) = response.into_parts();
        let form = form(&parts.headers);
        let is_event_stream = form == Form::Events;
        let is_bodiless = exchange.is_head
            || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || body.is_end_stream();
        let settles = !is_event_stream || is_bodiless;
        let is_recorded = exchange.recording.is_some();
        let mut tapped = Tapped::new(
            body,
            TapContext {
                recording: exchange.recording,
                api,
                status: parts.status,
                form,
                options: ObserveOptions {
                    content: self.options.recording.content,
                    usage_was_injected: exchange.usage_was_injected,
                },
                is_output: is_output(api),
                share: self.answers.share(admission.principal().user_id),
                decoders: Arc::clone(&self.decoders),
                idle_timeout: self.options.idle_timeout,
            },
        );
        if settles && is_recorded {
            tapped.settle().await.map_err(|broken| not_settled(&broken))?;
        }
        tapped.recorded().await.map_err(|broken| not_settled(&broken))?;
        let mut headers = prepare::client_headers(&parts.headers);
        if is_event_stream && exchange.usage_was_injected {
            // One event of it may be taken out.
            headers.remove(CONTENT_LENGTH);
        }
        let context = AnswerContext {
            api,
            admission,
            downstream: exchange.downstream,
            is_event_stream,
            ends_with_connection: exchange.version == Version::HTTP_10,
            checkpoints: self.options.checkpoints.clone(),
        };
        let mut answer = Response::new(ResponseBody::new(Answer::new(tapped, context)));
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

/// The body in pieces, with the one member in it that asks for the usage of a Chat Completions stream. None: the body is
/// sent as it is.
fn usage_splice(allowed: &Allowed<'_>, body: &Bytes) -> Option<Vec<Bytes>> {
    let applies = allowed.api == Api::ChatCompletions
        && allowed.provider.injects_usage
        && BODY_BOUND.iter().all(|name| !allowed.headers.contains_key(*name));
    let splice = applies.then(|| stream_options_splice(body)).flatten()?;
    Some(vec![
        body.slice(..splice.offset),
        Bytes::from_static(splice.insert),
        body.slice(splice.offset..),
    ])
}

/// Whether an answer is what a model has just made, and not something that is fetched once more.
fn is_output(api: Api) -> bool {
    !matches!(api, Api::ResponsesObject | Api::Conversations)
}

/// How the answer is written, by its headers.
fn form(headers: &HeaderMap) -> Form {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_events = essence.eq_ignore_ascii_case("text/event-stream");
    match content_encoding(headers) {
        Some(encoding) if !is_identity(&encoding) => Form::Encoded { encoding, is_events },
        _ if is_events => Form::Events,
        _ => Form::Plain,
    }
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(USER_AGENT_MAX)]
}

/// A list of encodings that changes nothing.
fn is_identity(encodings: &str) -> bool {
    encodings
        .split(',')
        .map(str::trim)
        .all(|encoding| encoding.is_empty() || encoding.eq_ignore_ascii_case("identity"))
}

fn not_recorded(behind: Behind) -> Refusal {
    Refusal::busy(format!("{behind}; try again"))
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

/// An answer that broke before its head was released can still be one clear refusal.
fn not_settled(broken: &Broken) -> Refusal {
    match broken {
        Broken::Unrecorded | Broken::Memory => Refusal::busy(format!("{broken}; try again")),
        Broken::Silent(_) => Refusal::new(ErrorKind::GatewayTimeout, broken.to_string()),
        Broken::Revoked => super::allow::invalid_token(),
        Broken::Provider(_) | Broken::Over => Refusal::new(ErrorKind::BadGateway, broken.to_string()),
    }
}
