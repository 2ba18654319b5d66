//! Times in JSON: RFC 3339, UTC, always with six digits of a second, so that texts sort as the times do.

use std::fmt;
use std::str::FromStr;

use gateway_core::Timestamp;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use utoipa::ToSchema;

/// A time in a reply, or [`Time::NEVER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
pub struct Time(jiff::Timestamp);

/// Text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTime;

/// Midnight of the first of January of year 1, in microseconds: what clients written in Go know as "no time".
const YEAR_ONE_MICROS: i64 = -62_135_596_800_000_000;

// === impl Time ===

impl Time {
    /// Stands for "has not happened": `0001-01-01T00:00:00.000000Z`.
    pub const NEVER: Self = Self(jiff::Timestamp::constant(YEAR_ONE_MICROS / 1_000_000, 0));

    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }

    pub fn from_jiff(time: jiff::Timestamp) -> Self {
        Self(time)
    }

    pub fn as_jiff(self) -> jiff::Timestamp {
        self.0
    }
}

impl From<Timestamp> for Time {
    /// What lies outside of the years that RFC 3339 can write becomes the nearest that it can.
    fn from(time: Timestamp) -> Self {
        let micros = time.as_micros();
        let nearest = if micros < YEAR_ONE_MICROS {
            return Self::NEVER;
        } else {
            jiff::Timestamp::MAX
        };
        Self(jiff::Timestamp::from_microsecond(micros).unwrap_or(nearest))
    }
}

impl From<Option<Timestamp>> for Time {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NEVER, Self::from)
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self::from_micros(time.0.as_microsecond())
    }
}

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time; write it as in 2026-01-31T12:00:00Z")
    }
}

impl std::error::Error for InvalidTime {}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        text.parse().map(Self).map_err(|_| InvalidTime)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_microseconds_and_utc() {
        let time = Time::from(Timestamp::from_micros(1_700_000_000_120_000));
        assert_eq!(
            serde_json::to_string(&time).unwrap(),
            r#""2023-11-14T22:13:20.120000Z""#
        );
        assert_eq!(Timestamp::from(time).as_micros(), 1_700_000_000_120_000);
        let other: Time = serde_json::from_str(r#""2023-11-14T23:13:20.12+01:00""#).unwrap();
        assert_eq!(other, time);
        assert!(serde_json::from_str::<Time>(r#""yesterday""#).is_err());
    }

    #[test]
    fn the_ends_can_be_written() {
        assert_eq!(Time::NEVER.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Time::from(None), Time::NEVER);
        assert_eq!(Time::from(Timestamp::from_micros(i64::MIN)), Time::NEVER);
        assert!(Time::from(Timestamp::MAX).to_string().starts_with("9999-12-30T"));
        let text = serde_json::to_string(&Time::NEVER).unwrap();
        assert!(serde_json::from_str::<Time>(&text).unwrap().is_never());
    }
}
