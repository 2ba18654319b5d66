//! What a request asks: its last human prompt, the tool call that it answers, and the session it says it belongs to.
//!
//! Only the end of a conversation is read. System prompts, what the model said and what tools gave back are not taken.

use std::borrow::Cow;
use std::fmt;

use super::scan::{Members, elements, fields};
use super::text::{self, Collector};
use crate::route::Api;

/// The longest prompt that is kept, in bytes.
pub const PROMPT_MAX: usize = 4 * 1024 * 1024;

/// The longest `metadata.user_id` that is looked into, in bytes; what clients send is a tenth of it.
const USER_ID_MAX: usize = 4096;

/// The text that a human has entered, as far as one can tell. Its `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Never empty, and without U+0000.
    pub text: String,
    /// There was more of it than [`PROMPT_MAX`].
    pub is_cut: bool,
    /// U+0000, half of a surrogate pair or bytes that are not UTF-8 stood in it, and U+FFFD stands there now.
    pub was_mended: bool,
}

/// What the list of messages or items says.
#[derive(Default)]
pub(super) struct Content {
    pub(super) prompt: Option<Prompt>,
    pub(super) correlating_tool_call_id: Option<String>,
}

/// Looks at the last message or item of `array`, which is the raw `messages` or, for Responses, `input`.
pub(super) fn look(api: Api, array: &[u8], with_prompt: bool) -> Content {
    let (texts, tool_call_id) = match api {
        Api::Messages => messages(array),
        Api::ChatCompletions => chat(array),
        Api::Responses => responses(array),
        _ => (Texts::None, None),
    };
    Content {
        prompt: if with_prompt { texts.collect() } else { None },
        correlating_tool_call_id: tool_call_id
            .and_then(text::short)
            .map(Cow::into_owned)
            .filter(|id| !id.is_empty()),
    }
}

/// The session in Claude Code's `metadata.user_id`, which is JSON with a `session_id`, or in older versions ends in
/// `_session_` and the id.
pub(super) fn session(metadata: &[u8]) -> Option<String> {
    let [user_id] = fields(metadata, ["user_id"]);
    let mut collector = Collector::new(USER_ID_MAX);
    if !collector.read(user_id?) || collector.is_cut {
        return None;
    }
    let user_id = collector.text;
    if is_object(user_id.as_bytes()) {
        let [session_id] = fields(user_id.as_bytes(), ["session_id"]);
        return text::id(&text::short(session_id?)?);
    }
    text::id(user_id.rsplit_once("_session_")?.1)
}

fn is_object(body: &[u8]) -> bool {
    Members::new(body).is_some_and(|mut members| {
        members.by_ref().for_each(drop);
        members.ends_whole()
    })
}

/// Where the text of a prompt stands.
enum Texts<'a> {
    None,
    One(&'a [u8]),
    /// The `input_text` parts of this content, one to a line.
    Parts(&'a [u8]),
}

/// The texts, and the raw id of the tool call that is answered.
type Found<'a> = (Texts<'a>, Option<&'a [u8]>);

fn messages(array: &[u8]) -> Found<'_> {
    // Claude Code puts messages of the role `system` between and behind those of the user.
    let last = elements(array)
        .filter(|message| {
            let [role] = fields(message, ["role"]);
            !role.is_some_and(|role| text::is(role, "system"))
        })
        .last();
    let Some(content) = last.and_then(|message| content_of(message, "user")) else {
        return (Texts::None, None);
    };
    let tool_result = elements(content)
        .filter(|block| is_of_type(block, "tool_result"))
        .last();
    let tool_call_id = tool_result.and_then(|block| fields(block, ["tool_use_id"])[0]);
    (last_text(content), tool_call_id)
}

fn chat(array: &[u8]) -> Found<'_> {
    let Some(last) = elements(array).last() else {
        return (Texts::None, None);
    };
    if let Some(content) = content_of(last, "user") {
        return (last_text(content), None);
    }
    let [role, tool_call_id] = fields(last, ["role", "tool_call_id"]);
    let is_tool = role.is_some_and(|role| text::is(role, "tool"));
    (Texts::None, tool_call_id.filter(|_| is_tool))
}

fn responses(input: &[u8]) -> Found<'_> {
    if is_string(input) {
        return (Texts::One(input), None);
    }
    let Some(last) = elements(input).last() else {
        return (Texts::None, None);
    };
    let [kind, call_id] = fields(last, ["type", "call_id"]);
    if kind.is_some_and(|kind| text::short(kind).is_some_and(|kind| kind.ends_with("_call_output"))) {
        return (Texts::None, call_id);
    }
    if !kind.is_none_or(|kind| text::is(kind, "message")) {
        return (Texts::None, None);
    }
    let texts = match content_of(last, "user") {
        Some(content) if is_string(content) => Texts::One(content),
        Some(content) => Texts::Parts(content),
        None => Texts::None,
    };
    (texts, None)
}

/// The content of a message, if it has this role.
fn content_of<'a>(message: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let [role, content] = fields(message, ["role", "content"]);
    content.filter(|_| role.is_some_and(|role| text::is(role, wanted)))
}

/// The content itself if it is a string, else its last text block.
fn last_text(content: &[u8]) -> Texts<'_> {
    if is_string(content) {
        return Texts::One(content);
    }
    texts_of(content, "text").last().map_or(Texts::None, Texts::One)
}

/// The texts of all blocks of one type.
fn texts_of<'a>(content: &'a [u8], kind: &str) -> impl Iterator<Item = &'a [u8]> {
    elements(content)
        .filter(move |block| is_of_type(block, kind))
        .filter_map(|block| fields(block, ["text"])[0])
        .filter(|text| is_string(text))
}

fn is_of_type(block: &[u8], wanted: &str) -> bool {
    fields(block, ["type"])[0].is_some_and(|kind| text::is(kind, wanted))
}

fn is_string(value: &[u8]) -> bool {
    value.starts_with(b"\"")
}

// === impl Texts ===

impl Texts<'_> {
    fn collect(self) -> Option<Prompt> {
        let mut collector = Collector::new(PROMPT_MAX);
        match self {
            Self::None => {}
            Self::One(quoted) => {
                collector.read(quoted);
            }
            Self::Parts(content) => {
                for (number, quoted) in texts_of(content, "input_text").enumerate() {
                    if number > 0 {
                        collector.push("\n");
                    }
                    collector.read(quoted);
                }
            }
        }
        (!collector.text.is_empty()).then_some(Prompt {
            text: collector.text,
            is_cut: collector.is_cut,
            was_mended: collector.was_mended,
        })
    }
}

// === impl Prompt ===

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("bytes", &self.text.len())
            .field("is_cut", &self.is_cut)
            .field("was_mended", &self.was_mended)
            .finish()
    }
}
