//! Everything that is wrong with a configuration.

use std::fmt;

/// All faults of a configuration; there is at least one. None shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<String>,
}

/// A value could not be read, and the reason has been noted among the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faulty;

/// What reading a part of the configuration gives.
pub(super) type Read<T> = Result<T, Faulty>;

/// Stands for a value that is not shown at all.
const HIDDEN: &str = "(not shown, since it may hold a secret)";

/// As much of a value as a message shows.
const SHOWN: usize = 120;

// === impl ConfigError ===

impl ConfigError {
    /// Whatever was quoted on the way here, each fault becomes one line and shows no gateway token.
    pub(super) fn new(faults: Vec<String>) -> Self {
        let clean = |fault: String| gateway_core::token::redact(&fault).replace(char::is_control, " ");
        Self {
            faults: faults.into_iter().map(clean).collect(),
        }
    }

    /// One line each: which option, what it was, and what to do about it.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A value for a message: quoted, not too long, on one line, and without any gateway token. What could be an address
/// with a password or key in it is not shown at all.
pub(super) fn quoted(value: &str) -> String {
    match shown(value) {
        Some(shown) => format!("{shown:?}"),
        None => HIDDEN.to_owned(),
    }
}

/// The same without quotes, for the audit log.
pub(super) fn told(value: &str) -> String {
    shown(value).unwrap_or_else(|| HIDDEN.to_owned())
}

fn shown(value: &str) -> Option<String> {
    if value.contains(['@', '?']) {
        return None;
    }
    let redacted = gateway_core::token::redact(value);
    let mut shown: String = redacted.chars().take(SHOWN).collect();
    if shown.len() < redacted.len() {
        shown.push('…');
    }
    Some(shown)
}
