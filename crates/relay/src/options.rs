//! How the data plane is set up, and what can be wrong with that.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gateway_core::TokenId;
use gateway_llm::route::SideCall;
use rustls::pki_types::CertificateDer;

use crate::access::checkpoint::CheckpointHook;
use crate::budget::quarter_of_memory;
use crate::prepare::ProviderError;
use crate::provider::ProviderConfig;
use crate::upstream::{ClientError, ProxySettings};

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

/// What to do with the calls that Claude Code makes to its provider's host about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SideCalls {
    /// Answer 404, which does no harm to the client, and count it.
    #[default]
    Refuse,
    /// Pass them on as they are, unrecorded, with the user's own credential. Without one: as above.
    Relay,
}

/// Removes tokens that have leaked.
pub trait LeakedTokens: Send + Sync + 'static {
    /// Removes the token and cuts what is in flight with it. Its secret has been verified.
    fn remove(&self, token: TokenId) -> BoxFuture<'static, ()>;
}

/// What is recorded, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingOptions {
    /// Prompts, arguments of tools and thoughts are recorded, too.
    pub content: bool,
    /// The start of an exchange is committed before anything is sent to the provider, and not merely before anything
    /// is released of the answer.
    pub before_send: bool,
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
    pub side_calls: SideCalls,
    pub recording: RecordingOptions,
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
    /// Bytes that bodies may take in all: three quarters those of requests, one quarter what is held of answers.
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
    /// Side calls that were answered 404.
    pub refused_side_calls: SideCallCounts,
}

/// A number for each kind of side call.
#[derive(Debug, Default)]
pub struct SideCallCounts {
    claude_code: AtomicU64,
    event_logging: AtomicU64,
    eval: AtomicU64,
}

// === impl RecordingOptions ===

impl Default for RecordingOptions {
    fn default() -> Self {
        Self {
            content: true,
            before_send: false,
        }
    }
}

// === impl SideCallCounts ===

impl SideCallCounts {
    pub fn of(&self, call: SideCall) -> &AtomicU64 {
        match call {
            SideCall::ClaudeCode => &self.claude_code,
            SideCall::EventLogging => &self.event_logging,
            SideCall::Eval => &self.eval,
        }
    }
}

// === impl RelayOptions ===

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            enabled: true,
            allow_byok: true,
            token_in_body: TokenInBody::Allow,
            side_calls: SideCalls::Refuse,
            recording: RecordingOptions::default(),
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
