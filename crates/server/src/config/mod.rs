//! Configuration: flags, variables, a YAML file and defaults, in this order of precedence, made into typed values
//! once at the start.
//!
//! Each section declares its options and reads them; `reader` finds values, `names` holds every name. Nothing else
//! in the server reads the environment. All faults are reported together. clap is given the options so that it can
//! parse, explain and complete them, but every value stays text until it is read here: an option can come from four
//! places, in several spellings, and a fault in one must not hide the faults in others.
//!
//! A new option is a constant in `names`, a `ServerOption` in its section, and a field.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};

mod accounts;
mod aibridge;
mod audit;
mod database;
mod effective;
mod environment;
mod error;
mod file;
mod listen;
mod log;
mod names;
mod option;
mod providers;
mod proxy;
mod reader;
mod tls;
mod trusted_proxies;
mod urls;

#[cfg(test)]
mod tests;

pub use accounts::AccountConfig;
pub use aibridge::AibridgeConfig;
pub use audit::AuditConfig;
pub use database::DatabaseConfig;
pub use environment::Environment;
pub use error::ConfigError;
pub use listen::ListenConfig;
pub use log::{LogConfig, LogTarget};
pub use proxy::{AuthoritySource, ProxyConfig};
pub use tls::TlsListen;
pub use trusted_proxies::TrustedProxies;

use error::Read;
use option::{Section, ServerOption};
use reader::Reader;

const CONFIG: ServerOption = ServerOption::text(
    names::CONFIG,
    "PATH",
    "YAML file with options; its keys are the long flags without dashes in front",
)
.short('c');

const FILE_SECTION: Section = Section {
    heading: "Configuration",
    options: &[&CONFIG],
};

const SECTIONS: [&Section; 8] = [
    &FILE_SECTION,
    &listen::SECTION,
    &database::SECTION,
    &accounts::SECTION,
    &audit::SECTION,
    &aibridge::SECTION,
    &proxy::SECTION,
    &log::SECTION,
];

/// Everything that can be configured, checked. Shows no secret in its `Debug`.
#[derive(Debug)]
pub struct ServerConfig {
    pub listen: ListenConfig,
    pub database: DatabaseConfig,
    pub accounts: AccountConfig,
    pub audit: AuditConfig,
    pub aibridge: AibridgeConfig,
    /// None if the AI Gateway Proxy is off.
    pub proxy: Option<ProxyConfig>,
    pub log: LogConfig,
    /// Every option with its value as text, of secrets only whether they are set. For the audit log.
    pub options: BTreeMap<String, String>,
    /// What works and should not be, for the log.
    pub warnings: Vec<String>,
}

/// The options as given on the command line, not yet looked at. Variables are not in it.
#[derive(Clone, Default)]
pub struct ServerArgs {
    /// By long flag, in its first spelling.
    given: BTreeMap<&'static str, Vec<OsString>>,
}

// === impl ServerConfig ===

impl ServerConfig {
    /// Reads the configuration. `config_dir` is where the embedded database is, if no other one is named,
    /// and where the proxy keeps a certificate authority of its own making.
    /// An error names every fault there is.
    pub fn load(args: ServerArgs, environment: &Environment, config_dir: &Path) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(args, environment);
        refuse_unknown_variables(&mut reader);
        let path = reader.optional(&CONFIG, str::parse::<PathBuf>);
        if let Ok(Some(path)) = path {
            reader.read_file(&path, &options());
        }
        let config = Self::read(&mut reader, config_dir);
        let effective = match &config {
            Ok(_) => effective::options(&mut reader),
            Err(_) => BTreeMap::new(),
        };
        let (faults, warnings) = reader.into_faults_and_warnings();
        match config {
            Ok(config) if faults.is_empty() => Ok(Self {
                options: effective,
                warnings,
                ..config
            }),
            _ => Err(ConfigError::new(faults)),
        }
    }

    fn read(reader: &mut Reader<'_>, config_dir: &Path) -> Read<Self> {
        let listen = ListenConfig::read(reader);
        let database = DatabaseConfig::read(reader, config_dir);
        let accounts = AccountConfig::read(reader);
        let audit = AuditConfig::read(reader);
        let aibridge = AibridgeConfig::read(reader);
        let proxy = ProxyConfig::read(reader, listen.as_ref().ok(), aibridge.as_ref().ok(), config_dir);
        let log = LogConfig::read(reader);
        Ok(Self {
            listen: listen?,
            database: database?,
            accounts: accounts?,
            audit: audit?,
            aibridge: aibridge?,
            proxy: proxy?,
            log: log?,
            options: BTreeMap::new(),
            warnings: Vec::new(),
        })
    }
}

fn options() -> Vec<&'static ServerOption> {
    SECTIONS
        .iter()
        .flat_map(|section| section.options.iter().copied())
        .collect()
}

/// A misspelt variable must not be taken for a default. Only our own prefixes are looked at: the rest of `CODER_*` is
/// shared with the command line.
fn refuse_unknown_variables(reader: &mut Reader<'_>) {
    let known: Vec<String> = options()
        .iter()
        .flat_map(|option| option.names())
        .flat_map(names::Name::variables)
        .collect();
    for variable in reader.environment.names() {
        let Some(prefix) = names::VARIABLE_PREFIXES
            .into_iter()
            .find(|prefix| variable.starts_with(prefix))
        else {
            continue;
        };
        if providers::is_known(variable) || known.iter().any(|known| known == variable) {
            continue;
        }
        let candidates = known
            .iter()
            .filter(|known| known.starts_with(prefix))
            .cloned()
            .chain(providers::variables_like(variable));
        let nearest = file::nearest(variable, candidates).unwrap_or_default();
        reader.note(format!(
            "{} is not a variable of the server; did you mean {nearest}? Unset or correct it",
            error::quoted(variable).trim_matches('"')
        ));
    }
}

// === impl ServerArgs ===

impl ServerArgs {
    /// What was given for a flag, in either spelling.
    fn get(&self, flag: &str) -> &[OsString] {
        self.given.get(flag).map_or(&[], Vec::as_slice)
    }
}

impl clap::Args for ServerArgs {
    fn augment_args(command: Command) -> Command {
        SECTIONS.iter().fold(command, |command, section| {
            let args = section
                .options
                .iter()
                .flat_map(|option| option.args(section.heading));
            command.args(args)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for name in options().iter().flat_map(|option| option.names()) {
            // What clap has from the environment is read again from the copy that `load` is handed.
            if matches.value_source(name.flag) == Some(ValueSource::CommandLine) {
                let values = matches.get_many::<OsString>(name.flag).unwrap_or_default();
                self.given.insert(name.flag, values.cloned().collect());
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ServerArgs {
    /// Names alone: a value may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}
