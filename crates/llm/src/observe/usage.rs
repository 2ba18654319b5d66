//! Counting tokens: which fields count what, how reports within one answer merge, and what is recorded of them.
//!
//! Sources: Anthropic "Messages" (`usage`; the counts in `message_delta` are cumulative), OpenAI "Chat Completions" and
//! "Responses" (`usage` with its `*_details`). OpenAI's input counts include what was read from the cache and what was
//! written to it, Anthropic's do not.

use super::Usage;
use super::fields::Step::{
    self, AcceptedPredictionTokens, AudioTokens, CacheCreation, CacheCreationInputTokens,
    CacheReadInputTokens, CacheWriteTokens, CachedTokens, CompletionTokens, CompletionTokensDetails,
    Ephemeral1h, Ephemeral5m, InputTokens, InputTokensDetails, OutputTokens, OutputTokensDetails,
    PromptTokens, PromptTokensDetails, ReasoningTokens, RejectedPredictionTokens, ServerToolUse, ServiceTier,
    ThinkingTokens, WebFetchRequests, WebSearchRequests,
};
use super::fields::{Place, Text};

/// What a field of a usage object counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Reasoning,
    CacheWrite5m,
    CacheWrite1h,
    WebSearchRequests,
    WebFetchRequests,
    InputAudio,
    OutputAudio,
    AcceptedPrediction,
    RejectedPrediction,
}

const COUNTERS: usize = Counter::RejectedPrediction as usize + 1;

/// The counters that have no column of their own, and their names.
const EXTRA: [(Counter, &str); 8] = [
    (Counter::CacheWrite5m, "cache_ephemeral_5m_input"),
    (Counter::CacheWrite1h, "cache_ephemeral_1h_input"),
    (Counter::WebSearchRequests, "web_search_requests"),
    (Counter::WebFetchRequests, "web_fetch_requests"),
    (Counter::InputAudio, "prompt_audio"),
    (Counter::OutputAudio, "completion_audio"),
    (Counter::AcceptedPrediction, "completion_accepted_prediction"),
    (Counter::RejectedPrediction, "completion_rejected_prediction"),
];

/// Counts as reported, with none where nothing or null was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts([Option<u64>; COUNTERS]);

/// What a field within a usage object is.
pub(super) fn place(path: &[Step]) -> Place {
    let counter = match path {
        [ServiceTier] => return Place::Text(Text::Tier),
        [InputTokens | PromptTokens] => Counter::Input,
        [OutputTokens | CompletionTokens] => Counter::Output,
        [CacheReadInputTokens] | [InputTokensDetails | PromptTokensDetails, CachedTokens] => {
            Counter::CacheRead
        }
        [CacheCreationInputTokens] | [InputTokensDetails | PromptTokensDetails, CacheWriteTokens] => {
            Counter::CacheWrite
        }
        [
            OutputTokensDetails | CompletionTokensDetails,
            ReasoningTokens | ThinkingTokens,
        ] => Counter::Reasoning,
        [CacheCreation, Ephemeral5m] => Counter::CacheWrite5m,
        [CacheCreation, Ephemeral1h] => Counter::CacheWrite1h,
        [ServerToolUse, WebSearchRequests] => Counter::WebSearchRequests,
        [ServerToolUse, WebFetchRequests] => Counter::WebFetchRequests,
        [InputTokensDetails | PromptTokensDetails, AudioTokens] => Counter::InputAudio,
        [OutputTokensDetails | CompletionTokensDetails, AudioTokens] => Counter::OutputAudio,
        [CompletionTokensDetails, AcceptedPredictionTokens] => Counter::AcceptedPrediction,
        [CompletionTokensDetails, RejectedPredictionTokens] => Counter::RejectedPrediction,
        [
            CacheCreation
            | ServerToolUse
            | InputTokensDetails
            | PromptTokensDetails
            | OutputTokensDetails
            | CompletionTokensDetails,
        ] => return Place::Walk,
        _ => return Place::Nothing,
    };
    Place::Count(counter)
}

/// A count as it stands in JSON; none if it is not a whole number from 0 to `i64::MAX`.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(count) = text.parse::<i64>() {
        return u64::try_from(count).ok();
    }
    // Some compatible providers write 12.0; JSON does not tell it from 12.
    let count: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and within what an f64 can tell apart"
    )]
    (count.fract() == 0.0 && (0.0..9e15).contains(&count)).then_some(count as u64)
}

// === impl Counts ===

impl Counts {
    pub(super) const fn set(&mut self, counter: Counter, value: Option<u64>) {
        self.0[counter as usize] = value;
    }

    const fn get(&self, counter: Counter) -> Option<u64> {
        self.0[counter as usize]
    }

    /// Takes a later report. Each is a total so far, so the last value of each counter stands.
    pub(super) fn merge(&mut self, later: &Self) {
        for (mine, new) in self.0.iter_mut().zip(later.0) {
            *mine = new.or(*mine);
        }
    }

    /// What is recorded. `cache_is_in_input` says how the provider counts. The second value is false if the counts
    /// contradict each other.
    pub(super) fn usage(&self, cache_is_in_input: bool) -> (Usage, bool) {
        let count = |counter| self.get(counter).unwrap_or(0);
        let (input, cache_read, cache_write) = (
            count(Counter::Input),
            count(Counter::CacheRead),
            count(Counter::CacheWrite),
        );
        let uncached = if cache_is_in_input {
            input.checked_sub(cache_read.saturating_add(cache_write))
        } else {
            Some(input)
        };
        let usage = Usage {
            input: uncached.unwrap_or(0),
            output: count(Counter::Output),
            cache_read,
            cache_write,
            reasoning: self.get(Counter::Reasoning),
            extra: EXTRA
                .iter()
                .filter_map(|(counter, name)| Some(((*name).to_owned(), self.get(*counter)?)))
                .collect(),
            ..Usage::default()
        };
        (usage, uncached.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[(Counter, u64)]) -> Counts {
        let mut counts = Counts::default();
        for (counter, value) in values {
            counts.set(*counter, Some(*value));
        }
        counts
    }

    #[test]
    fn what_is_a_count() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("1e3", Some(1000)),
            ("9223372036854775807", Some(i64::MAX.unsigned_abs())),
            ("9223372036854775808", None),
            ("-1", None),
            ("1.5", None),
            ("1e300", None),
            ("", None),
            ("true", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn input_never_includes_the_cache_and_is_never_negative() {
        let reported = counts(&[
            (Counter::Input, 100),
            (Counter::CacheRead, 70),
            (Counter::CacheWrite, 20),
        ]);
        let (usage, agrees) = reported.usage(true);
        assert_eq!(
            (usage.input, usage.cache_read, usage.cache_write, agrees),
            (10, 70, 20, true)
        );
        assert_eq!(reported.usage(false).0.input, 100);
        let (usage, agrees) = counts(&[(Counter::Input, 5), (Counter::CacheRead, 6)]).usage(true);
        assert_eq!((usage.input, usage.cache_read, agrees), (0, 6, false));
        let huge = i64::MAX.unsigned_abs();
        let reported = counts(&[(Counter::CacheRead, huge), (Counter::CacheWrite, huge)]);
        assert!(!reported.usage(true).1);
    }

    #[test]
    fn the_last_value_of_each_counter_stands() {
        let mut all = counts(&[(Counter::Input, 3), (Counter::Output, 1)]);
        all.merge(&counts(&[(Counter::Output, 9)]));
        all.merge(&Counts::default());
        let (usage, _) = all.usage(false);
        assert_eq!((usage.input, usage.output, usage.reasoning), (3, 9, None));
    }
}
