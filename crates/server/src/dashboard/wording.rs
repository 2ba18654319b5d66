//! What was recorded, in words and numbers for people.

use std::fmt::Write as _;

use gateway_core::Timestamp;
use gateway_core::interception::{CredentialKind, Mark, Outcome};
use gateway_store::TokenSums;

/// How something stands, as a tag says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) text: &'static str,
    /// `good`, `bad` or nothing.
    pub(super) class: &'static str,
}

/// How an interception ended, or that it has not.
pub(super) const fn outcome(outcome: Option<Outcome>) -> Tag {
    let (text, class) = match outcome {
        None => ("Running", ""),
        Some(Outcome::Completed) => ("Completed", "good"),
        Some(Outcome::ProviderError) => ("Provider error", "bad"),
        Some(Outcome::ProviderBroke) => ("Provider broke off", "bad"),
        Some(Outcome::ClientGone) => ("Client went away", ""),
        Some(Outcome::Revoked) => ("Cut: right taken away", "bad"),
        Some(Outcome::GatewayError) => ("Gateway error", "bad"),
        Some(Outcome::Interrupted) => ("Interrupted: server ended", "bad"),
    };
    Tag { text, class }
}

pub(super) const fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::ObservationIncomplete => {
            "Incomplete: something in the answer could not be read, so this record may lack it."
        }
        Mark::BodyNotJson => "The body of the request is not JSON.",
        Mark::TokenInBody => "The body of the request held a token of this gateway.",
        Mark::PromptCut => "The prompt was too long and was cut when it was recorded.",
        Mark::TextMended => "Characters that cannot be stored were replaced.",
        Mark::UsageNotReported => "The provider was not asked to report tokens, so they are not known.",
        Mark::Unrecordable => "The database refused the record; only that it was there is known.",
    }
}

pub(super) const fn credential(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Centralized => "the organisation's key",
        CredentialKind::Byok => "the person's own credential",
    }
}

/// What a model said beside its answer.
pub(super) fn thought(source: &str) -> &'static str {
    match source {
        "commentary" => "Commentary",
        "reasoning_summary" => "Summary of the reasoning",
        _ => "Reasoning",
    }
}

/// With commas between thousands.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To three digits: `950`, `12.3k`, `4.56M`.
pub(super) fn short(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    let Some((unit, letter)) = UNITS.into_iter().find(|(unit, _)| count >= *unit) else {
        return count.to_string();
    };
    let (whole, hundredths) = (count / unit, count % unit * 100 / unit);
    match whole {
        0..10 => format!("{whole}.{hundredths:02}{letter}"),
        10..100 => format!("{whole}.{}{letter}", hundredths / 10),
        _ => format!("{whole}{letter}"),
    }
}

/// `1 thing`, `2 things`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", number(count))
}

/// From one time to another.
pub(super) fn duration(from: Timestamp, to: Timestamp) -> String {
    let millis = to.as_micros().saturating_sub(from.as_micros()).max(0) / 1000;
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// All that there is of tokens, the largest parts first.
pub(super) fn tokens(sums: &TokenSums) -> String {
    let mut text = format!("{} in, {} out", short(sums.input), short(sums.output));
    for (count, what) in [
        (sums.cache_read_input, "from cache"),
        (sums.cache_write_input, "to cache"),
        (sums.reasoning, "reasoning"),
    ] {
        if count > 0 {
            write!(text, ", {} {what}", short(count)).expect("a string takes everything");
        }
    }
    text
}

/// At most so many characters; names from outside can be long.
pub(super) fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (count, long, brief) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_000, "1,000", "1.00k"),
            (12_345, "12,345", "12.3k"),
            (999_999, "999,999", "999k"),
            (4_560_000, "4,560,000", "4.56M"),
            (u64::MAX, "18,446,744,073,709,551,615", "18446744T"),
        ] {
            assert_eq!((number(count), short(count)), (long.to_owned(), brief.to_owned()));
        }
        assert_eq!(counted(1, "step"), "1 step");
        assert_eq!(counted(1200, "step"), "1,200 steps");
    }

    #[test]
    fn durations() {
        for (millis, text) in [
            (-5, "0 ms"),
            (950, "950 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
        ] {
            let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(millis * 1000));
            assert_eq!(duration(from, to), text);
        }
    }

    #[test]
    fn long_names_are_shortened_by_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü…");
    }
}
