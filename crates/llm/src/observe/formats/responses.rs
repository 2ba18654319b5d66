//! OpenAI's Responses API: output items, each told whole when it is done, and all of them again at the end.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::Mode;
use crate::observe::capture::Marks;
use crate::observe::fields::Step::{
    self, Action, Arguments, CallId, Code, Content, Each, Error, Id, IncompleteDetails, Input, Item, Message,
    Model, Name, Operation, Output, OutputIndex, Phase, Queries, Reason, Response, ServiceTier, Status,
    Summary, Text as TextKey, Type, Usage,
};
use crate::observe::fields::{Fields, Group, Number, Place, Text};
use crate::observe::found::{Found, held_by_call, held_by_thought, whole_call, whole_thought};
use crate::observe::{Thought, ThoughtSource, ToolCall, ToolKind, usage};

/// Items beyond this many are not remembered.
const SEEN_MAX: usize = 16 << 10;

#[derive(Debug)]
pub(in crate::observe) struct Responses {
    mode: Mode,
    /// The items that were told when done: their places in the output, and their ids as hashes.
    seen_places: HashSet<u64>,
    seen_ids: HashSet<u64>,
    hasher: RandomState,
    /// Found in the response of an event of which it is not known yet whether it is the last.
    late: Vec<Late>,
    late_bytes: usize,
}

#[derive(Debug)]
enum Late {
    Call(ToolCall),
    Thought(Thought),
}

// === impl Responses ===

impl Responses {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            seen_places: HashSet::new(),
            seen_ids: HashSet::new(),
            hasher: RandomState::new(),
            late: Vec::new(),
            late_bytes: 0,
        }
    }

    pub(super) fn place(&self, path: &[Step]) -> Place {
        if self.mode == Mode::Body {
            return response(path);
        }
        match path {
            [Type] => Place::Text(Text::Type),
            [Response] => Place::Group(Group::Answer),
            [Response, rest @ ..] => response(rest),
            [OutputIndex] => Place::Number(Number::Index),
            [Item] => Place::Group(Group::Item),
            [Item, rest @ ..] => item(rest),
            [Code] => Place::Text(Text::ErrorCode),
            [Message] => Place::Text(Text::ErrorMessage),
            [Error, ..] => response(path),
            _ => Place::Nothing,
        }
    }

    /// Listed items are passed over where they are known, or cannot be of interest.
    pub(super) fn begin(&mut self, group: Group, fields: &Fields, found: &mut Found) -> bool {
        if self.mode == Mode::Body || group != Group::ListedItem {
            return true;
        }
        let kind = fields.capture(Text::Type);
        if kind.is_set() && !lists_output(kind.bytes()) || self.seen_places.contains(&(fields.listed - 1)) {
            return false;
        }
        if self.seen_places.len() >= SEEN_MAX {
            found.miss();
            return false;
        }
        true
    }

    pub(super) fn end(&mut self, group: Group, fields: &Fields, found: &mut Found) {
        if group != Group::ListedItem {
            return;
        }
        let thoughts = thoughts(fields);
        let call = call(fields);
        if self.mode == Mode::Body {
            found.take_item(thoughts, call);
            return;
        }
        let id = fields.bytes(Text::ItemId);
        if !id.is_empty() && self.seen_ids.contains(&self.hasher.hash_one(id)) {
            return;
        }
        let thoughts = thoughts.into_iter().flatten().map(Late::Thought);
        for late in thoughts.chain(call.map(Late::Call)) {
            self.hold(late, found);
        }
    }

    fn hold(&mut self, late: Late, found: &mut Found) {
        let bytes = late.held();
        if found.budget.hold(bytes) {
            self.late_bytes += bytes;
            self.late.push(late);
        } else {
            found.miss();
        }
    }

    pub(super) fn document(&mut self, kind: &[u8], fields: &Fields, found: &mut Found) {
        match kind {
            _ if self.mode == Mode::Body => stop(fields, found),
            b"response.output_item.done" => {
                found.take_item(thoughts(fields), call(fields));
                self.remember(fields);
            }
            b"error" => found.take_error(fields),
            _ if lists_output(kind) => {
                for late in self.late.drain(..) {
                    match late {
                        Late::Call(call) => found.call(call),
                        Late::Thought(thought) => found.thought(Some(thought)),
                    }
                }
                stop(fields, found);
            }
            _ => {}
        }
    }

    fn remember(&mut self, fields: &Fields) {
        if let Some(place) = fields.number(Number::Index)
            && self.seen_places.len() < SEEN_MAX
        {
            self.seen_places.insert(place);
        }
        let id = fields.bytes(Text::ItemId);
        if !id.is_empty() && self.seen_ids.len() < SEEN_MAX {
            self.seen_ids.insert(self.hasher.hash_one(id));
        }
    }

    pub(super) fn drop_late(&mut self, found: &mut Found) {
        if self.late_bytes > 0 {
            self.late = Vec::new();
            found.budget.give_back(std::mem::take(&mut self.late_bytes));
        }
    }

    pub(super) fn retained_bytes(&self) -> usize {
        (self.seen_places.capacity() + self.seen_ids.capacity()) * (size_of::<u64>() + 1)
            + self.late.iter().map(Late::held).sum::<usize>()
    }
}

// === impl Late ===

impl Late {
    fn held(&self) -> usize {
        match self {
            Self::Call(call) => held_by_call(call),
            Self::Thought(thought) => held_by_thought(thought),
        }
    }
}

/// The events with which a stream ends, and which list the whole output.
fn lists_output(kind: &[u8]) -> bool {
    matches!(
        kind,
        b"response.completed" | b"response.incomplete" | b"response.failed"
    )
}

/// A field of a response, or of the envelope of an error.
fn response(path: &[Step]) -> Place {
    match path {
        [Id] => Place::Text(Text::Id),
        [Model] => Place::Text(Text::Model),
        [ServiceTier] => Place::Text(Text::Tier),
        [Status] => Place::Text(Text::Stop),
        [IncompleteDetails] => Place::Walk,
        [IncompleteDetails, Reason] => Place::Text(Text::Reason),
        [Usage] => Place::Group(Group::Usage),
        [Usage, rest @ ..] => usage::place(rest),
        [Error] => Place::Group(Group::Error),
        [Error, Type] => Place::Text(Text::ErrorType),
        [Error, Code] => Place::Text(Text::ErrorCode),
        [Error, Message] => Place::Text(Text::ErrorMessage),
        [Output] => Place::Group(Group::Output),
        [Output, Each] => Place::Group(Group::ListedItem),
        [Output, Each, rest @ ..] => item(rest),
        _ => Place::Nothing,
    }
}

/// A field of an output item. What the model asks of a tool stands in a field of another name for each kind of tool.
fn item(path: &[Step]) -> Place {
    match path {
        [Type] => Place::Text(Text::ItemType),
        [Id] => Place::Text(Text::ItemId),
        [CallId] => Place::Text(Text::CallId),
        [Name] => Place::Text(Text::Name),
        [Phase] => Place::Text(Text::Phase),
        [Arguments | Input | Action | Queries | Code | Operation] => Place::Text(Text::Input),
        [Summary] => Place::Group(Group::Summaries),
        [Content] => Place::Group(Group::Contents),
        [Summary | Content, Each] => Place::Walk,
        [Summary, Each, TextKey] => Place::Part(Text::Summary),
        [Content, Each, TextKey] => Place::Part(Text::Content),
        _ => Place::Nothing,
    }
}

/// The tool call that the fields of an item are, if they are one.
fn call(fields: &Fields) -> Option<ToolCall> {
    let mut marks = Marks::default();
    let kind = match fields.bytes(Text::ItemType) {
        b"function_call" => ToolKind::Function,
        b"custom_tool_call" => ToolKind::Custom,
        other if other.ends_with(b"_call") => ToolKind::BuiltIn,
        _ => return None,
    };
    let name = if kind == ToolKind::BuiltIn {
        let item_type = fields.text(Text::ItemType, &mut marks).unwrap_or_default();
        item_type.strip_suffix("_call").unwrap_or(&item_type).to_owned()
    } else {
        fields.text(Text::Name, &mut marks).unwrap_or_default()
    };
    Some(whole_call(fields, name, kind, marks))
}

/// The thoughts in the fields of an item.
fn thoughts(fields: &Fields) -> [Option<Thought>; 2] {
    match (fields.bytes(Text::ItemType), fields.bytes(Text::Phase)) {
        (b"reasoning", _) => [
            whole_thought(fields, Text::Summary, ThoughtSource::ReasoningSummary),
            whole_thought(fields, Text::Content, ThoughtSource::ReasoningText),
        ],
        (b"message", b"commentary") => [
            whole_thought(fields, Text::Content, ThoughtSource::Commentary),
            None,
        ],
        _ => [None, None],
    }
}

/// A status that is not final is no reason.
fn stop(fields: &Fields, found: &mut Found) {
    match fields.bytes(Text::Stop) {
        b"queued" | b"in_progress" => {}
        b"incomplete" if !fields.bytes(Text::Reason).is_empty() => found.take_stop(fields, Text::Reason),
        _ => found.take_stop(fields, Text::Stop),
    }
}
