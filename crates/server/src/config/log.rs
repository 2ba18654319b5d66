//! What is logged, and where to.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::Read;
use super::names;
use super::option::{Section, ServerOption};
use super::reader::Reader;

const LOG_HUMAN: ServerOption = ServerOption::text(
    names::LOG_HUMAN,
    "PATH",
    "File for the log as people read it; empty for none",
)
.default("/dev/stderr")
.or_empty();
const LOG_JSON: ServerOption = ServerOption::text(
    names::LOG_JSON,
    "PATH",
    "File for the log as programs read it, one JSON object a line; by default none",
)
.default("")
.or_empty();
const LOG_FILTER: ServerOption = ServerOption::text(
    names::LOG_FILTER,
    "FILTER",
    "What to log: error, warn, info, debug or trace, also by module, as in info,gateway_relay=debug",
)
.default("info")
.short('l');

pub(super) const SECTION: Section = Section {
    heading: "Logging",
    options: &[&LOG_HUMAN, &LOG_JSON, &LOG_FILTER],
};

/// What is logged, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub human: Option<LogTarget>,
    pub json: Option<LogTarget>,
    filter: String,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    /// Lines are added at its end.
    File(PathBuf),
}

// === impl LogConfig ===

impl LogConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let human = reader.value(&LOG_HUMAN, |text| Ok::<_, Infallible>(target(text)));
        let json = reader.value(&LOG_JSON, |text| Ok::<_, Infallible>(target(text)));
        let filter = reader.value(&LOG_FILTER, check_filter);
        let (human, json) = (human?, json?);
        if let (Some(LogTarget::File(one)), Some(LogTarget::File(other))) = (&human, &json)
            && one == other
        {
            return Err(reader.fault(&LOG_JSON, "is the file of --log-human too; choose another"));
        }
        Ok(Self {
            human,
            json,
            filter: filter?,
        })
    }

    pub(crate) fn filter(&self) -> EnvFilter {
        EnvFilter::builder()
            .parse(&self.filter)
            .expect("it could be read when the configuration was")
    }
}

/// A filter that says what it seems to say. A bare word that is no level would be taken for a module, and silence
/// all others: most likely it is a misspelt level.
fn check_filter(text: &str) -> Result<String, String> {
    const EXAMPLE: &str = "write for example info or info,gateway_relay=debug";
    let mut directives = text.split(',').filter(|directive| !directive.is_empty());
    let unclear = directives.find(|directive| match directive.split_once('=') {
        Some((_, level)) => level.is_empty(),
        None => LevelFilter::from_str(directive).is_err(),
    });
    if let Some(unclear) = unclear {
        return Err(format!("{unclear:?} is not a level of logging; {EXAMPLE}"));
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("not a filter ({error}); {EXAMPLE}")),
    }
}

fn target(text: &str) -> Option<LogTarget> {
    match text {
        "" => None,
        "/dev/stderr" => Some(LogTarget::Stderr),
        "/dev/stdout" => Some(LogTarget::Stdout),
        path => Some(LogTarget::File(PathBuf::from(path))),
    }
}
