//! What is logged, and where to.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

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
        let human = reader.value(&LOG_HUMAN, parse_target);
        let json = reader.value(&LOG_JSON, parse_target);
        let filter = reader.value(&LOG_FILTER, |text| match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(format!(
                "not a filter ({error}); write for example info or info,gateway_relay=debug"
            )),
        });
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

fn parse_target(text: &str) -> Result<Option<LogTarget>, std::convert::Infallible> {
    Ok(match text {
        "" => None,
        "/dev/stderr" => Some(LogTarget::Stderr),
        "/dev/stdout" => Some(LogTarget::Stdout),
        path => Some(LogTarget::File(PathBuf::from(path))),
    })
}
