//! Where the database is, and what it is opened for.

use std::fmt;
use std::path::PathBuf;

use gateway_core::Secret;

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Target {
    /// A file, made if it is not there.
    Sqlite { path: PathBuf },
    /// A `postgres://` URL, which may hold a password. Between here and the server there can be no pooler that
    /// shares one connection among sessions: locks belong to a session.
    Postgres { url: Secret },
}

/// The name of the SQLite file where none is given.
pub const DEFAULT_FILE_NAME: &str = "coder.db";

/// Which engine a store runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// What the database is opened for. It decides which lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To serve. One server at a time on SQLite, any number on PostgreSQL.
    Server,
    /// For a command that works on the database directly. Alone.
    Offline,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub target: Target,
    /// Bound of the connections that ordinary reads share. Writes and token lookups have a few of their own
    /// beside these, and PostgreSQL one more for the lock.
    pub max_connections: u32,
    /// What the commit of records on SQLite is safe against. PostgreSQL decides for itself.
    pub record_synchronous: Synchronous,
}

/// What a commit is safe against, on SQLite. The death of the process is no danger in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// The last commits may be lost when the machine loses its power. Nothing else is.
    #[default]
    Normal,
    /// Loss of power too, at the price of waiting for the disk.
    Full,
}

/// A database URL that cannot be used. Never shows the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("a database URL begins with sqlite: or postgres://")]
    Scheme,
    #[error("the database URL names no file after sqlite:")]
    NoPath,
    #[error("a database in memory would lose every account at exit; name a file after sqlite:")]
    InMemory,
    #[error("a sqlite: URL is a path and nothing else; it takes no options after a question mark")]
    Options,
    #[error("the PostgreSQL URL cannot be read: {0}")]
    Postgres(String),
}

// === impl Target ===

impl Target {
    /// Reads `sqlite:<path>`, `sqlite://<path>` (taken literally, so that three slashes begin an absolute path),
    /// `postgres://...` or `postgresql://...`.
    pub fn parse(database_url: &Secret) -> Result<Self, InvalidTarget> {
        let url = database_url.expose().trim();
        if let Some(rest) = url.strip_prefix("sqlite:") {
            return Self::parse_sqlite(rest.strip_prefix("//").unwrap_or(rest));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            crate::open::postgres_options(url)?;
            return Ok(Self::Postgres {
                url: Secret::new(url),
            });
        }
        Err(InvalidTarget::Scheme)
    }

    fn parse_sqlite(path: &str) -> Result<Self, InvalidTarget> {
        if path.is_empty() {
            return Err(InvalidTarget::NoPath);
        }
        if path.contains(":memory:") {
            return Err(InvalidTarget::InMemory);
        }
        if path.contains('?') {
            return Err(InvalidTarget::Options);
        }
        Ok(Self::Sqlite {
            path: PathBuf::from(path),
        })
    }

    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres { .. } => Engine::Postgres,
        }
    }
}

/// For messages: the file, or user, host and database, never a password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "{}", path.display()),
            Self::Postgres { url } => match crate::open::postgres_options(url.expose()) {
                Ok(options) => {
                    let database = options.get_database().unwrap_or(options.get_username());
                    write!(f, "postgres://{}@", options.get_username())?;
                    match options.get_socket() {
                        Some(socket) => write!(f, "{}/{database}", socket.display()),
                        None => write!(f, "{}:{}/{database}", options.get_host(), options.get_port()),
                    }
                }
                Err(_) => f.write_str("postgres"),
            },
        }
    }
}

// === impl StoreOptions ===

impl StoreOptions {
    pub const DEFAULT_MAX_CONNECTIONS: u32 = 10;

    pub const fn new(target: Target) -> Self {
        Self {
            target,
            max_connections: Self::DEFAULT_MAX_CONNECTIONS,
            record_synchronous: Synchronous::Normal,
        }
    }
}

// === impl Engine ===

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, InvalidTarget> {
        Target::parse(&Secret::new(url))
    }

    #[test]
    fn sqlite_urls_are_paths() {
        for (url, expected) in [
            ("sqlite:coder.db", "coder.db"),
            ("sqlite://coder.db", "coder.db"),
            ("sqlite:/var/lib/coder.db", "/var/lib/coder.db"),
            ("sqlite:///var/lib/coder.db", "/var/lib/coder.db"),
            ("sqlite:./a b%20.db", "./a b%20.db"),
        ] {
            let Ok(Target::Sqlite { path }) = parse(url) else {
                panic!("{url}")
            };
            assert_eq!(path, PathBuf::from(expected), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (url, expected) in [
            ("", InvalidTarget::Scheme),
            ("mysql://h/d", InvalidTarget::Scheme),
            ("coder.db", InvalidTarget::Scheme),
            ("sqlite:", InvalidTarget::NoPath),
            ("sqlite://", InvalidTarget::NoPath),
            ("sqlite::memory:", InvalidTarget::InMemory),
            ("sqlite:a.db?mode=ro", InvalidTarget::Options),
        ] {
            assert_eq!(parse(url).unwrap_err(), expected, "{url}");
        }
        assert!(matches!(
            parse("postgres://h:notaport/d"),
            Err(InvalidTarget::Postgres(_))
        ));
    }

    #[test]
    fn the_password_is_never_shown() {
        for url in [
            "postgres://ann:hunter2secret@db.example:5433/gateway",
            "postgresql://ann:hunter2secret@h/d?sslmode=disable",
        ] {
            let target = parse(url).unwrap();
            assert!(!format!("{target} {target:?}").contains("hunter2secret"));
        }
        let shown = parse("postgres://ann:x@db.example:5433/gateway")
            .unwrap()
            .to_string();
        assert_eq!(shown, "postgres://ann@db.example:5433/gateway");
        for bad in [
            "postgres://ann:hunter2secret@h:port/d",
            "postgres://ann:hunter2secret@h/d?port=x",
        ] {
            assert!(!parse(bad).unwrap_err().to_string().contains("hunter2secret"));
        }
    }
}
