//! The fields of one event or body that are wanted, whichever API it is of.
//!
//! Each API maps paths to [`Place`]s; the fields themselves are the same few, and their memory is used again for each
//! event.

use super::capture::{Capture, Marks};
use super::usage::{Counter, Counts};
use super::{ERROR_MESSAGE_MAX, TEXT_MAX, THOUGHT_MAX, TOOL_ARGUMENTS_MAX};

/// Defines [`Step`] with the key of each.
macro_rules! steps {
    ($($step:ident = $key:literal,)+) => {
        /// One step of a path: an item of an array, or the member with a key that some API gives a meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Step {
            Each,
            $($step,)+
        }

        impl Step {
            pub(super) fn of_key(key: &[u8]) -> Option<Self> {
                // The compiler makes a decision tree of this, by length first.
                match std::str::from_utf8(key).ok()? {
                    $($key => Some(Self::$step),)+
                    _ => None,
                }
            }
        }
    };
}

steps! {
    AcceptedPredictionTokens = "accepted_prediction_tokens",
    Action = "action",
    Arguments = "arguments",
    AudioTokens = "audio_tokens",
    CacheCreation = "cache_creation",
    CacheCreationInputTokens = "cache_creation_input_tokens",
    CacheReadInputTokens = "cache_read_input_tokens",
    CacheWriteTokens = "cache_write_tokens",
    CachedTokens = "cached_tokens",
    CallId = "call_id",
    Choices = "choices",
    Code = "code",
    CompletionTokens = "completion_tokens",
    CompletionTokensDetails = "completion_tokens_details",
    Content = "content",
    ContentBlock = "content_block",
    Custom = "custom",
    Delta = "delta",
    Ephemeral1h = "ephemeral_1h_input_tokens",
    Ephemeral5m = "ephemeral_5m_input_tokens",
    Error = "error",
    FinishReason = "finish_reason",
    Function = "function",
    FunctionCall = "function_call",
    Id = "id",
    IncompleteDetails = "incomplete_details",
    Index = "index",
    Input = "input",
    InputTokens = "input_tokens",
    InputTokensDetails = "input_tokens_details",
    Item = "item",
    Message = "message",
    Model = "model",
    Name = "name",
    Operation = "operation",
    Output = "output",
    OutputIndex = "output_index",
    OutputTokens = "output_tokens",
    OutputTokensDetails = "output_tokens_details",
    PartialJson = "partial_json",
    Phase = "phase",
    PromptTokens = "prompt_tokens",
    PromptTokensDetails = "prompt_tokens_details",
    Queries = "queries",
    Reason = "reason",
    Reasoning = "reasoning",
    ReasoningContent = "reasoning_content",
    ReasoningTokens = "reasoning_tokens",
    RejectedPredictionTokens = "rejected_prediction_tokens",
    Response = "response",
    ServerToolUse = "server_tool_use",
    ServiceTier = "service_tier",
    Status = "status",
    StopReason = "stop_reason",
    Summary = "summary",
    Text = "text",
    Thinking = "thinking",
    ThinkingTokens = "thinking_tokens",
    ToolCalls = "tool_calls",
    Type = "type",
    Usage = "usage",
    WebFetchRequests = "web_fetch_requests",
    WebSearchRequests = "web_search_requests",
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nothing,
    /// A container that has wanted fields somewhere below.
    Walk,
    /// The same, and a fresh one makes the fields of an earlier one void, as with a key that stands there twice.
    Group(Group),
    Text(Text),
    /// One of several parts that are joined.
    Part(Text),
    Number(Number),
    Count(Counter),
}

/// A container whose fields belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The message or response itself, inside of an event.
    Answer,
    Usage,
    Error,
    /// The list of choices (Chat Completions).
    Choices,
    /// One choice.
    Choice,
    /// The list of output items (Responses).
    Output,
    /// A content block, a delta of one, a tool call, an output item.
    Item,
    /// An output item within a list of them.
    ListedItem,
    /// The parts of an item's content.
    Contents,
    /// The parts of a reasoning item's summary.
    Summaries,
}

/// A text field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Of the event or body.
    Type,
    Id,
    Model,
    Tier,
    Stop,
    /// Why a response is incomplete.
    Reason,
    ErrorType,
    ErrorCode,
    ErrorMessage,
    ItemType,
    ItemId,
    CallId,
    Name,
    Phase,
    /// Arguments of a tool, or a piece of them.
    Input,
    /// A thought of any kind but a summary, or a piece of it.
    Content,
    Summary,
}

const TEXTS: usize = Text::Summary as usize + 1;

/// A number that places other fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Of a content block, choice or output item.
    Index,
    /// Of a tool call within its choice.
    CallIndex,
}

const NUMBERS: usize = Number::CallIndex as usize + 1;

/// What was read.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a document")]
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The document is an object.
    pub(super) is_object: bool,
    /// A top-level type has been read to its end since this was last set to false.
    pub(super) type_was_read: bool,
    /// There is a list of choices.
    pub(super) has_choices: bool,
    /// Choices, or output items, begun so far.
    pub(super) listed: u64,
    /// There is a usage object.
    pub(super) has_usage: bool,
    pub(super) counts: Counts,
    /// There is an error object.
    pub(super) has_error: bool,
    texts: [Capture; TEXTS],
    numbers: [Option<u64>; NUMBERS],
}

// === impl Text ===

impl Text {
    const fn max(self) -> usize {
        match self {
            Self::Input => TOOL_ARGUMENTS_MAX,
            Self::Content | Self::Summary => THOUGHT_MAX,
            Self::ErrorMessage => ERROR_MESSAGE_MAX,
            _ => TEXT_MAX,
        }
    }

    /// It is like a prompt, and only kept if that is wanted.
    pub(super) const fn is_content(self) -> bool {
        matches!(self, Self::Input | Self::Content | Self::Summary)
    }
}

// === impl Group ===

impl Group {
    const fn texts(self) -> &'static [Text] {
        match self {
            Self::Answer => &[
                Text::Id,
                Text::Model,
                Text::Tier,
                Text::Stop,
                Text::Reason,
                Text::ErrorType,
                Text::ErrorCode,
                Text::ErrorMessage,
            ],
            Self::Error => &[Text::ErrorType, Text::ErrorCode, Text::ErrorMessage],
            Self::Choice => &[Text::Stop, Text::Content],
            Self::Item | Self::ListedItem => &[
                Text::ItemType,
                Text::ItemId,
                Text::CallId,
                Text::Name,
                Text::Phase,
                Text::Input,
                Text::Content,
                Text::Summary,
            ],
            Self::Contents => &[Text::Content],
            Self::Summaries => &[Text::Summary],
            Self::Usage | Self::Choices | Self::Output => &[],
        }
    }
}

// === impl Fields ===

impl Fields {
    /// Another event follows.
    pub(super) fn reset(&mut self) {
        self.is_object = false;
        self.type_was_read = false;
        self.has_choices = false;
        self.listed = 0;
        self.has_usage = false;
        self.has_error = false;
        for capture in &mut self.texts {
            if capture.is_set() {
                capture.clear();
            }
        }
        self.numbers = [None; NUMBERS];
    }

    /// A container begins, or a value that is none where one would be.
    pub(super) fn begin(&mut self, group: Group, is_object: bool, is_array: bool) {
        for text in group.texts() {
            self.clear(*text);
        }
        match group {
            Group::Answer => {
                self.has_usage = false;
                self.has_error = false;
            }
            Group::Usage => {
                self.has_usage = is_object;
                self.counts = Counts::default();
            }
            Group::Error => self.has_error = is_object,
            Group::Choices => {
                self.has_choices = is_array;
                self.listed = 0;
            }
            Group::Output => self.listed = 0,
            Group::Choice => {
                self.listed += 1;
                self.set_number(Number::Index, None);
            }
            Group::ListedItem => self.listed += 1,
            Group::Item => self.set_number(Number::CallIndex, None),
            Group::Contents | Group::Summaries => {}
        }
    }

    /// Another part of a text begins.
    pub(super) fn separate(&mut self, text: Text) {
        self.texts[text as usize].separate(b"\n\n", text.max());
    }

    pub(super) fn clear(&mut self, text: Text) {
        self.texts[text as usize].clear();
    }

    pub(super) fn set(&mut self, text: Text) {
        self.texts[text as usize].set();
    }

    pub(super) fn push(&mut self, text: Text, piece: &[u8]) {
        self.texts[text as usize].push(piece, text.max());
    }

    pub(super) const fn mend(&mut self, text: Text) {
        self.texts[text as usize].mend();
    }

    pub(super) const fn capture(&self, text: Text) -> &Capture {
        &self.texts[text as usize]
    }

    /// Of an unset field empty.
    pub(super) fn bytes(&self, text: Text) -> &[u8] {
        self.capture(text).bytes()
    }

    pub(super) fn text(&self, text: Text, marks: &mut Marks) -> Option<String> {
        self.capture(text).text(text.max(), marks)
    }

    pub(super) const fn set_number(&mut self, number: Number, value: Option<u64>) {
        self.numbers[number as usize] = value;
    }

    pub(super) const fn number(&self, number: Number) -> Option<u64> {
        self.numbers[number as usize]
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.texts.iter().map(Capture::retained_bytes).sum()
    }
}
