//! Where users and tokens are kept.

use std::path::Path;

use gateway_core::Secret;
use gateway_store::{DEFAULT_FILE_NAME, InvalidTarget, StoreOptions, Synchronous, Target};

use super::error::Read;
use super::names;
use super::option::{Section, ServerOption};
use super::reader::Reader;

const POSTGRES_URL: ServerOption = ServerOption::secret(
    names::POSTGRES_URL,
    names::POSTGRES_URL_FILE,
    "URL",
    "URL of a PostgreSQL database to use instead of the embedded SQLite file",
);
const DATABASE_URL: ServerOption = ServerOption::secret(
    names::DATABASE_URL,
    names::DATABASE_URL_FILE,
    "URL",
    "URL of the database, postgres://... or sqlite:PATH; by default the file coder.db in the configuration directory",
);
const POSTGRES_CONN_MAX_OPEN: ServerOption = ServerOption::text(
    names::POSTGRES_CONN_MAX_OPEN,
    "NUMBER",
    "Connections to the database that ordinary reads share; a few more serve writes and the checking of tokens",
)
.default("10");

const SQLITE_SYNCHRONOUS: ServerOption = ServerOption::text(
    names::SQLITE_SYNCHRONOUS,
    "LEVEL",
    "What records in SQLite are safe against: normal for the death of the process, full for loss of power too. \
     Accounts and tokens are always safe against both",
)
.default("normal");

pub(super) const SECTION: Section = Section {
    heading: "Database",
    options: &[
        &POSTGRES_URL,
        &DATABASE_URL,
        &POSTGRES_CONN_MAX_OPEN,
        &SQLITE_SYNCHRONOUS,
    ],
};

/// Which database, and how much of it.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub target: Target,
    pub max_connections: u32,
    pub record_synchronous: Synchronous,
}

// === impl DatabaseConfig ===

impl DatabaseConfig {
    pub(super) fn read(reader: &mut Reader<'_>, config_dir: &Path) -> Read<Self> {
        let postgres = reader.secret(&POSTGRES_URL, |url| match Target::parse(&url) {
            Ok(Target::Sqlite { .. }) | Err(InvalidTarget::Scheme) => {
                Err("it must begin with postgres://; for SQLite use --database-url".to_owned())
            }
            Ok(target) => Ok((url, target)),
            Err(error) => Err(error.to_string()),
        });
        let any = reader.secret(&DATABASE_URL, |url| {
            Target::parse(&url).map(|target| (url, target))
        });
        let max_connections = reader.value(&POSTGRES_CONN_MAX_OPEN, |text| match text.parse() {
            Ok(count @ 1..=1000) => Ok(count),
            _ => Err("write a number from 1 to 1000"),
        });
        let record_synchronous = reader.value(&SQLITE_SYNCHRONOUS, |text| match text {
            "normal" => Ok(Synchronous::Normal),
            "full" => Ok(Synchronous::Full),
            _ => Err("write normal or full"),
        });
        let target = match (postgres?, any?) {
            (Some((one, _)), Some((other, _))) if !is_same(&one, &other) => {
                return Err(reader.fault(
                    &DATABASE_URL,
                    "and --postgres-url (CODER_PG_CONNECTION_URL) name different databases; take one out",
                ));
            }
            (Some((_, target)), _) | (None, Some((_, target))) => target,
            (None, None) => Target::Sqlite {
                path: config_dir.join(DEFAULT_FILE_NAME),
            },
        };
        Ok(Self {
            target,
            max_connections: max_connections?,
            record_synchronous: record_synchronous?,
        })
    }

    /// For opening the store.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            max_connections: self.max_connections,
            record_synchronous: self.record_synchronous,
            ..StoreOptions::new(self.target.clone())
        }
    }
}

fn is_same(one: &Secret, other: &Secret) -> bool {
    one.expose().trim() == other.expose().trim()
}
