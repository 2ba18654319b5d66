//! What can go wrong: one enum for opening a store, one for using it. A variant for each thing that a caller
//! treats differently; the sources are kept.

use std::error::Error as StdError;
use std::fmt;

use crate::fault::{self, DatabaseError};
use crate::target::Purpose;

/// Why a store could not be opened. No message shows the password of a URL.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else holds the lock that `purpose` needs.
    #[error("{}", in_use(database, *purpose))]
    InUse { database: String, purpose: Purpose },
    /// A newer version of this program has changed the database.
    #[error(
        "the database {database} was changed by a newer version (migration {version} is unknown here); \
         use that version, or restore a backup made before the upgrade"
    )]
    NewerSchema { database: String, version: i64 },
    #[error("cannot open the database {database}")]
    Connect {
        database: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("cannot bring the database {database} up to date")]
    Migrate {
        database: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The user or token that was to be changed is not there.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Another user has this username or e-mail address, or the user has a live API token of this name.
    #[error("this {0} is already taken")]
    NameTaken(Field),
    #[error("the first user has already been set up")]
    AlreadySetUp,
    #[error("the last active owner cannot be deleted, suspended or demoted")]
    LastOwner,
    /// The token that makes the write was removed or has expired, or its user was deleted or suspended.
    #[error("the token that made this request is no longer valid")]
    AuthorGone,
    /// The user that makes the write has lost the role that it needs.
    #[error("the user that made this request may no longer do this")]
    AuthorForbidden,
    /// The user that a new token is for is not there.
    #[error("the user of the new token is gone")]
    UserGone,
    /// A suspended user cannot sign in.
    #[error("the user is suspended")]
    UserSuspended,
    /// The password was changed between its check and the session made for it.
    #[error("the password was changed meanwhile")]
    PasswordChanged,
    /// A service account has neither password nor sessions.
    #[error("a service account has no password")]
    ServiceAccount,
    #[error("a user has at most {limit} API tokens that have not expired; remove one first")]
    TooManyTokens { limit: i64 },
    /// By chance the id is in use: make another token and try again.
    #[error("this token id is already in use")]
    TokenIdTaken,
    /// The text cannot be stored on both engines.
    #[error("the {field} {fault}")]
    UnstorableText { field: Field, fault: TextFault },
    /// The database did not answer in time. A write may or may not have happened.
    #[error("{operation}: the database did not answer in time")]
    Timeout { operation: &'static str },
    /// The database cannot be reached, is busy, or the store was closed. Worth trying again later.
    #[error("{operation}: the database is not available")]
    Unavailable {
        operation: &'static str,
        #[source]
        source: DatabaseError,
    },
    /// A row holds what was never written by this program.
    #[error("the row {id} of table {table} has an unusable value in column {column}")]
    BadRow {
        table: &'static str,
        column: &'static str,
        id: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Anything else that the database refused: a fault of the program.
    #[error("{operation}: the database refused")]
    Database {
        operation: &'static str,
        #[source]
        source: DatabaseError,
    },
}

/// A field that can be at fault, by the name it has in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Username,
    Email,
    /// The full name of a user.
    Name,
    TokenName,
    Password,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TextFault {
    #[error("holds the character U+0000, which cannot be stored")]
    NulCharacter,
    #[error("is longer than {} bytes", crate::text::MAX_BYTES)]
    TooLong,
}

// === impl StoreError ===

impl StoreError {
    /// Whether the database is at fault: gone, slow, full, read-only, broken, or not as it should be. The same write
    /// can succeed later. If not, the database refuses what was to be written, and will do so again.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unavailable { .. } => true,
            Self::Database { source, .. } => !fault::is_about_data(source),
            _ => false,
        }
    }
}

// === impl Field ===

impl Field {
    /// The name in the API's JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Email => "email",
            Self::Name => "name",
            Self::TokenName => "token_name",
            Self::Password => "password",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Username => "username",
            Self::Email => "e-mail address",
            Self::Name => "name",
            Self::TokenName => "token name",
            Self::Password => "password",
        })
    }
}

fn in_use(database: &str, purpose: Purpose) -> String {
    match purpose {
        Purpose::Server => format!(
            "the database {database} is in use by another server or by a command that works on it directly; \
             stop that one first"
        ),
        Purpose::Offline => format!(
            "a server is using the database {database}; stop it, or use the commands that go through the server"
        ),
    }
}
