//! One client: its handshake with the proxy, and its requests until one leads somewhere.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use gateway_core::ProviderName;
use gateway_core::token::hides_token;
use gateway_relay::access::registry::Sever as _;
use gateway_relay::access::{AccessError, Side};
use gateway_relay::listen::io::{Line, LineIo, Sniffed};
use gateway_relay::listen::{Ending, Serve};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::answer::{Answer, GO_AWAY, send_last};
use super::asking::{Asking, NoHead};
use super::{Outcome, Proxy, Shared};
use crate::connect::{Authority, Head, InvalidAuthority, PREFACE, proxy_token};
use crate::pass::Pass;
use crate::places::{Place, Who, network};
use crate::{intercept, tunnel};

/// How often a client may ask on one connection: to learn that a credential is needed, to send one, and to send another.
const MAX_REQUESTS: usize = 4;

/// A connection to the proxy; its bytes go separately.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    /// The TCP connection, below whatever is wrapped around it.
    pub(crate) line: Arc<Line>,
    pub(crate) ending: Ending,
    pub(crate) tasks: TaskTracker,
}

/// What a client has asked for and may have.
enum Granted {
    Intercept {
        authority: Authority,
        provider: ProviderName,
        pass: Pass,
    },
    Tunnel {
        authority: Authority,
        /// None when the tunnel needs no credential.
        pass: Option<Pass>,
    },
}

/// A request that leads nowhere.
struct Refused {
    outcome: Outcome,
    answer: Answer,
    /// The client may try again on the same connection.
    may_retry: bool,
}

/// Serves one connection to its end.
pub(super) async fn serve<S: Serve>(
    proxy: Proxy<S>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    ending: Ending,
    tasks: TaskTracker,
) {
    let Proxy { shared, service } = proxy;
    let Some(stranger) = shared.strangers.enter(network(peer.ip())) else {
        shared.counters.count(Outcome::Flooded);
        return tracing::debug!(%peer, "too many connections from this address wait to be admitted");
    };
    let io = match LineIo::new(stream) {
        Ok(io) => io,
        Err(error) => return tracing::debug!(%peer, %error, "a client was gone at once"),
    };
    let line = Arc::clone(io.line());
    let client = Client {
        shared,
        peer,
        line: Arc::clone(&line),
        ending: ending.clone(),
        tasks,
    };
    // Severed inside of the branch, so before the connection is dropped: what is cut short must not end in good order.
    let aborted = async {
        ending.abort.cancelled().await;
        line.sever();
    };
    tokio::select! {
        () = client.greet(io, tls, stranger, service) => {}
        () = aborted => tracing::debug!(%peer, "a client was sent away by the shutdown"),
    }
}

// === impl Client ===

impl Client {
    async fn greet<S: Serve>(
        self,
        io: LineIo,
        tls: Option<Arc<rustls::ServerConfig>>,
        stranger: Place<IpAddr>,
        service: S,
    ) {
        let Some(tls) = tls else {
            return self.attend(io, stranger, service).await;
        };
        let limit = self.shared.options.handshake_timeout;
        let accepted = tokio::select! {
            accepted = Box::pin(intercept::accept_tls(tls, io, limit)) => accepted,
            () = self.ending.drain.cancelled() => return,
        };
        match accepted {
            Ok(io) => Box::pin(self.attend(Box::new(io), stranger, service)).await,
            Err(error) => {
                self.shared.counters.count_failed_handshake();
                tracing::debug!(peer = %self.peer, %error, "a TLS handshake with the proxy failed");
            }
        }
    }

    /// Hears what the client wants and goes there. The steps stand on the heap, each for its time, so that a tunnel takes
    /// the memory of a tunnel and not that of all that might have been.
    async fn attend<S: Serve, I>(self, io: I, stranger: Place<IpAddr>, service: S)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some((granted, io)) = Box::pin(self.converse(io)).await else {
            return;
        };
        let who = self.who(&granted);
        let Some(_place) = self.shared.connections.enter(who) else {
            let answer = Answer::busy("you have too many connections through this proxy; close some");
            self.note(Outcome::Crowded, answer.message());
            return answer.send_last(io).await;
        };
        drop(stranger);
        match granted {
            Granted::Intercept {
                authority,
                provider,
                pass,
            } => Box::pin(intercept::run(self, io, authority, provider, pass, service)).await,
            Granted::Tunnel { authority, pass } => {
                Box::pin(tunnel::run(&self, who, io, &authority, pass)).await;
            }
        }
    }

    fn who(&self, granted: &Granted) -> Who {
        match granted {
            Granted::Intercept { pass, .. } | Granted::Tunnel { pass: Some(pass), .. } => {
                Who::User(pass.user_id())
            }
            Granted::Tunnel { pass: None, .. } => Who::Network(network(self.peer.ip())),
        }
    }

    /// Answers requests until one may lead somewhere or the connection ends.
    async fn converse<I>(&self, io: I) -> Option<(Granted, Sniffed<I>)>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut asking = Asking::new(io);
        for requests in 1..=MAX_REQUESTS {
            let head = self.next_head(&mut asking).await?;
            if asking.read[head.clone()] == *PREFACE {
                self.note(Outcome::Malformed, "HTTP/2 is not spoken to the proxy itself");
                send_last(asking.io, GO_AWAY).await;
                return None;
            }
            let (granted, closes) = match Head::parse(&asking.read[head.clone()]) {
                Ok(head) => (self.grant(&head).await, head.closes),
                Err(invalid) => (Err(Refused::malformed(invalid.to_string())), true),
            };
            let refused = match granted {
                // A client need not wait for the answer before it begins with TLS.
                Ok(granted) => return Some((granted, asking.into_rest(head.end))),
                Err(refused) => refused,
            };
            self.note(refused.outcome, refused.answer.message());
            let has_more = asking.read.len() > head.end;
            if !refused.may_retry || closes || has_more || requests == MAX_REQUESTS {
                refused.answer.send_last(asking.io).await;
                return None;
            }
            refused.answer.send(&mut asking.io).await.ok()?;
            asking.read.clear();
        }
        None
    }

    /// Reads up to the end of a request's head, or sends the client away.
    async fn next_head<I>(&self, asking: &mut Asking<I>) -> Option<Range<usize>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.shared.options.head_timeout;
        let read = tokio::select! {
            read = tokio::time::timeout(limit, asking.read_head()) => read,
            () = self.ending.drain.cancelled() => return None,
        };
        let (outcome, answer) = match read {
            Ok(Ok(head)) => return Some(head),
            Ok(Err(NoHead::Gone(error))) => {
                tracing::debug!(peer = %self.peer, %error, "a client left before it asked for anything");
                return None;
            }
            Ok(Err(NoHead::TooLarge)) => (
                Outcome::Malformed,
                Answer::new(
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "the head of the request is too large",
                ),
            ),
            Ok(Err(NoHead::NotHttp)) => (
                Outcome::Malformed,
                Answer::bad_request("this is no HTTP/1 request; is TLS spoken to a proxy without TLS?"),
            ),
            Err(_) => (
                Outcome::TooSlow,
                Answer::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time"),
            ),
        };
        self.note(outcome, answer.message());
        // Nobody waits for an answer who has asked nothing.
        if !asking.read.is_empty() {
            answer.send_last(&mut asking.io).await;
        }
        None
    }

    /// Decides on a request.
    async fn grant(&self, head: &Head<'_>) -> Result<Granted, Refused> {
        if !head.is_connect() {
            return Err(Refused::not_connect(head.target));
        }
        // As a name it would be looked up, told to an upstream proxy and logged.
        if hides_token(head.target.as_bytes()) {
            return Err(Refused::malformed(
                "a gateway token stands in the target; it belongs into the proxy's address, as the password"
                    .into(),
            ));
        }
        let authority: Authority = head
            .target
            .parse()
            .map_err(|invalid: InvalidAuthority| Refused::malformed(invalid.to_string()))?;
        let shared = &self.shared;
        let provider = shared.hosts.get(&authority).cloned();
        let pass = match head.credential {
            Some(credential) => Some(self.admit(credential).await?),
            None if provider.is_none() && shared.options.allow_anonymous_tunnels => None,
            None => {
                return Err(Refused::unauthenticated(
                    "this proxy needs a gateway token as its password; create one with `coder tokens create` and set \
                     HTTPS_PROXY to the proxy's address with coder:TOKEN@ before the host",
                ));
            }
        };
        match (provider, pass) {
            (Some(provider), Some(pass)) => Ok(Granted::Intercept {
                authority,
                provider,
                pass,
            }),
            (_, pass) => Ok(Granted::Tunnel { authority, pass }),
        }
    }

    /// Verifies a credential. From the return on, a revocation takes the connection away.
    async fn admit(&self, credential: &[u8]) -> Result<Pass, Refused> {
        let token =
            proxy_token(credential).map_err(|invalid| Refused::unauthenticated(invalid.to_string()))?;
        let access = Arc::clone(&self.shared.access);
        let mut pass = Pass::obtain(access, token, self.peer.ip())
            .await
            .map_err(Refused::not_admitted)?;
        if !pass.allows_models() {
            return Err(Refused::new(
                Outcome::Forbidden,
                Answer::new(
                    StatusCode::FORBIDDEN,
                    "the scope of this token does not allow calling models, nor tunnels",
                ),
            ));
        }
        let line = Arc::clone(&self.line);
        pass.attach(Side::Downstream, line)
            .map_err(|_| Refused::not_admitted(AccessError::Invalid))?;
        Ok(pass)
    }

    pub(crate) fn note(&self, outcome: Outcome, message: &str) {
        self.shared.counters.count(outcome);
        tracing::debug!(peer = %self.peer, outcome = outcome.label(), message, "a request to the proxy was answered");
    }
}

// === impl Refused ===

impl Refused {
    fn new(outcome: Outcome, answer: Answer) -> Self {
        Self {
            outcome,
            answer,
            may_retry: false,
        }
    }

    fn malformed(message: String) -> Self {
        Self::new(Outcome::Malformed, Answer::bad_request(message))
    }

    /// 403 rather than 405 or 501: it says that this is meant so, and no cache and no client takes it for a fault that
    /// passes.
    fn not_connect(target: &str) -> Self {
        let answer = if target.starts_with('/') || target == "*" {
            Answer::bad_request(
                "this is the AI Gateway Proxy, which tools use as their HTTPS proxy; there is nothing to see here",
            )
        } else {
            Answer::new(
                StatusCode::FORBIDDEN,
                "this proxy serves HTTPS through CONNECT only; plain http requests are not relayed",
            )
        };
        Self::new(Outcome::NotConnect, answer)
    }

    fn unauthenticated(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            may_retry: true,
            ..Self::new(Outcome::Unauthenticated, Answer::authenticate(message))
        }
    }

    fn not_admitted(error: AccessError) -> Self {
        match error {
            AccessError::Invalid => Self::unauthenticated(
                "the proxy's password is not a valid gateway token; create one with `coder tokens create`",
            ),
            AccessError::Expired => Self::unauthenticated("the gateway token has expired; create a new one"),
            error @ (AccessError::Busy | AccessError::Unavailable(_)) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "a token could not be verified");
                Self::new(
                    Outcome::Busy,
                    Answer::busy("tokens cannot be verified at the moment; try again"),
                )
            }
        }
    }
}
