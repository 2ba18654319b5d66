//! What can go wrong between the command line and a server, each told in one line that says what to do.

use std::error::Error as StdError;

use gateway_api_types::ErrorReply;
use reqwest::StatusCode;
use url::Url;

/// Why a call of the API failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot prepare a connection: {reason}")]
    Setup {
        reason: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("cannot reach {url}: {reason}; is the server running, and is this its URL?")]
    Unreachable {
        url: String,
        reason: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {what}; is this the URL of a coder server?")]
    NotOurs { url: String, what: String },
    #[error("{url} sends its visitors on to {to}; run `coder login` with that URL if you trust it")]
    Redirected { url: String, to: String },
    #[error("your session has expired or was removed; run `coder login {url}`")]
    SessionEnded { url: String },
    #[error(
        "the token given with --token or CODER_SESSION_TOKEN was refused: it has expired, was removed, or is not \
         from this server"
    )]
    TokenRefused,
    /// In the middle of a long answer, or by silence.
    #[error("the server broke its answer off; what was printed is not all of it")]
    BrokenOff(#[source] Option<reqwest::Error>),
    /// A name that cannot be asked for.
    #[error("there is nothing named {0:?}")]
    NoSuchName(String),
    /// The server understood and said no.
    #[error("{}", .0.reply.message)]
    Refused(Box<Refusal>),
}

/// A refusal in the form of the API.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) reply: ErrorReply,
}

// === impl ClientError ===

impl ClientError {
    pub(super) fn setup(error: reqwest::Error) -> Self {
        Self::Setup {
            reason: innermost(&error),
            source: error,
        }
    }

    pub(super) fn unreachable(base: &Url, error: reqwest::Error) -> Self {
        let reason = if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            innermost(&error)
        };
        Self::Unreachable {
            url: base.to_string(),
            reason,
            source: error.without_url(),
        }
    }
}

/// The last cause, which is the one that says something.
fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
