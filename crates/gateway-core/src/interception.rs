//! What is recorded about a request to a provider: an interception, and what belongs to it.
//!
//! An interception opens with a [`Start`], which holds all that is known before the request is sent, and closes with
//! an [`End`]. Tool calls are recorded in between, as each is complete. Texts in here are storable on every engine:
//! whoever builds a record has put U+FFFD in place of what a database refuses, and has cut what is too long.
//! Nothing here holds a credential.

use std::ops::{Deref, Range};
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId, uuid_id};
use crate::provider::{ProviderKind, ProviderName};
use crate::words::words;

/// The id of an interception: UUID of version 7, so that id order is time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterceptionId(Uuid);

/// The id of one run of the server process. Open interceptions of a run that is over are closed as interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Uuid);

/// One thing to be written down about an interception. For one interception the order is start, tool calls, end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: InterceptionId,
    pub initiator_id: UserId,
    pub entry: Entry,
}

/// Records in their order, all or a part of those that were gathered together. Clones share them, so that they can be
/// written by another thread, and again.
#[derive(Clone, Debug)]
pub struct Records {
    gathered: Arc<[Record]>,
    part: Range<usize>,
}

/// What is to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Start(Box<Start>),
    Tool(Box<ToolUsage>),
    End(Box<End>),
}

/// Everything that is known before the request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The username at the time: the record outlives the user.
    pub initiator_username: String,
    /// The gateway token that was used.
    pub token_id: TokenId,
    pub provider: ProviderKind,
    pub provider_name: ProviderName,
    /// What was asked of the provider, such as `messages` or `responses`; a fixed set.
    pub route: &'static str,
    /// As asked for, at most 256 bytes; empty if the request names none.
    pub model: String,
    /// Such as `Claude Code`; `Unknown` otherwise.
    pub client: String,
    pub client_version: Option<String>,
    /// At most 256 bytes.
    pub user_agent: Option<String>,
    /// Chosen by the client, so it means something only beside the initiator. At most 256 bytes.
    pub client_session_id: Option<String>,
    /// The tool call whose result this request brings; names the parent within the initiator's own interceptions.
    pub correlating_tool_call_id: Option<String>,
    pub credential_kind: CredentialKind,
    /// The masked credential that went to the provider.
    pub credential_hint: String,
    pub is_streamed: bool,
    /// The last human prompt.
    pub prompt: Option<String>,
    pub started_at: Timestamp,
    pub marks: Marks,
}

/// How an interception ended, and what was seen of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub outcome: Outcome,
    /// Of the provider's answer, if there was one.
    pub status: Option<u16>,
    /// The model that answered, at most 256 bytes.
    pub answered_model: Option<String>,
    /// The provider's id of the answer, at most 256 bytes. With the central key it belongs to the initiator.
    pub provider_response_id: Option<String>,
    pub stop_reason: Option<String>,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    /// One for each answer of the provider, as far as it was seen.
    pub usage: Option<TokenUsage>,
    pub thoughts: Vec<ModelThought>,
    /// When the first byte of the provider's answer came, its head aside.
    pub first_byte_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    /// Added to those of the start.
    pub marks: Marks,
}

/// A tool that the model called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUsage {
    /// Counted within the interception, from 0: what tells its tool calls apart, however often they are written.
    pub ordinal: u32,
    /// The provider's id of the answer, as far as it was known by then.
    pub provider_response_id: Option<String>,
    pub provider_tool_call_id: Option<String>,
    /// The Responses API's id of the item.
    pub provider_item_id: Option<String>,
    pub tool: String,
    pub kind: ToolKind,
    /// The arguments as text, usually JSON; none if content is not recorded.
    pub input: Option<String>,
    /// The text was cut.
    pub is_cut: bool,
    pub created_at: Timestamp,
}

/// Text in which the model reasoned or commented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelThought {
    /// Such as `thinking`, `reasoning_summary`, `commentary`; a fixed set.
    pub source: &'static str,
    pub content: String,
    pub is_cut: bool,
    pub created_at: Timestamp,
}

/// What an answer used up, in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Without what was read from or written to a cache.
    pub input: u64,
    /// Reasoning included.
    pub output: u64,
    pub cache_read_input: u64,
    pub cache_write_input: u64,
    pub reasoning: Option<u64>,
    pub service_tier: Option<String>,
    /// Other counters, by the provider's names; a bounded number.
    pub extra: Vec<(String, u64)>,
    /// The answer broke off, so there may have been more.
    pub is_partial: bool,
}

/// Whose provider credential a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    Centralized,
    Byok,
}

/// What kind of tool was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToolKind {
    /// The client's, with arguments in JSON.
    Function,
    /// The client's, with arguments in free text.
    Custom,
    /// The provider's own.
    BuiltIn,
}

/// How an interception ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The provider's answer was passed on to its end.
    Completed,
    /// The provider answered with an error, or ended its answer with one.
    ProviderError,
    /// The provider did not answer, or broke its answer off.
    ProviderBroke,
    /// The client went away before the end.
    ClientGone,
    /// The token or its user was removed, or lost the right, before the end.
    Revoked,
    /// The gateway gave up: on a request that it could not send, or on an answer that it could not record in time.
    GatewayError,
    /// The process ended before the answer did.
    Interrupted,
}

/// What is peculiar about a record. A set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks(u32);

/// One peculiarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Something in the answer could not be read, so the record may lack it.
    ObservationIncomplete,
    /// The body of the request is not JSON.
    BodyNotJson,
    /// The body of the request held a gateway token.
    TokenInBody,
    /// The prompt was too long to be kept whole.
    PromptCut,
    /// A text held what a database refuses; U+FFFD stands there instead.
    TextMended,
    /// Neither did the client ask for the usage of a stream nor could the gateway.
    UsageNotReported,
    /// The database refused the record; only that it was there is kept.
    Unrecordable,
}

// === impl InterceptionId, RunId ===

impl InterceptionId {
    /// A new id, ordered by the current time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The time that is in it, to the millisecond.
    pub fn time(self) -> Timestamp {
        let millis = i64::try_from(self.0.as_u128() >> 80).expect("48 bits fit");
        Timestamp::from_micros(millis * 1000)
    }
}

impl RunId {
    /// A new id, ordered by the current time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

uuid_id!(InterceptionId, "interception");
uuid_id!(RunId, "run");

// === Fixed sets of words ===

words!(CredentialKind, "credential kind", [
    Centralized => "centralized",
    Byok => "byok",
]);

words!(ToolKind, "tool kind", [
    Function => "function",
    Custom => "custom",
    BuiltIn => "built_in",
]);

words!(Outcome, "outcome", [
    Completed => "completed",
    ProviderError => "provider_error",
    ProviderBroke => "provider_broke",
    ClientGone => "client_gone",
    Revoked => "revoked",
    GatewayError => "gateway_error",
    Interrupted => "interrupted",
]);

words!(Mark, "mark", [
    ObservationIncomplete => "observation_incomplete",
    BodyNotJson => "body_not_json",
    TokenInBody => "token_in_body",
    PromptCut => "prompt_cut",
    TextMended => "text_mended",
    UsageNotReported => "usage_not_reported",
    Unrecordable => "unrecordable",
]);

// === impl Records ===

impl Records {
    /// A part of these, counted from the first of them.
    #[must_use]
    pub fn part(&self, part: Range<usize>) -> Self {
        debug_assert!(part.end <= self.len(), "a part is of what is there");
        Self {
            gathered: Arc::clone(&self.gathered),
            part: self.part.start + part.start..self.part.start + part.end,
        }
    }
}

impl Deref for Records {
    type Target = [Record];

    fn deref(&self) -> &[Record] {
        &self.gathered[self.part.clone()]
    }
}

impl From<Vec<Record>> for Records {
    fn from(records: Vec<Record>) -> Self {
        let part = 0..records.len();
        Self {
            gathered: records.into(),
            part,
        }
    }
}

impl From<&[Record]> for Records {
    fn from(records: &[Record]) -> Self {
        records.to_vec().into()
    }
}

// === impl Marks ===

impl Marks {
    pub const NONE: Self = Self(0);

    pub const fn insert(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u32;
    }

    pub const fn contains(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u32) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All that are in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(move |mark| self.contains(*mark))
    }

    /// The set as one number, as it is stored: bit n is the n-th of [`Mark::ALL`].
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Bits that mean nothing here, of a later version, are dropped.
    pub fn from_bits(bits: u32) -> Self {
        let known = Mark::ALL.iter().fold(0, |all, mark| all | 1 << *mark as u32);
        Self(bits & known)
    }
}

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        let mut set = Self::NONE;
        for mark in marks {
            set.insert(mark);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = InterceptionId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            id.as_uuid()
                .simple()
                .to_string()
                .parse::<InterceptionId>()
                .is_err()
        );
        assert!(InterceptionId::generate() > id);
        let id = InterceptionId::from_uuid(Uuid::from_u128(0x0123_4567_89ab_7fff << 64));
        assert_eq!(id.time().as_micros(), 0x0123_4567_89ab * 1000);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
        }
        assert!("done".parse::<Outcome>().is_err());
    }

    #[test]
    fn marks_are_a_set_in_a_stable_number() {
        let marks: Marks = [Mark::TokenInBody, Mark::ObservationIncomplete]
            .into_iter()
            .collect();
        assert_eq!(marks.bits(), 0b101);
        assert_eq!(
            marks.iter().collect::<Vec<_>>(),
            [Mark::ObservationIncomplete, Mark::TokenInBody]
        );
        assert_eq!(Marks::from_bits(u32::MAX).iter().count(), Mark::ALL.len());
        assert!(Marks::NONE.is_empty() && marks.union(Marks::NONE) == marks);
    }
}
