//! Anthropic's Messages API: content blocks, which a stream begins, adds to and stops by their index.

use std::collections::BTreeMap;

use super::Mode;
use crate::observe::capture::Marks;
use crate::observe::fields::Step::{
    self, Content, ContentBlock, Delta, Each, Error, Id, Index, Input, Message, Model, Name, PartialJson,
    StopReason, Thinking, Type, Usage,
};
use crate::observe::fields::{Fields, Group, Number, Place, Text};
use crate::observe::found::{Found, OpenCall, OpenThought, whole_call, whole_thought};
use crate::observe::{ThoughtSource, ToolKind, usage};

#[derive(Debug)]
pub(in crate::observe) struct Messages {
    mode: Mode,
    content: bool,
    /// The blocks of interest that have begun and not stopped.
    blocks: BTreeMap<u64, Block>,
}

#[derive(Debug)]
enum Block {
    Call(OpenCall),
    Thought(OpenThought),
}

// === impl Messages ===

impl Messages {
    pub(super) const fn new(mode: Mode, content: bool) -> Self {
        Self {
            mode,
            content,
            blocks: BTreeMap::new(),
        }
    }

    pub(super) fn place(&self, path: &[Step]) -> Place {
        if self.mode == Mode::Body {
            return message(path);
        }
        match path {
            [Message] => Place::Group(Group::Answer),
            [Message, Type | Content, ..] | [Id | Model | Content | StopReason, ..] => Place::Nothing,
            [Message, rest @ ..] => message(rest),
            [Index] => Place::Number(Number::Index),
            [ContentBlock | Delta] => Place::Group(Group::Item),
            [ContentBlock, rest @ ..] => block(rest),
            [Delta, PartialJson] => Place::Text(Text::Input),
            [Delta, Thinking] => Place::Text(Text::Content),
            [Delta, StopReason] => Place::Text(Text::Stop),
            _ => message(path),
        }
    }

    /// A block of a body.
    pub(super) fn end(&mut self, group: Group, fields: &Fields, found: &mut Found) {
        if self.mode == Mode::Stream || group != Group::Item {
            return;
        }
        if let Some(kind) = tool_kind(fields.bytes(Text::ItemType)) {
            let mut marks = Marks::default();
            let name = fields.text(Text::Name, &mut marks).unwrap_or_default();
            found.call(whole_call(fields, name, kind, marks));
        } else if fields.bytes(Text::ItemType) == b"thinking" {
            found.thought(whole_thought(fields, Text::Content, ThoughtSource::Thinking));
        }
    }

    pub(super) fn document(&mut self, kind: &[u8], fields: &Fields, found: &mut Found) {
        found.take_stop(fields, Text::Stop);
        let index = fields.number(Number::Index);
        match (kind, index) {
            (b"content_block_start", Some(index)) => self.start(index, fields, found),
            (b"content_block_delta", Some(index)) => self.add(index, fields, found),
            (b"content_block_stop", Some(index)) => {
                if let Some(block) = self.blocks.remove(&index) {
                    block.finish(false, found);
                }
            }
            (b"content_block_start" | b"content_block_delta" | b"content_block_stop", None) => found.miss(),
            _ => {}
        }
    }

    fn start(&mut self, index: u64, fields: &Fields, found: &mut Found) {
        if let Some(earlier) = self.blocks.remove(&index) {
            earlier.finish(true, found);
        }
        let block = if let Some(kind) = tool_kind(fields.bytes(Text::ItemType)) {
            OpenCall::begin(fields, kind, &mut found.budget).map(|mut call| {
                call.add_placeholder(fields, &mut found.budget);
                Block::Call(call)
            })
        } else if fields.bytes(Text::ItemType) == b"thinking" && self.content {
            OpenThought::begin(ThoughtSource::Thinking, &mut found.budget).map(|mut thought| {
                thought.add(fields, &mut found.budget);
                Block::Thought(thought)
            })
        } else {
            return;
        };
        match block {
            Some(block) => {
                self.blocks.insert(index, block);
            }
            None => found.miss(),
        }
    }

    /// Pieces of other blocks, such as text, are of no interest; pieces of a call that never began are a loss.
    fn add(&mut self, index: u64, fields: &Fields, found: &mut Found) {
        match self.blocks.get_mut(&index) {
            Some(Block::Call(call)) => call.add(fields, &mut found.budget),
            Some(Block::Thought(thought)) => thought.add(fields, &mut found.budget),
            None if !fields.bytes(Text::Input).is_empty() => found.miss(),
            None => {}
        }
    }

    pub(super) fn close(&mut self, found: &mut Found) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            block.finish(true, found);
        }
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.blocks
            .values()
            .map(|block| match block {
                Block::Call(call) => call.retained_bytes(),
                Block::Thought(thought) => thought.retained_bytes(),
            })
            .sum()
    }
}

// === impl Block ===

impl Block {
    fn finish(self, broke_off: bool, found: &mut Found) {
        match self {
            Self::Call(call) => {
                let call = call.finish(broke_off, &mut found.budget);
                found.call(call);
            }
            Self::Thought(thought) => {
                let thought = thought.finish(broke_off, &mut found.budget);
                found.thought(thought);
            }
        }
    }
}

/// A field of a message, or of the envelope of an error.
fn message(path: &[Step]) -> Place {
    match path {
        [Type] => Place::Text(Text::Type),
        [Id] => Place::Text(Text::Id),
        [Model] => Place::Text(Text::Model),
        [StopReason] => Place::Text(Text::Stop),
        [Usage] => Place::Group(Group::Usage),
        [Usage, rest @ ..] => usage::place(rest),
        [Error] => Place::Group(Group::Error),
        [Error, Type] => Place::Text(Text::ErrorType),
        [Error, Message] => Place::Text(Text::ErrorMessage),
        [Content] => Place::Walk,
        [Content, Each] => Place::Group(Group::Item),
        [Content, Each, rest @ ..] => block(rest),
        _ => Place::Nothing,
    }
}

/// A field of a content block.
fn block(path: &[Step]) -> Place {
    match path {
        [Type] => Place::Text(Text::ItemType),
        [Id] => Place::Text(Text::CallId),
        [Name] => Place::Text(Text::Name),
        [Input] => Place::Text(Text::Input),
        [Thinking] => Place::Text(Text::Content),
        _ => Place::Nothing,
    }
}

/// `tool_use` is for the client to run; `server_tool_use` and `mcp_tool_use` are run by the provider, as are others
/// that may be named alike.
fn tool_kind(block_type: &[u8]) -> Option<ToolKind> {
    if block_type == b"tool_use" {
        Some(ToolKind::Function)
    } else {
        block_type.ends_with(b"_tool_use").then_some(ToolKind::BuiltIn)
    }
}
