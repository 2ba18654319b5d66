//! Days, weeks and months, UTC, the newest last.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

/// How long a period is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    Day,
    /// From Monday on.
    Week,
    Month,
}

/// From one day to another, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) first: Date,
    pub(super) last: Date,
    /// For beneath a bar.
    pub(super) label: String,
}

// === impl Length ===

impl Length {
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|length| length.as_str() == text)
    }

    /// How many are shown at once.
    const fn count(self) -> usize {
        match self {
            Self::Day => 14,
            Self::Week | Self::Month => 12,
        }
    }

    /// Some of them, the one that `last` is in as the last.
    pub(super) fn until(self, last: Date) -> Vec<Period> {
        let mut periods = Vec::new();
        let mut day = last;
        for _ in 0..self.count() {
            let period = self.around(day);
            day = period.first.saturating_sub(1.day());
            periods.push(period);
        }
        periods.reverse();
        periods
    }

    fn around(self, day: Date) -> Period {
        let (first, last) = match self {
            Self::Day => (day, day),
            Self::Week => {
                let since_monday = i64::from(day.weekday().since(Weekday::Monday));
                let monday = day.saturating_sub(since_monday.days());
                (monday, monday.saturating_add(6.days()))
            }
            Self::Month => (day.first_of_month(), day.last_of_month()),
        };
        let label = match self {
            Self::Day | Self::Week => first.strftime("%-d %b").to_string(),
            Self::Month => first.strftime("%b %y").to_string(),
        };
        Period { first, last, label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(length: Length) -> (usize, String, String, String) {
        let periods = length.until("2026-03-01".parse().unwrap());
        let last = periods.last().unwrap();
        let times = (last.first.to_string(), last.last.to_string());
        for pair in periods.windows(2) {
            assert_eq!(pair[0].last.tomorrow().unwrap(), pair[1].first);
        }
        (periods.len(), times.0, times.1, last.label.clone())
    }

    #[test]
    fn periods_follow_each_other() {
        let text = str::to_owned;
        assert_eq!(
            shown(Length::Day),
            (14, text("2026-03-01"), text("2026-03-01"), text("1 Mar"))
        );
        // A Sunday.
        assert_eq!(
            shown(Length::Week),
            (12, text("2026-02-23"), text("2026-03-01"), text("23 Feb"))
        );
        assert_eq!(
            shown(Length::Month),
            (12, text("2026-03-01"), text("2026-03-31"), text("Mar 26"))
        );
    }
}
