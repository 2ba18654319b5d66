//! A relay on a real socket, a provider that answers when told, and clients that speak bytes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway_core::{
    ApiToken, Lifetime, ManualClock, ProviderKind, Roles, Scope, Scopes, Secret, Timestamp, TokenId,
    TokenKind, TokenRecord, User, UserId, UserStatus,
};
use gateway_relay::access::checkpoint::{CheckpointHook, Checkpoints, Step};
use gateway_relay::access::{Access, AccessOptions, SourceError, StoredToken, TokenSource};
use gateway_relay::listen::{Ending, Endpoint, serve};
use gateway_relay::recorder::{RecordSink, Recorder, RecorderTimes};
use gateway_relay::{Pinned, ProviderConfig, RecordingOptions, Relay, RelayOptions, SideCalls};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use crate::client::{Answer, Client, End};
use crate::records::Records;

pub(crate) const PROVIDER_KEY: &str = "sk-organisation-key";

/// How long a test waits for something that is bound to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

// === Accounts ===

/// The tokens that exist.
#[derive(Default)]
pub(crate) struct Accounts {
    tokens: Mutex<HashMap<TokenId, StoredToken>>,
    pub(crate) reads: AtomicU64,
    pub(crate) broken: Mutex<bool>,
}

impl Accounts {
    pub(crate) fn add_token(&self, user_id: UserId, scopes: Scopes, expires_at: Timestamp) -> ApiToken {
        let token = ApiToken::generate(&mut rand::rng());
        let now = Timestamp::from_micros(0);
        let record = TokenRecord {
            id: token.id(),
            user_id,
            secret_hash: token.secret_hash(),
            kind: TokenKind::Api,
            name: "test".into(),
            scopes,
            lifetime: Lifetime::from_days(30).unwrap(),
            created_at: now,
            updated_at: now,
            expires_at,
            last_used_at: None,
        };
        let user = User {
            id: user_id,
            username: "alice".into(),
            email: None,
            name: String::new(),
            roles: Roles::default(),
            status: UserStatus::Active,
            is_service_account: false,
            created_at: now,
            updated_at: now,
            last_seen_at: None,
        };
        self.tokens
            .lock()
            .insert(token.id(), StoredToken { record, user });
        token
    }

    pub(crate) fn remove_token(&self, id: TokenId) {
        self.tokens.lock().remove(&id);
    }

    pub(crate) fn remove_user(&self, id: UserId) {
        self.tokens.lock().retain(|_, stored| stored.user.id != id);
    }

    pub(crate) fn suspend_user(&self, id: UserId) {
        for stored in self
            .tokens
            .lock()
            .values_mut()
            .filter(|stored| stored.user.id == id)
        {
            stored.user.status = UserStatus::Suspended;
        }
    }
}

impl TokenSource for Accounts {
    fn find(&self, id: TokenId) -> BoxFuture<'_, Result<Option<StoredToken>, SourceError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let outcome = if *self.broken.lock() {
            Err(SourceError("the database is gone".into()))
        } else {
            Ok(self.tokens.lock().get(&id).cloned())
        };
        Box::pin(async move { outcome })
    }
}

// === Gates ===

/// Stops requests at one step until told to go on.
#[derive(Default)]
pub(crate) struct Gate {
    closed: Mutex<Option<(Step, TokenId)>>,
    arrived: Notify,
    open: Mutex<Option<oneshot::Sender<()>>>,
}

impl Gate {
    pub(crate) fn close(&self, step: Step, token: TokenId) {
        *self.closed.lock() = Some((step, token));
    }

    pub(crate) async fn arrival(&self) {
        patiently("arrival at the gate", self.arrived.notified()).await;
    }

    pub(crate) fn open(&self) {
        *self.closed.lock() = None;
        if let Some(open) = self.open.lock().take() {
            let _ = open.send(());
        }
    }
}

pub(crate) struct Gates(pub(crate) Arc<Gate>);

impl Checkpoints for Gates {
    fn reach(&self, step: Step, token: TokenId) -> BoxFuture<'static, ()> {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            // One request is stopped; the others pass.
            let is_stopped = gate
                .closed
                .lock()
                .take_if(|closed| *closed == (step, token))
                .is_some();
            if !is_stopped {
                return;
            }
            let (open, opened) = oneshot::channel();
            *gate.open.lock() = Some(open);
            gate.arrived.notify_one();
            let _ = opened.await;
        })
    }
}

// === Provider ===

/// What the provider received, and the means to answer it.
pub(crate) struct Exchange {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Response<mpsc::Receiver<Option<Bytes>>>>,
}

/// An answer that is being sent. Dropping it breaks the answer off; [`Sending::finish`] ends it.
pub(crate) struct Sending(mpsc::Sender<Option<Bytes>>);

impl Exchange {
    pub(crate) fn answer(self, response: Response<()>) -> Sending {
        let (send, receive) = mpsc::channel(64);
        let _ = self.answer.send(response.map(|()| receive));
        Sending(send)
    }

    pub(crate) fn stream(self) -> Sending {
        self.answer(
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(())
                .unwrap(),
        )
    }
}

impl Sending {
    pub(crate) async fn send(&self, data: impl Into<Bytes>) {
        let _ = self.0.send(Some(data.into())).await;
    }

    pub(crate) async fn finish(self) {
        let _ = self.0.send(None).await;
        self.0.closed().await;
    }

    pub(crate) async fn abandoned(&self) {
        patiently("the end of the exchange", self.0.closed()).await;
    }
}

async fn provide(listener: TcpListener, exchanges: mpsc::UnboundedSender<Exchange>, tasks: TaskTracker) {
    while let Ok((stream, _)) = listener.accept().await {
        let exchanges = exchanges.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let exchanges = exchanges.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body
                    .collect()
                    .await
                    .map_err(|_| "the request broke off")?
                    .to_bytes();
                let (answer, answered) = oneshot::channel();
                let _ = exchanges.send(Exchange { head, body, answer });
                let Ok(response) = answered.await else {
                    return Err("no answer");
                };
                Ok::<_, &'static str>(response.map(|mut receive| {
                    let mut is_flushed = false;
                    StreamBody::new(async_stream(move |cx| {
                        match std::task::ready!(receive.poll_recv(cx)) {
                            Some(Some(data)) => std::task::Poll::Ready(Some(Ok(Frame::data(data)))),
                            Some(None) => std::task::Poll::Ready(None),
                            // What was sent is written out when there is nothing else to do, and not before an error.
                            None if !std::mem::replace(&mut is_flushed, true) => {
                                cx.waker().wake_by_ref();
                                std::task::Poll::Pending
                            }
                            None => std::task::Poll::Ready(Some(Err("broken off"))),
                        }
                    }))
                }))
            }
        });
        tasks.spawn(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn async_stream<T>(
    poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>>,
) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::poll_fn(poll)
}

// === World ===

pub(crate) struct World {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) access: Arc<Access>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) clock: ManualClock,
    pub(crate) gate: Arc<Gate>,
    pub(crate) address: SocketAddr,
    pub(crate) records: Arc<Records>,
    pub(crate) recorder: Recorder,
    exchanges: mpsc::UnboundedReceiver<Exchange>,
    tasks: TaskTracker,
}

/// A provider's own address, as clients of the proxy have it.
pub(crate) struct Host(SocketAddr);

pub(crate) struct WorldOptions {
    pub(crate) allow_byok: bool,
    pub(crate) idle_timeout: Duration,
    pub(crate) token_in_body: gateway_relay::TokenInBody,
    pub(crate) side_calls: SideCalls,
    pub(crate) recording: RecordingOptions,
    /// As small as it gets.
    pub(crate) little_memory: bool,
    /// A provider of the test's own, in place of the one that is told how to answer.
    pub(crate) provider: Option<SocketAddr>,
}

/// Short where tests wait for them to run out, and long enough for a busy machine.
const TIMES: RecorderTimes = RecorderTimes {
    patience: Duration::from_millis(500),
    hold_back: Duration::from_secs(1),
};

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            allow_byok: true,
            idle_timeout: Duration::from_mins(10),
            token_in_body: gateway_relay::TokenInBody::Allow,
            side_calls: SideCalls::Refuse,
            recording: RecordingOptions::default(),
            little_memory: false,
            provider: None,
        }
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(WorldOptions::default()).await
    }

    pub(crate) async fn with(options: WorldOptions) -> Self {
        let tasks = TaskTracker::new();
        let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = options.provider.unwrap_or_else(|| provider.local_addr().unwrap());
        let base = format!("http://{base}");
        let (send, exchanges) = mpsc::unbounded_channel();
        tasks.spawn(provide(provider, send, tasks.clone()));

        let accounts = Arc::new(Accounts::default());
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
        let gate = Arc::new(Gate::default());
        let checkpoints = CheckpointHook::new(Arc::new(Gates(Arc::clone(&gate))));
        let access = Access::new(
            Arc::clone(&accounts) as Arc<dyn TokenSource>,
            Arc::new(clock.clone()),
            AccessOptions {
                checkpoints: checkpoints.clone(),
                ..AccessOptions::default()
            },
        );
        let configure = |name: &str, kind, path: &str, key: Option<&str>| ProviderConfig {
            name: name.parse().unwrap(),
            kind,
            base_url: format!("{base}{path}").parse().unwrap(),
            key: key.map(Secret::new),
            inject_usage: kind == ProviderKind::OpenAi,
        };
        let records = Records::new();
        let (recorder, writer) = Recorder::new(Arc::clone(&records) as Arc<dyn RecordSink>, TIMES);
        tasks.spawn(writer.run(CancellationToken::new()));
        let relay = Relay::new(
            RelayOptions {
                providers: vec![
                    configure("anthropic", ProviderKind::Anthropic, "/", Some(PROVIDER_KEY)),
                    configure("openai", ProviderKind::OpenAi, "/v1/", Some(PROVIDER_KEY)),
                    configure("chatgpt", ProviderKind::OpenAi, "/backend-api/codex", None),
                    configure(
                        "compat",
                        ProviderKind::OpenAiCompat,
                        "/api/v1",
                        Some(PROVIDER_KEY),
                    ),
                    configure(
                        "mirror",
                        ProviderKind::Anthropic,
                        "/anthropic/",
                        Some(PROVIDER_KEY),
                    ),
                    configure("copilot", ProviderKind::Copilot, "/", None),
                ],
                allow_byok: options.allow_byok,
                idle_timeout: options.idle_timeout,
                token_in_body: options.token_in_body,
                side_calls: options.side_calls,
                recording: options.recording,
                body_memory: if options.little_memory { 0 } else { 1 << 30 },
                checkpoints,
                ..RelayOptions::default()
            },
            Arc::clone(&access),
            recorder.clone(),
            tasks.clone(),
        );
        let relay = Arc::new(relay.unwrap());
        let address = listen(&tasks, &relay, None).await;
        Self {
            accounts,
            access,
            relay,
            clock,
            gate,
            address,
            records,
            recorder,
            exchanges,
            tasks,
        }
    }

    /// The address of a provider, behind a proxy that was given `token`.
    pub(crate) async fn host(&self, provider: &str, token: &ApiToken) -> Host {
        let pinned = Pinned {
            provider: provider.parse().unwrap(),
            token: token.clone(),
        };
        Host(listen(&self.tasks, &self.relay, Some(pinned)).await)
    }

    pub(crate) fn token(&self) -> (UserId, ApiToken) {
        let user = UserId::generate();
        (user, self.accounts.add_token(user, Scopes::all(), Timestamp::MAX))
    }

    pub(crate) fn aibridge_token(&self) -> ApiToken {
        let user = UserId::generate();
        self.accounts
            .add_token(user, Scopes::new([Scope::Aibridge]), Timestamp::MAX)
    }

    /// The next request that reaches the provider.
    pub(crate) async fn exchange(&mut self) -> Exchange {
        patiently("a request at the provider", self.exchanges.recv())
            .await
            .unwrap()
    }

    /// That nothing has reached the provider.
    pub(crate) fn assert_nothing_sent(&mut self) {
        assert!(
            self.exchanges.try_recv().is_err(),
            "something was sent to the provider"
        );
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Client {
        let mut client = self.connect().await;
        client.send(method, path, headers, body).await;
        client
    }

    pub(crate) async fn post_message(&self, token: &ApiToken) -> Client {
        let body = br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
        self.send(
            "POST",
            "/api/v2/aibridge/anthropic/v1/messages",
            &[("x-api-key", token.expose())],
            body,
        )
        .await
    }
}

/// Serves the relay, with every request pinned if told so.
async fn listen(tasks: &TaskTracker, relay: &Arc<Relay>, pinned: Option<Pinned>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tower::service_fn({
        let relay = Arc::clone(relay);
        move |mut request: Request<_>| {
            let relay = Arc::clone(&relay);
            if let Some(pinned) = pinned.clone() {
                request.extensions_mut().insert(pinned);
            }
            async move { Ok::<_, std::convert::Infallible>(relay.handle(request).await) }
        }
    });
    let endpoint = Endpoint {
        listener,
        tls: None,
        max_connections: 4096,
    };
    tasks.spawn(serve(endpoint, service, Ending::default(), tasks.clone()));
    address
}

impl Host {
    /// Sends one request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Client {
        let mut client = Client::connect(self.0).await;
        client.send(method, path, headers, body).await;
        client
    }
}
