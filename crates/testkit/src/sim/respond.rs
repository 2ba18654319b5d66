//! From a request to its script: reading the body, credentials, directives, routes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, Version, header, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::directive::Directives;
use super::encode::Coding;
use super::plan::Ask;
use super::play::{Play, wait};
use super::record::Handle;
use super::script::{Content, Script, put};
use super::socket::Control;
use super::{Shared, admin, anthropic, models, openai_chat, openai_responses};

/// Responses that can be read again; the oldest go first.
const MAX_STORED: usize = 1024;

/// The responses and conversations that were made.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<VecDeque<StoredObject>>);

#[derive(Clone, Debug)]
struct StoredObject {
    id: String,
    object: Value,
    input: Value,
}

impl Stored {
    fn add(&self, object: Value, request: &Value) {
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        let input = openai_responses::input_items(request, &id);
        let mut all = self.0.lock();
        all.push_back(StoredObject { id, object, input });
        while all.len() > MAX_STORED {
            all.pop_front();
        }
    }

    fn get(&self, id: &str) -> Option<StoredObject> {
        self.0.lock().iter().find(|stored| stored.id == id).cloned()
    }

    fn remove(&self, id: &str) -> bool {
        let mut all = self.0.lock();
        let before = all.len();
        all.retain(|stored| stored.id != id);
        all.len() < before
    }
}

/// What a path means; a prefix such as `/v1` or `/backend-api/codex` is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Messages,
    CountTokens,
    Chat,
    Responses,
    Compact,
    Response(&'a str),
    InputItems(&'a str),
    Models,
    Model(&'a str),
    Conversations,
    Conversation(&'a str),
    Unknown,
}

impl<'a> Route<'a> {
    pub(crate) fn of(path: &'a str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            [.., "messages"] => Self::Messages,
            [.., "messages", "count_tokens"] => Self::CountTokens,
            [.., "chat", "completions"] => Self::Chat,
            [.., "responses"] => Self::Responses,
            [.., "responses", "compact"] => Self::Compact,
            [.., "responses", id] => Self::Response(id),
            [.., "responses", id, "input_items"] => Self::InputItems(id),
            [.., "models"] => Self::Models,
            [.., "models", id] => Self::Model(id),
            [.., "conversations"] => Self::Conversations,
            [.., "conversations", id] => Self::Conversation(id),
            _ => Self::Unknown,
        }
    }
}

/// Serves one request.
pub(crate) async fn handle(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    control: Control,
) -> Response<Play> {
    let (head, body) = request.into_parts();
    if let Some(path) = head.uri.path().strip_prefix("/_sim/") {
        let script = admin::handle(&head.method, path, shared);
        return respond(script, None, shared, control);
    }
    let mut handle = shared.recorder.begin(&head);
    let header = head.headers.get("x-sim").and_then(|value| value.to_str().ok());
    let early = Directives::collect("", "", header).unwrap_or_default();
    if early.slow_read {
        handle.received(false);
        let _held = body;
        match std::future::pending::<Infallible>().await {}
    }
    let body = if early.no_read {
        handle.received(false);
        Vec::new()
    } else {
        read(body, &handle).await
    };
    let script = answer(&head, &body, header, handle.serial, shared);
    for step in &script.before {
        wait(step, shared).await;
    }
    handle.head(script.status.as_u16(), &script.headers);
    if head.method == http::Method::HEAD {
        handle.end(true);
    }
    respond(script, Some(handle), shared, control)
}

fn respond(script: Script, handle: Option<Handle>, shared: &Arc<Shared>, control: Control) -> Response<Play> {
    let mut response = Response::new(Play::new(script.steps, handle, Arc::clone(shared), control));
    *response.status_mut() = script.status;
    *response.headers_mut() = script.headers;
    response
}

async fn read(mut body: Incoming, handle: &Handle) -> Vec<u8> {
    let mut all = Vec::new();
    let complete = loop {
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    handle.body_frame(data);
                    all.extend_from_slice(data);
                }
            }
        }
    };
    handle.received(complete);
    all
}

/// One request, taken apart.
struct Call<'a> {
    head: &'a request::Parts,
    anthropic: bool,
    request_id: String,
    headers: HeaderMap,
}

impl Call<'_> {
    fn error(&self, status: u16, message: &str, directives: &Directives) -> Script {
        let body = if self.anthropic {
            anthropic::error(status, message, &self.request_id)
        } else {
            openai_chat::error(status, message)
        };
        Script::compile(status, self.headers.clone(), Content::Json(body), directives)
    }

    fn json(&self, body: Value, directives: &Directives) -> Script {
        Script::compile(200, self.headers.clone(), Content::Json(body), directives)
    }
}

fn answer(head: &request::Parts, body: &[u8], header: Option<&str>, serial: u64, shared: &Shared) -> Script {
    let route = Route::of(head.uri.path());
    let anthropic = matches!(route, Route::Messages | Route::CountTokens)
        || (head.headers.contains_key("anthropic-version")
            && matches!(route, Route::Models | Route::Model(_) | Route::Unknown));
    let request_id = format!("req_{serial:024x}");
    let mut headers = HeaderMap::new();
    put(
        &mut headers,
        if anthropic { "request-id" } else { "x-request-id" },
        &request_id,
    );
    let mut call = Call {
        head,
        anthropic,
        request_id,
        headers,
    };
    let plain = Directives::default();
    if let Err(message) = authenticate(&head.headers, anthropic, &shared.accept_keys) {
        return call.error(401, message, &plain);
    }
    let parsed = parse(&head.headers, body);
    let (text, after_tool) = match route {
        Route::Messages | Route::CountTokens => anthropic::last_user(&parsed),
        Route::Chat => openai_chat::last_user(&parsed),
        _ => openai_responses::last_user(&parsed),
    };
    let model = parsed["model"].as_str().unwrap_or_default();
    let directives = match Directives::collect(model, &text, header) {
        Ok(directives) => directives,
        Err(error) => return call.error(400, &error.to_string(), &plain),
    };
    if directives.extra_headers {
        extra_headers(&mut call);
    }
    if let Some(status) = directives.error {
        if let Some(seconds) = directives.retry_after {
            put(&mut call.headers, "retry-after", &seconds.to_string());
        }
        return call.error(status, &format!("simulated error {status}"), &directives);
    }
    let digest = Sha256::digest(body).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let ask = Ask {
        serial,
        body: &parsed,
        length: body.len(),
        digest: &digest,
        text,
        after_tool,
        directives: &directives,
    };
    route_call(&call, route, &ask, shared)
}

fn route_call(call: &Call<'_>, route: Route<'_>, ask: &Ask<'_>, shared: &Shared) -> Script {
    let method = call.head.method.as_str();
    let unread = ask.directives.no_read;
    let posted = |field: &str| unread || !ask.body[field].is_null();
    let headers = || call.headers.clone();
    match (method, route) {
        ("POST", Route::Messages) if posted("messages") => anthropic::message(ask, headers()),
        // No provider does this. It is a stream that no gateway reads, for measurements.
        ("POST", Route::CountTokens) if ask.body["stream"] == Value::Bool(true) => {
            anthropic::message(ask, headers())
        }
        ("POST", Route::CountTokens) if posted("messages") => anthropic::count_tokens(ask, headers()),
        ("POST", Route::Chat) if posted("messages") => openai_chat::completion(ask, headers()),
        ("POST", Route::Responses) => {
            let (script, done) = openai_responses::response(ask, headers());
            if ask.body["store"] != Value::Bool(false) {
                shared.stored.add(done, ask.body);
            }
            script
        }
        ("POST", Route::Compact) => openai_responses::compact(ask, headers()),
        ("POST", Route::Messages | Route::CountTokens | Route::Chat) => {
            call.error(400, "messages: field required", ask.directives)
        }
        ("GET", Route::Responses) if call.head.headers.contains_key(header::UPGRADE) => {
            call.error(426, "websockets are not served here", ask.directives)
        }
        ("GET", Route::Models) => call.json(models::list(call.anthropic), ask.directives),
        ("GET", Route::Model(id)) => match models::one(call.anthropic, id) {
            Some(model) => call.json(model, ask.directives),
            None => call.error(404, &format!("model: {id}"), ask.directives),
        },
        ("POST", Route::Conversations) => {
            let conversation = json!({
                "id": ask.id("conv_"), "object": "conversation",
                "created_at": openai_chat::CREATED, "metadata": {},
            });
            shared.stored.add(conversation.clone(), ask.body);
            call.json(conversation, ask.directives)
        }
        (_, Route::Response(id) | Route::InputItems(id) | Route::Conversation(id)) => {
            stored(call, route, id, ask.directives, shared)
        }
        ("GET" | "HEAD", _) if call.head.uri.path() == "/" => call.json(json!({"ok": true}), ask.directives),
        (_, Route::Unknown) => call.error(404, "unknown path", ask.directives),
        _ => call.error(405, "method not allowed", ask.directives),
    }
}

fn stored(call: &Call<'_>, route: Route<'_>, id: &str, directives: &Directives, shared: &Shared) -> Script {
    let Some(found) = shared.stored.get(id) else {
        return call.error(404, &format!("object with id '{id}' not found"), directives);
    };
    match (call.head.method.as_str(), route) {
        ("GET", Route::InputItems(_)) => call.json(found.input, directives),
        ("GET", _) => call.json(found.object, directives),
        ("DELETE", Route::Response(_) | Route::Conversation(_)) => {
            let deleted = shared.stored.remove(id);
            let object = match route {
                Route::Conversation(_) => "conversation.deleted",
                _ => "response",
            };
            call.json(
                json!({"id": id, "object": object, "deleted": deleted}),
                directives,
            )
        }
        _ => call.error(405, "method not allowed", directives),
    }
}

/// As the vendors do it: one credential, of those accepted.
fn authenticate(headers: &HeaderMap, anthropic: bool, accepted: &[String]) -> Result<(), &'static str> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().trim().to_owned();
    let mut given: Vec<String> = headers.get_all("x-api-key").iter().map(text).collect();
    if !anthropic && !given.is_empty() && !headers.contains_key(header::AUTHORIZATION) {
        return Err("you didn't provide an API key in an Authorization header");
    }
    for value in headers.get_all(header::AUTHORIZATION) {
        let value = text(value);
        match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => given.push(key.trim().to_owned()),
            _ => return Err("authorization is not a bearer credential"),
        }
    }
    given.sort();
    given.dedup();
    match given.as_slice() {
        [] => Err("no credential was given"),
        [key] if key.is_empty() => Err("no credential was given"),
        [key] if accepted.is_empty() || accepted.contains(key) => Ok(()),
        [_] => Err(if anthropic {
            "invalid x-api-key"
        } else {
            "incorrect API key provided"
        }),
        _ => Err("two different credentials were given"),
    }
}

/// The body as JSON; null if it is none.
fn parse(headers: &HeaderMap, body: &[u8]) -> Value {
    let coding = headers
        .get(header::CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok());
    match coding.and_then(Coding::parse) {
        None => serde_json::from_slice(body).unwrap_or_default(),
        Some(coding) => coding
            .decode(body)
            .ok()
            .and_then(|plain| serde_json::from_slice(&plain).ok())
            .unwrap_or_default(),
    }
}

fn extra_headers(call: &mut Call<'_>) {
    if call.anthropic {
        anthropic::extra_headers(&mut call.headers);
    } else {
        openai_chat::extra_headers(&mut call.headers);
    }
    let headers = &mut call.headers;
    put(
        headers,
        "set-cookie",
        "__cf_bm=simulated; path=/; HttpOnly; Secure",
    );
    put(headers, "set-cookie", "_cfuvid=simulated; path=/; HttpOnly");
    put(headers, "alt-svc", "h3=\":443\"; ma=86400");
    put(headers, "server", "simulated");
    // Connection-specific headers are forbidden in HTTP/2 (RFC 9113, 8.2.2).
    if call.head.version < Version::HTTP_2 {
        put(headers, "connection", "x-sim-hop");
        put(headers, "x-sim-hop", "for the next hop only");
    }
}
