//! Calls that Claude Code makes to its provider's host about itself: settings, telemetry, experiments.
//!
//! They carry no question to a model and are not recorded, but they do carry what the user does. Whether they are
//! relayed at all is for the gateway's operator to say. With the organisation's key they never are: it is not the
//! organisation that signed in.

use super::AllowList;

/// A kind of such calls: the first segments of its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SideCall {
    /// `/api/claude_code/...`
    ClaudeCode,
    /// `/api/event_logging/...`
    EventLogging,
    /// `/api/eval/...`
    Eval,
}

/// The deepest and the longest path of a side call.
const MAX_SEGMENTS: usize = 8;
const MAX_LENGTH: usize = 512;

// === impl SideCall ===

impl SideCall {
    pub const ALL: [Self; 3] = [Self::ClaudeCode, Self::EventLogging, Self::Eval];

    /// The segment behind `/api/`, which is also the label under which these calls are counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude_code",
            Self::EventLogging => "event_logging",
            Self::Eval => "eval",
        }
    }
}

pub(super) fn find(list: AllowList, method: &str, segments: &[&str]) -> Option<SideCall> {
    let ["api", group, _, ..] = segments else {
        return None;
    };
    let is_one = list == AllowList::Anthropic
        && matches!(method, "GET" | "POST" | "PUT")
        && segments.len() <= MAX_SEGMENTS
        && segments.iter().map(|segment| segment.len() + 1).sum::<usize>() <= MAX_LENGTH;
    SideCall::ALL
        .into_iter()
        .find(|call| is_one && call.as_str() == *group)
}
