//! Why an operation was not done.

use gateway_store::StoreError;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// One field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: String,
    pub detail: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("{message}")]
    Invalid { message: String, faults: Vec<Fault> },
    /// Nobody is signed in, or no longer.
    #[error("{0}")]
    Unauthenticated(String),
    #[error("{0}")]
    Forbidden(String),
    /// Not there, or not for the caller to see.
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("{message}")]
    Conflict {
        message: String,
        field: Option<&'static str>,
    },
    #[error("too many attempts; try again in {retry_after_seconds} s")]
    RateLimited { retry_after_seconds: u64 },
    /// The caller has as much going on as one may.
    #[error("{0}")]
    TooMany(&'static str),
    /// Too much is going on; nothing was done.
    #[error("the server is busy; try again")]
    Busy,
    /// The answer did not wait for the end, and what was begun goes on.
    #[error("this takes too long, and it is not known whether it was done; look before you try again")]
    OutOfTime,
    /// The database does not answer.
    #[error("the database is not available at the moment; try again")]
    Unavailable(#[source] Source),
    #[error("internal error")]
    Internal(#[source] Source),
}

// === impl ServiceError ===

impl ServiceError {
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    /// One wrong field.
    pub fn field(field: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Invalid {
            message: "the request is not valid".to_owned(),
            faults: vec![Fault {
                field: field.into(),
                detail: detail.to_string(),
            }],
        }
    }

    /// What it came from, for the log.
    pub(crate) fn causes(&self) -> String {
        let mut text = String::new();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }

    /// Nothing is wrong with a field, but the request cannot be done as it stands.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            faults: Vec::new(),
        }
    }
}

impl From<StoreError> for ServiceError {
    /// Each cause is placed by hand; a new one does not compile until somebody has thought about it.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::NameTaken(field) => Self::Conflict {
                message: format!("this {} is taken", spoken(field.as_str())),
                field: Some(field.as_str()),
            },
            StoreError::AlreadySetUp => Self::Conflict {
                message: "the first user exists already; sign in instead".to_owned(),
                field: None,
            },
            StoreError::LastOwner => Self::refused("this is the last active owner; make another one first"),
            StoreError::AuthorGone => Self::Unauthenticated(
                "you are signed out or your session has expired; sign in again".to_owned(),
            ),
            StoreError::AuthorForbidden => Self::Forbidden("your roles do not allow this".to_owned()),
            StoreError::UserGone => Self::NotFound("user"),
            StoreError::UserSuspended => Self::Unauthenticated("this account is suspended".to_owned()),
            StoreError::PasswordChanged => {
                Self::Unauthenticated("the password was changed meanwhile; sign in again".to_owned())
            }
            StoreError::ServiceAccount => Self::refused("a service account has no password"),
            StoreError::TooManyTokens { limit } => Self::refused(format!(
                "a user can have {limit} tokens at most; remove some first"
            )),
            StoreError::UnstorableText { field, fault } => Self::field(field.as_str(), fault),
            error @ (StoreError::Timeout { .. } | StoreError::Unavailable { .. }) => {
                Self::Unavailable(error.into())
            }
            error @ (StoreError::TokenIdTaken | StoreError::BadRow { .. } | StoreError::Database { .. }) => {
                Self::Internal(error.into())
            }
        }
    }
}

fn spoken(field: &str) -> String {
    field.replace('_', " ")
}
