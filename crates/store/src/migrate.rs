//! The migrations, compiled in, and how they are applied. The rules for them are in `migrations/README.md`.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use crate::error::OpenError;
use crate::target::Target;

pub(crate) static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
pub(crate) static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long migrations may take. A server that hangs in its own would hold up all others for ever.
const TIME_LIMIT: Duration = Duration::from_mins(15);

/// Applies what is missing. Several processes that do so at once on PostgreSQL wait for each other.
pub(crate) async fn run<C: Migrate>(
    migrator: &Migrator,
    connection: &mut C,
    target: &Target,
) -> Result<(), OpenError> {
    let database = target.to_string();
    match tokio::time::timeout(TIME_LIMIT, migrator.run_direct(None, connection, false)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(MigrateError::VersionMissing(version))) => Err(OpenError::NewerSchema { database, version }),
        Ok(Err(error)) => Err(OpenError::Migrate {
            database,
            source: error.into(),
        }),
        Err(error) => Err(OpenError::Migrate {
            database,
            source: error.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations() {
        let names = |migrator: &Migrator| {
            migrator
                .iter()
                .map(|step| (step.version, step.description.to_string()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&SQLITE), names(&POSTGRES));
        assert!(!names(&SQLITE).is_empty());
    }
}
