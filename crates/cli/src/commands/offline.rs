//! What the commands share that work on the database directly, while no server holds it.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use gateway_core::Secret;
use gateway_store::{DEFAULT_FILE_NAME, Purpose, Store, StoreOptions, Target};

use super::Context;
use crate::exit::one_line;

/// Which database. Without any, the embedded one in the configuration directory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct Database {
    /// URL of the PostgreSQL database. Prefer the variable or the file: others can see flags.
    #[arg(long, env = "CODER_PG_CONNECTION_URL", value_name = "URL")]
    postgres_url: Option<Secret>,
    /// File with the value of --postgres-url.
    #[arg(long, env = "CODER_PG_CONNECTION_URL_FILE", value_name = "PATH")]
    postgres_url_file: Option<PathBuf>,
    /// URL of the database, postgres://... or sqlite:PATH; by default the file in the configuration directory.
    #[arg(long = "database-url", env = "CODER_DATABASE_URL", value_name = "URL")]
    url: Option<Secret>,
    /// File with the value of --database-url.
    #[arg(
        long = "database-url-file",
        env = "CODER_DATABASE_URL_FILE",
        value_name = "PATH"
    )]
    url_file: Option<PathBuf>,
}

// === impl Database ===

impl Database {
    /// Opens the database, alone. With `must_exist` a file that is not there is an error and is not made.
    pub(crate) async fn open(&self, context: &Context, must_exist: bool) -> anyhow::Result<Store> {
        let target = self.target(context)?;
        if let Target::Sqlite { path } = &target
            && must_exist
            && !path.exists()
        {
            bail!(
                "there is no database {}; name it with --database-url or --postgres-url, or its directory with \
                 --global-config",
                path.display()
            );
        }
        Store::open(StoreOptions::new(target), Purpose::Offline)
            .await
            // Without its causes the line would not say what to do.
            .map_err(|error| anyhow!(one_line(&error.into())))
    }

    fn target(&self, context: &Context) -> anyhow::Result<Target> {
        let postgres = one(
            "--postgres-url",
            self.postgres_url.as_ref(),
            self.postgres_url_file.as_ref(),
        )?;
        let any = one("--database-url", self.url.as_ref(), self.url_file.as_ref())?;
        match (postgres, any) {
            (Some(one), Some(other)) if one.expose() != other.expose() => {
                bail!("--postgres-url and --database-url name different databases; take one out")
            }
            (Some(url), _) => match Target::parse(&url)? {
                Target::Sqlite { .. } => bail!("--postgres-url takes a postgres:// URL; use --database-url"),
                postgres @ Target::Postgres { .. } => Ok(postgres),
            },
            (None, Some(url)) => Ok(Target::parse(&url)?),
            (None, None) => Ok(Target::Sqlite {
                path: context.config.path().join(DEFAULT_FILE_NAME),
            }),
        }
    }
}

/// The value of an option, or what is in the file that stands for it. Empty is as good as not there.
fn one(option: &str, value: Option<&Secret>, file: Option<&PathBuf>) -> anyhow::Result<Option<Secret>> {
    let value = value.cloned().filter(|value| !value.expose().trim().is_empty());
    let file = file.filter(|path| !path.as_os_str().is_empty());
    match (value, file) {
        (Some(_), Some(_)) => bail!("give {option} or {option}-file, not both"),
        (Some(value), None) => Ok(Some(Secret::new(value.expose().trim()))),
        (None, Some(path)) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            if text.trim().is_empty() {
                bail!("{} is empty", path.display());
            }
            Ok(Some(Secret::new(text.trim())))
        }
        (None, None) => Ok(None),
    }
}
