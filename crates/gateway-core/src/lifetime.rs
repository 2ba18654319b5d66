//! Lifetimes as people write them: `30d`, `720h`, `1y`, `1h30m`.
//!
//! The syntax is strict on purpose: every number has a unit, units come in falling order and once each, and
//! there is no sign, fraction or blank. `y` is 365 days. humantime does the arithmetic, but only on text that
//! was checked first, since it also takes blanks, words, and a year of 365.25 days.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time above zero that fits the REST API's 64-bit nanoseconds (about 292 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(Duration);

/// Why a text is not a lifetime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLifetime {
    #[error("a lifetime is missing; write for example 30d, 720h or 1h30m")]
    Empty,
    #[error(
        "{0:?} is not a lifetime; write numbers with units and nothing else, for example 30d, 720h or 1h30m"
    )]
    Syntax(String),
    #[error("{0:?} has a number without a unit; units are y, d, h, m, s, ms, us and ns")]
    MissingUnit(String),
    #[error("{unit:?} is not a unit of time; units are y, d, h, m, s, ms, us and ns")]
    UnknownUnit { unit: String },
    #[error("{0:?} names its units twice or out of order; write larger units first, for example 1d12h")]
    Order(String),
    #[error("a lifetime must be longer than zero")]
    Zero,
    #[error("a lifetime must be shorter than 292 years")]
    TooLong,
}

/// The units in falling order, with what humantime calls them and how many of those one is.
const UNITS: [(&str, &str, u64); 9] = [
    ("y", "d", 365),
    ("d", "d", 1),
    ("h", "h", 1),
    ("m", "m", 1),
    ("s", "s", 1),
    ("ms", "ms", 1),
    ("us", "us", 1),
    ("µs", "us", 1),
    ("ns", "ns", 1),
];

// === impl Lifetime ===

impl Lifetime {
    pub const fn from_secs(seconds: u64) -> Option<Self> {
        if seconds == 0 || seconds > (i64::MAX as u64) / 1_000_000_000 {
            return None;
        }
        Some(Self(Duration::from_secs(seconds)))
    }

    pub const fn from_days(days: u64) -> Option<Self> {
        match days.checked_mul(86_400) {
            Some(seconds) => Self::from_secs(seconds),
            None => None,
        }
    }

    /// From the REST API's nanoseconds; none unless it is above zero.
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?;
        Some(Self(Duration::from_nanos(nanos)))
    }

    /// For the REST API.
    pub fn as_nanos(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Whole seconds, rounded up so that a short lifetime is not shown as none.
    pub fn as_secs_ceil(self) -> i64 {
        i64::try_from(self.0.as_nanos().div_ceil(1_000_000_000)).unwrap_or(i64::MAX)
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<Duration> for Lifetime {
    type Error = InvalidLifetime;

    fn try_from(duration: Duration) -> Result<Self, InvalidLifetime> {
        match i64::try_from(duration.as_nanos()) {
            Ok(0) => Err(InvalidLifetime::Zero),
            Ok(_) => Ok(Self(duration)),
            Err(_) => Err(InvalidLifetime::TooLong),
        }
    }
}

impl FromStr for Lifetime {
    type Err = InvalidLifetime;

    fn from_str(text: &str) -> Result<Self, InvalidLifetime> {
        let mut total = Duration::ZERO;
        let mut next_unit = 0;
        for group in groups(text)? {
            let (number, unit) = group;
            let index = UNITS.iter().position(|(name, ..)| *name == unit).ok_or_else(|| {
                InvalidLifetime::UnknownUnit {
                    unit: unit.to_owned(),
                }
            })?;
            if index < next_unit {
                return Err(InvalidLifetime::Order(text.to_owned()));
            }
            // `us` and `µs` are one unit with two spellings.
            next_unit = if unit == "us" { index + 2 } else { index + 1 };
            let (_, name, factor) = UNITS[index];
            let count = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(factor))
                .ok_or(InvalidLifetime::TooLong)?;
            let part =
                humantime::parse_duration(&format!("{count}{name}")).map_err(|_| InvalidLifetime::TooLong)?;
            total = total.checked_add(part).ok_or(InvalidLifetime::TooLong)?;
        }
        Self::try_from(total)
    }
}

impl fmt::Display for Lifetime {
    /// The shortest text that parses back to the same lifetime, in days and smaller units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        for (unit, size) in [
            ("d", 86_400_000_000_000_u128),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
        ] {
            if nanos >= size {
                write!(f, "{}{unit}", nanos / size)?;
                nanos %= size;
            }
        }
        Ok(())
    }
}

/// Splits `1h30m` into `("1", "h")` and `("30", "m")`.
fn groups(text: &str) -> Result<Vec<(&str, &str)>, InvalidLifetime> {
    if text.is_empty() {
        return Err(InvalidLifetime::Empty);
    }
    let syntax = || InvalidLifetime::Syntax(text.chars().take(64).collect());
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(syntax());
        }
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic() && c != 'µ')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(if tail.is_empty() {
                InvalidLifetime::MissingUnit(text.chars().take(64).collect())
            } else {
                syntax()
            });
        }
        found.push((number, unit));
        rest = tail;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> u64 {
        text.parse::<Lifetime>().unwrap().as_duration().as_secs()
    }

    #[test]
    fn takes_what_people_write() {
        assert_eq!(seconds("30d"), 30 * 86_400);
        assert_eq!(seconds("720h"), 720 * 3_600);
        assert_eq!(seconds("1y"), 365 * 86_400);
        assert_eq!(seconds("1h30m"), 5_400);
        assert_eq!(seconds("1y1d1h1m1s"), 366 * 86_400 + 3_661);
        assert_eq!("5µs".parse(), "5us".parse::<Lifetime>());
        assert_eq!("1ns".parse::<Lifetime>().unwrap().as_nanos(), 1);
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "30",
            "1d12",
            "0d",
            "0s",
            "1.5d",
            "-1d",
            "+1d",
            "1 d",
            " 1d",
            "1d ",
            "1D",
            "1M",
            "1w",
            "1mo",
            "d",
            "1h1d",
            "1h1h",
            "1us1µs",
            "1|d",
            "293y",
            "99999999999999999999d",
            "1day",
            "1d-",
            "٣d",
            "1e3s",
        ] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(nanos in 1..=i64::MAX) {
            let lifetime = Lifetime::from_nanos(nanos).unwrap();
            prop_assert_eq!(lifetime.to_string().parse::<Lifetime>(), Ok(lifetime));
        }

        #[test]
        fn never_panics_and_never_takes_a_bare_number(text in "\\PC{0,24}") {
            if text.parse::<Lifetime>().is_ok() {
                prop_assert!(text.ends_with(|c: char| c.is_ascii_lowercase()));
                prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == 'µ'));
            }
        }

        #[test]
        fn sums_its_groups(days in 0u64..100_000, hours in 0u64..100_000, seconds_ in 1u64..100_000) {
            let text = format!("{days}d{hours}h{seconds_}s");
            prop_assert_eq!(seconds(&text), days * 86_400 + hours * 3_600 + seconds_);
        }
    }
}
