//! The environment as it was when the process started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// A copy of the environment's variables. Whoever needs one is handed this, so that tests can set them.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

// === impl Environment ===

impl Environment {
    /// The variables of this process.
    pub fn read() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The value of a variable. One that is empty is as good as not there, but for options that say otherwise.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The names that are text; no option has another.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    /// Names alone: many a value is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
