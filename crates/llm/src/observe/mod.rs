//! What an answer said: the model, its usage, its tool calls and thoughts, how it ended.
//!
//! An answer is watched while it passes: a [`StreamObserver`] takes a stream of events in any chunking, a
//! [`BodyObserver`] one JSON text, also that of an error. Neither changes, delays or keeps the bytes themselves. The
//! stream's observer says how far they may be passed on: everything before an event that may end the answer, so that
//! the answer's record can be committed before its end is released.
//!
//! Nothing is held whole, neither an event nor a body: wanted fields are picked by a scanner in passing. What is kept
//! is bounded ([`TOOL_ARGUMENTS_MAX`], [`THOUGHT_MAX`], [`PENDING_MAX`] and small fixed numbers for everything else)
//! and beyond a bound it is cut and marked. Whatever arrives, observing goes on.
//!
//! Field names and their meaning follow the providers' reference pages: Anthropic "Messages" and "Streaming Messages",
//! OpenAI "Chat Completions", "Responses" and "Streaming events". Whether a provider says more than these pages is of
//! no concern here: unknown events, blocks, items and fields are no fault.

mod capture;
mod fields;
mod formats;
mod found;
mod reader;
mod stream;
mod usage;

pub use self::reader::BodyObserver;
pub use self::stream::StreamObserver;

/// The longest tool arguments that are kept, in bytes.
pub const TOOL_ARGUMENTS_MAX: usize = 1 << 20;

/// The longest thought that is kept, in bytes.
pub const THOUGHT_MAX: usize = 256 << 10;

/// What is kept of tool calls and thoughts that are not complete yet, in bytes over one answer, besides what one event
/// may hold of them. In addition to its text, each open call or thought counts as 256 bytes.
pub const PENDING_MAX: usize = 4 << 20;

/// The longest id, name of a model or tool, or other short text that is kept, in bytes. The rest is left off unmarked
/// where a tool call has a mark for its arguments only.
pub const TEXT_MAX: usize = 256;

/// The longest error message that is kept, in bytes.
pub const ERROR_MESSAGE_MAX: usize = 4096;

/// What to look for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObserveOptions {
    /// Keep what is like a prompt: tool arguments and thoughts. Without it tool calls are seen by name and id only, and
    /// thoughts not at all.
    pub content: bool,
    /// The gateway has put `stream_options.include_usage` into a Chat Completions request: the chunk with the usage
    /// alone, which the client did not ask for, is to be dropped.
    pub usage_was_injected: bool,
}

/// How an answer's bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The body was complete, as HTTP counts it.
    Whole,
    /// The connection broke, or one side gave up.
    Torn,
}

/// Everything that was seen of an answer, but its tool calls and thoughts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The model that answered, cut to [`TEXT_MAX`].
    pub model: Option<String>,
    /// The provider's id of the answer, cut to [`TEXT_MAX`].
    pub response_id: Option<String>,
    pub usage: Option<Usage>,
    /// Why the model stopped, in the provider's words. Messages: `stop_reason`. Chat Completions: `finish_reason` of
    /// the first choice. Responses: the final `status`, for `incomplete` the reason in `incomplete_details`.
    pub stop_reason: Option<String>,
    pub error: Option<ProviderError>,
    /// A stream: its terminal event came whole. A body: the JSON text was whole.
    pub is_ended: bool,
    /// Something that matters could not be read: an event or body that is not JSON or is cut off, a count that is
    /// none, something beyond a bound. An unknown kind of event, block or item is not a reason, nor is the missing end
    /// of a stream, which `is_ended` says.
    pub is_incomplete: bool,
    /// A text here held U+0000, half a surrogate pair or invalid UTF-8, each replaced by U+FFFD.
    pub was_mended: bool,
}

/// The tokens of one answer. Counts that the provider did not give are 0; none is beyond `i64::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that were neither read from a cache nor written to one.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    /// Those of the output tokens that were spent on reasoning, if the provider tells them apart.
    pub reasoning: Option<u64>,
    /// The tier that served the request.
    pub service_tier: Option<String>,
    /// What else the provider counts, by fixed names: parts of the above, and calls of built-in tools. None is 0.
    pub extra: Vec<(String, u64)>,
    /// The answer broke off before its final counts.
    pub is_partial: bool,
}

/// What a provider reported as failed, in the body of an answer or within a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// The error's `type`, or its `code` where there is no type; empty if there is neither.
    pub kind: String,
    /// OpenAI's `code`, which is often more specific.
    pub code: Option<String>,
    /// Cut to [`ERROR_MESSAGE_MAX`].
    pub message: String,
}

/// Who runs a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// The client, with JSON arguments.
    Function,
    /// The client, with free text.
    Custom,
    /// The provider, or the client with a tool that the provider defined.
    BuiltIn,
}

/// A tool that the model has chosen to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id of the answer, if it stands before the end of the call.
    pub response_id: Option<String>,
    /// The id of the output item (Responses).
    pub item_id: Option<String>,
    /// The id that the result refers to.
    pub call_id: Option<String>,
    /// The tool. Of built-in ones of the Responses API, the item's type without `_call`.
    pub name: String,
    pub kind: ToolKind,
    /// As the model wrote them: JSON, or text of a custom tool. None if not given or not wanted.
    pub arguments: Option<String>,
    /// The arguments were longer than a bound, or the answer broke off within them.
    pub arguments_cut: bool,
    /// A text here held U+0000, half a surrogate pair or invalid UTF-8, each replaced by U+FFFD.
    pub was_mended: bool,
}

/// What kind of thought a model showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThoughtSource {
    /// A `thinking` block (Messages).
    Thinking,
    /// The summary of a reasoning item (Responses); its parts are joined by an empty line.
    ReasoningSummary,
    /// The text of a reasoning item (Responses), or `reasoning_content` or `reasoning` of providers compatible with
    /// Chat Completions, there of the first choice only.
    ReasoningText,
    /// A message of phase `commentary` (Responses).
    Commentary,
}

/// A thought that the model showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thought {
    pub source: ThoughtSource,
    /// Never empty.
    pub content: String,
    /// It was longer than a bound, or the answer broke off within it.
    pub is_cut: bool,
    /// It held U+0000, half a surrogate pair or invalid UTF-8, each replaced by U+FFFD.
    pub was_mended: bool,
}

// === impl ToolKind ===

impl ToolKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Custom => "custom",
            Self::BuiltIn => "built_in",
        }
    }
}

// === impl ThoughtSource ===

impl ThoughtSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thinking => "thinking",
            Self::ReasoningSummary => "reasoning_summary",
            Self::ReasoningText => "reasoning_text",
            Self::Commentary => "commentary",
        }
    }
}
