//! One recorded exchange: from what is known of request and answer to the records that are written.
//!
//! A [`Recording`] is opened before the provider is asked and closed exactly once; dropping it closes it as what it
//! then is, a request whose client went away or whose right was taken. Whatever is stored passes through
//! [`clean`], so that no gateway token is ever in a record.

use std::sync::Arc;
use std::task::{Context, Poll};

use gateway_core::clock::Clock;
use gateway_core::interception::{
    End, Mark, Marks, ModelThought, Outcome, Start, TokenUsage, ToolKind, ToolUsage,
};
use gateway_core::mask::mask;
use gateway_core::token::redact;
use gateway_core::{InterceptionId, Secret, Timestamp, UserId};
use gateway_llm::observe;

use crate::access::InFlight;
use crate::recorder::{Behind, Interception, Lost, Recorder};

/// The longest message of an error that is kept, in bytes.
const MESSAGE_MAX: usize = 4096;

/// The most tool calls of one answer that are kept, and the bytes of all its thoughts. A database that is given more at
/// once could take too long for it, and so for everybody's records.
const TOOLS_MAX: u32 = 20_000;
const THOUGHTS_MAX: usize = 4 * 1024 * 1024;

/// What a thought takes beside its text, roughly.
const THOUGHT_BYTES: usize = 256;

/// What is shorter is no credential, and its letters stand in any text.
const SECRET_MIN: usize = 8;

pub(crate) struct Recording {
    recorder: Recorder,
    interception: Interception,
    in_flight: InFlight,
    clock: Arc<dyn Clock>,
    /// The provider's credential, which its messages may repeat.
    credential: Option<Secret>,
    /// How many tool calls were recorded.
    tools: u32,
    thoughts: Vec<ModelThought>,
    thoughts_bytes: usize,
    first_byte_at: Option<Timestamp>,
    marks: Marks,
    is_closed: bool,
}

/// How an exchange ended, beside what was seen of the answer.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    /// The status of the provider's answer.
    pub(crate) status: Option<u16>,
    /// What went wrong, in the gateway's words, where the provider had none.
    pub(crate) message: Option<String>,
}

// === impl Recording ===

impl Recording {
    /// Admits the exchange and queues its start.
    pub(crate) fn open(
        recorder: &Recorder,
        initiator: UserId,
        start: Start,
        in_flight: InFlight,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Behind> {
        let interception = recorder.open(InterceptionId::generate(), initiator, start)?;
        Ok(Self {
            recorder: recorder.clone(),
            interception,
            in_flight,
            clock,
            credential: None,
            tools: 0,
            thoughts: Vec::new(),
            thoughts_bytes: 0,
            first_byte_at: None,
            marks: Marks::NONE,
            is_closed: false,
        })
    }

    pub(crate) fn id(&self) -> InterceptionId {
        self.interception.id()
    }

    /// How long an answer is held back at most.
    pub(crate) fn hold_back(&self) -> std::time::Duration {
        self.recorder.hold_back()
    }

    /// Keeps the credential that the request is sent with out of what is recorded of its answer.
    pub(crate) fn hide(&mut self, credential: Option<&str>) {
        self.credential = credential
            .filter(|text| text.len() >= SECRET_MIN)
            .map(Secret::new);
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.insert(mark);
    }

    pub(crate) fn tool(&mut self, call: observe::ToolCall) {
        if self.tools == TOOLS_MAX {
            self.mark(Mark::ObservationIncomplete);
            return;
        }
        if call.was_mended {
            self.mark(Mark::TextMended);
        }
        let ordinal = self.tools;
        self.tools += 1;
        self.interception.tool(ToolUsage {
            ordinal,
            provider_response_id: call.response_id.map(clean),
            provider_tool_call_id: call.call_id.map(clean),
            provider_item_id: call.item_id.map(clean),
            tool: clean(call.name),
            kind: match call.kind {
                observe::ToolKind::Function => ToolKind::Function,
                observe::ToolKind::Custom => ToolKind::Custom,
                observe::ToolKind::BuiltIn => ToolKind::BuiltIn,
            },
            input: call.arguments.map(clean),
            is_cut: call.arguments_cut,
            created_at: self.clock.now(),
        });
    }

    /// Bytes of the answer have come. Only the first call counts.
    pub(crate) fn note_bytes(&mut self) {
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(self.clock.now());
        }
    }

    /// Thoughts are written with the end.
    pub(crate) fn thought(&mut self, thought: observe::Thought) {
        self.thoughts_bytes += THOUGHT_BYTES + thought.content.len();
        if self.thoughts_bytes > THOUGHTS_MAX {
            self.mark(Mark::ObservationIncomplete);
            return;
        }
        if thought.was_mended {
            self.mark(Mark::TextMended);
        }
        self.thoughts.push(ModelThought {
            source: thought.source.as_str(),
            content: clean(thought.content),
            is_cut: thought.is_cut,
            created_at: self.clock.now(),
        });
    }

    /// Queues the end. Only the first one counts.
    pub(crate) fn close(&mut self, ending: Ending, seen: observe::Observation) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        if seen.is_incomplete {
            self.mark(Mark::ObservationIncomplete);
        }
        if seen.was_mended {
            self.mark(Mark::TextMended);
        }
        let (error_type, error_message) = match seen.error {
            Some(error) => (
                Some(clean(self.without_credential(error.kind))),
                Some(shorten(clean(self.without_credential(error.message)))),
            ),
            None => (None, ending.message.map(clean)),
        };
        self.interception.end(End {
            outcome: ending.outcome,
            status: ending.status,
            answered_model: seen.model.map(clean),
            provider_response_id: seen.response_id.map(clean),
            stop_reason: seen.stop_reason.map(clean),
            error_type,
            error_message,
            usage: seen.usage.map(usage),
            thoughts: std::mem::take(&mut self.thoughts),
            first_byte_at: self.first_byte_at,
            ended_at: self.clock.now(),
            marks: self.marks,
        });
    }

    /// Providers name the key that they refuse, and not all of them mask it.
    fn without_credential(&self, mut text: String) -> String {
        let Some(secret) = self.credential.as_ref().map(Secret::expose) else {
            return text;
        };
        if text.contains(secret) {
            text = text.replace(secret, &mask(secret));
        }
        // A text that was cut may end within it.
        let torn = (SECRET_MIN..secret.len())
            .rev()
            .find(|length| secret.get(..*length).is_some_and(|begin| text.ends_with(begin)));
        if let Some(length) = torn {
            text.truncate(text.len() - length);
            text.push_str(&mask(secret));
        }
        text
    }

    /// Closes an exchange that the gateway does not go on with.
    pub(crate) fn give_up(mut self, message: &str) {
        let ending = Ending {
            outcome: Outcome::GatewayError,
            status: None,
            message: Some(message.to_owned()),
        };
        self.close(ending, observe::Observation::default());
    }

    /// Closes an exchange to which the provider gave no answer, and waits until that is committed.
    pub(crate) async fn fail(mut self, outcome: Outcome, message: &str) -> Result<(), Behind> {
        let ending = Ending {
            outcome,
            status: None,
            message: Some(message.to_owned()),
        };
        self.close(ending, observe::Observation::default());
        self.interception.committed().await
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What an end is that nobody has named: the client went away, the right was taken, or the process is ending.
    pub(crate) fn abandoned(&self) -> Outcome {
        if self.recorder.is_ending() {
            Outcome::Interrupted
        } else if self.in_flight.is_cut() {
            Outcome::Revoked
        } else {
            Outcome::ClientGone
        }
    }

    /// So much waits to be written that the answer should not go on.
    pub(crate) fn is_full(&self) -> bool {
        self.interception.is_full()
    }

    pub(crate) fn poll_committed(&self, cx: &Context<'_>) -> Poll<Result<(), Lost>> {
        self.interception.poll_committed(cx)
    }

    /// Waits until all so far is committed, for as long as an answer is held back at most.
    pub(crate) async fn committed(&self) -> Result<(), Behind> {
        self.interception.committed().await
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let ending = Ending {
            outcome: self.abandoned(),
            status: None,
            message: None,
        };
        self.close(ending, observe::Observation::default());
    }
}

/// A text as it may be kept: everything of the shape of a gateway token is reduced to its public part.
pub(crate) fn clean(text: String) -> String {
    if text.contains("cdr_") {
        redact(&text)
    } else {
        text
    }
}

fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_MAX));
    text
}

fn usage(seen: observe::Usage) -> TokenUsage {
    TokenUsage {
        input: seen.input,
        output: seen.output,
        cache_read_input: seen.cache_read,
        cache_write_input: seen.cache_write,
        reasoning: seen.reasoning,
        service_tier: seen.service_tier.map(clean),
        extra: seen.extra,
        is_partial: seen.is_partial,
    }
}
