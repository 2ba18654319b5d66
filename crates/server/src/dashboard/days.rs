//! Days in addresses and forms: `2026-01-31`, UTC.

use gateway_core::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use crate::service::error::ServiceError;

/// None if nothing is written.
pub(super) fn parse(text: &str) -> Result<Option<Date>, ServiceError> {
    if text.is_empty() {
        return Ok(None);
    }
    let date = (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten();
    date.filter(|date| date.year() >= 1970)
        .map(Some)
        .ok_or_else(|| ServiceError::refused("a day is written like 2026-01-31"))
}

/// The day that a time is in.
pub(super) fn of(at: Timestamp) -> Date {
    let time = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MAX);
    Offset::UTC.to_datetime(time).date()
}

/// Its first moment.
pub(super) fn beginning(date: Date) -> Timestamp {
    let midnight = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight()));
    Timestamp::from_micros(midnight.map_or(0, jiff::Timestamp::as_microsecond))
}

/// The first moment after it.
pub(super) fn end(date: Date) -> Timestamp {
    date.tomorrow().map_or(Timestamp::MAX, beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_spelling() {
        let day = parse("2026-01-31").unwrap().unwrap();
        assert_eq!(beginning(day).as_micros(), 1_769_817_600_000_000);
        assert_eq!(end(day), beginning(parse("2026-02-01").unwrap().unwrap()));
        assert_eq!(of(end(day)).to_string(), "2026-02-01");
        assert!(parse("").unwrap().is_none());
        for wrong in [
            "yesterday",
            "2026-02-30",
            "20260131",
            "0001-01-01",
            "2026-01-31T00:00",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(end(parse("9999-12-31").unwrap().unwrap()) > Timestamp::from_micros(0));
    }
}
