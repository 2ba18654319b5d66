//! A simulated LLM provider, as unpleasant as the real ones.
//!
//! It speaks the Messages, Chat Completions, Responses and models APIs over HTTP/1.1 and HTTP/2, with and without TLS.
//! What it does is chosen by each request ([`directive`]), so that any client can drive it. It records every byte it
//! receives and sends. It holds no conversation and knows no limits but those that a request asks for.

mod admin;
mod anthropic;
pub mod directive;
mod encode;
mod models;
mod openai_chat;
mod openai_responses;
mod plan;
mod play;
mod record;
mod respond;
mod script;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use encode::Coding;
pub use record::{Answer, Exchange};

use record::{Gates, Recorder};
use respond::Stored;

/// How a simulated provider is set up.
#[derive(Debug, Default)]
pub struct SimConfig {
    /// Where to accept connections; a free port of 127.0.0.1 if not given.
    pub listener: Option<TcpListener>,
    /// The credentials that are accepted; any if empty.
    pub accept_keys: Vec<String>,
    /// Certificate chain and key in PEM form. With them, only TLS is spoken.
    pub tls: Option<TlsPem>,
}

/// A certificate chain and its private key in PEM form.
pub struct TlsPem {
    /// The chain, the server's own certificate first.
    pub certificates: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TlsPem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TlsPem").finish_non_exhaustive()
    }
}

/// Why a simulated provider does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address cannot be listened on.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] std::io::Error),
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate and key: {0}")]
    Tls(String),
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    accept_keys: Vec<String>,
    recorder: Arc<Recorder>,
    gates: Gates,
    stored: Stored,
    stop: CancellationToken,
}

/// A running simulated provider. Dropped, it closes its listener and every connection.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    address: SocketAddr,
    tls: bool,
}

impl Sim {
    /// Starts to accept connections.
    pub async fn start(config: SimConfig) -> Result<Self, SimError> {
        let listener = match config.listener {
            Some(listener) => listener,
            None => TcpListener::bind(("127.0.0.1", 0)).await?,
        };
        let address = listener.local_addr()?;
        let tls = config.tls.as_ref().map(server::tls_acceptor).transpose()?;
        let shared = Arc::new(Shared {
            accept_keys: config.accept_keys,
            recorder: Arc::new(Recorder::new()),
            gates: Gates::default(),
            stored: Stored::default(),
            stop: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        let has_tls = tls.is_some();
        tasks.spawn(server::accept(listener, tls, Arc::clone(&shared), tasks.clone()));
        Ok(Self {
            shared,
            tasks,
            address,
            tls: has_tls,
        })
    }

    /// The URL of the root, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Where connections are accepted.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests received, oldest first: the last 4096, with at most 512 MiB of bodies.
    pub fn requests(&self) -> Vec<Exchange> {
        self.shared.recorder.exchanges()
    }

    /// The answers given, in the order of their requests.
    pub fn answers(&self) -> Vec<Answer> {
        self.requests()
            .into_iter()
            .filter_map(|exchange| exchange.answer)
            .collect()
    }

    /// Forgets all requests and answers.
    pub fn clear(&self) {
        self.shared.recorder.clear();
    }

    /// Waits until this many requests have been received since the start or [`Sim::clear`]: body and all, or up to where
    /// it was broken off or is not to be read.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Exchange> {
        self.shared
            .recorder
            .wait_until(|recorder| recorder.received() >= count)
            .await;
        self.requests()
    }

    /// Waits until the log satisfies a condition, for example that a client went away.
    pub async fn wait_until(&self, mut done: impl FnMut(&[Exchange]) -> bool) -> Vec<Exchange> {
        self.shared
            .recorder
            .wait_until(|recorder| done(&recorder.exchanges()))
            .await;
        self.requests()
    }

    /// Opens a gate for all answers held by it now and later.
    pub fn open_gate(&self, name: &str) {
        self.shared.gates.open(name);
    }

    /// Waits until a gate holds this many answers.
    pub async fn wait_at_gate(&self, name: &str, count: usize) {
        self.shared.gates.wait_for_waiting(name, count).await;
    }

    /// Closes the listener and cuts all connections; returns when both are done.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
