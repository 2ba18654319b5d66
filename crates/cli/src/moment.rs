//! Times on the command line.

use std::fmt;
use std::str::FromStr;

use gateway_api_types::Time;
use gateway_core::{Clock as _, Lifetime, SystemClock};

/// A time that was given as such, or as a span before now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Time);

// === impl Moment ===

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ago) = text.parse::<Lifetime>() {
            return Ok(Self(SystemClock.now().minus(ago.as_duration()).into()));
        }
        text.parse()
            .map(Self)
            .map_err(|_| "write a time as in 2026-01-31T12:00:00Z, or how long ago, as in 7d")
    }
}

impl fmt::Display for Moment {
    /// As the API takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
