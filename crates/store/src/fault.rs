//! What goes wrong inside an operation, before it is known to the caller by the operation's name.

use crate::error::StoreError;

/// An error of the database, or an answer that is already final.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(DatabaseError),
    Store(StoreError),
}

/// What a library says of the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Sqlx(#[from] sqlx::Error),
    /// Of the connection that commits records on SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// What an error of the database means for the caller.
enum Kind {
    Conflict,
    Timeout,
    Unavailable,
    Refused,
}

impl Fault {
    /// The transaction was aborted for the sake of another and may be tried again.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(kind(error), Kind::Conflict))
    }

    pub(crate) fn into_store_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(source) => match kind(&source) {
                Kind::Timeout => StoreError::Timeout { operation },
                Kind::Conflict | Kind::Unavailable => StoreError::Unavailable { operation, source },
                Kind::Refused => StoreError::Database { operation, source },
            },
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error.into())
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error.into())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn kind(error: &DatabaseError) -> Kind {
    match error {
        DatabaseError::Sqlx(error) => sqlx_kind(error),
        DatabaseError::Sqlite(error) => embedded_code(error).map_or(Kind::Refused, sqlite_kind),
    }
}

/// The extended result code, if it is an answer of SQLite.
fn embedded_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

fn sqlx_kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Kind::Unavailable,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error
                .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .is_some()
            {
                postgres_kind(&code)
            } else {
                code.parse().map_or(Kind::Refused, sqlite_kind)
            }
        }
        _ => Kind::Refused,
    }
}

/// SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres_kind(code: &str) -> Kind {
    match code {
        // Serialization failure, deadlock.
        "40001" | "40P01" => Kind::Conflict,
        // Statement timeout, lock timeout.
        "57014" | "55P03" => Kind::Timeout,
        // A standby after a change of roles; a transaction that stood idle for too long.
        "25006" | "25P03" => Kind::Unavailable,
        // Connection, resources, intervention of an operator, the system.
        _ if ["08", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Kind::Unavailable
        }
        _ => Kind::Refused,
    }
}

/// Extended result codes, the primary one in the low byte, <https://www.sqlite.org/rescode.html>.
fn sqlite_kind(code: i32) -> Kind {
    match code & 0xff {
        // Busy, locked, read-only file, I/O error, disk full, cannot open.
        5 | 6 | 8 | 10 | 13 | 14 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

/// Whether the database refused a value, rather than the statement or everything.
pub(crate) fn is_about_data(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Sqlx(error) => is_about_data_of_sqlx(error),
        DatabaseError::Sqlite(error) => embedded_code(error).is_some_and(is_about_data_of_sqlite),
    }
}

/// Too big, constraint, type, range.
fn is_about_data_of_sqlite(code: i32) -> bool {
    matches!(code & 0xff, 18 | 19 | 20 | 25)
}

fn is_about_data_of_sqlx(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error
                .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .is_some()
            {
                // Data, constraints, limits of the program such as that of an index.
                ["22", "23", "54"].iter().any(|class| code.starts_with(class))
            } else {
                code.parse().is_ok_and(is_about_data_of_sqlite)
            }
        }
        _ => false,
    }
}
