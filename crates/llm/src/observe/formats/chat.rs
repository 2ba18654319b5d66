//! OpenAI's Chat Completions API and providers compatible with it: chunks of choices, whose tool calls come as pieces
//! by index.
//!
//! A chunk does not say that a call is complete. It is taken to be when pieces of another one follow and its arguments
//! are one whole JSON text, at the choice's `finish_reason`, and at the end. So interleaved calls stay apart, and calls
//! in sequence are known early.

use std::collections::BTreeMap;

use super::Mode;
use crate::json::{Flow, Kind, Scanner, Visitor, Want};
use crate::observe::capture::Marks;
use crate::observe::fields::Step::{
    self, Arguments, Choices, Code, Custom, Delta, Each, Error, FinishReason, Function, FunctionCall, Id,
    Index, Input, Message, Model, Name, Reasoning, ReasoningContent, ServiceTier, ToolCalls, Type, Usage,
};
use crate::observe::fields::{Fields, Group, Number, Place, Text};
use crate::observe::found::{Found, OpenCall, OpenThought, whole_call, whole_thought};
use crate::observe::{ThoughtSource, ToolKind, usage};

#[derive(Debug)]
pub(in crate::observe) struct Chat {
    mode: Mode,
    content: bool,
    calls: BTreeMap<Key, Call>,
    /// Whose piece came last.
    last: Option<Key>,
    /// The choice that pieces were counted for whose choice had no index yet.
    assumed: Option<u64>,
    /// Of the first choice.
    thought: Option<OpenThought>,
}

/// Choice and index of a call; the legacy `function_call` has no index.
type Key = (u64, Option<u64>);

#[derive(Debug)]
struct Call {
    open: OpenCall,
    /// Over the arguments so far.
    scanner: Scanner<()>,
}

/// Wants nothing: only whether the text is whole matters.
struct Nothing;

// === impl Chat ===

impl Chat {
    pub(super) const fn new(mode: Mode, content: bool) -> Self {
        Self {
            mode,
            content,
            calls: BTreeMap::new(),
            last: None,
            assumed: None,
            thought: None,
        }
    }

    pub(super) fn end(&mut self, group: Group, fields: &Fields, found: &mut Found) {
        match (group, self.mode) {
            (Group::Item, Mode::Body) => {
                let mut marks = Marks::default();
                let name = fields.text(Text::Name, &mut marks).unwrap_or_default();
                found.call(whole_call(fields, name, tool_kind(fields), marks));
            }
            (Group::Item, Mode::Stream) => self.add(fields, found),
            (Group::Choice, _) => self.end_choice(fields, found),
            _ => {}
        }
    }

    fn end_choice(&mut self, fields: &Fields, found: &mut Found) {
        let choice = choice(fields);
        let is_finished = !fields.bytes(Text::Stop).is_empty();
        if choice == 0 {
            found.take_stop(fields, Text::Stop);
            self.think(fields, found);
        }
        if self.assumed.take().is_some_and(|assumed| assumed != choice) {
            // The choice's index came behind its calls, which were taken for another choice's.
            found.miss();
        }
        if is_finished {
            self.finish_choice(choice, found);
        }
    }

    fn think(&mut self, fields: &Fields, found: &mut Found) {
        if fields.bytes(Text::Content).is_empty() {
            return;
        }
        if self.mode == Mode::Body {
            found.thought(whole_thought(fields, Text::Content, ThoughtSource::ReasoningText));
            return;
        }
        if self.thought.is_none() {
            self.thought = OpenThought::begin(ThoughtSource::ReasoningText, &mut found.budget);
        }
        match &mut self.thought {
            Some(thought) => thought.add(fields, &mut found.budget),
            None => found.miss(),
        }
    }

    /// A piece of a call.
    fn add(&mut self, fields: &Fields, found: &mut Found) {
        let key = (choice(fields), fields.number(Number::CallIndex));
        if fields.number(Number::Index).is_none() {
            self.assumed = Some(key.0);
        }
        if let Some(last) = self.last.replace(key).filter(|last| *last != key)
            && self
                .calls
                .get(&last)
                .is_some_and(|call| call.is_whole(self.content))
        {
            self.finish_call(last, false, found);
        }
        if self
            .calls
            .get(&key)
            .is_some_and(|call| call.is_other(key, fields, self.content))
        {
            self.finish_call(key, false, found);
        }
        if !self.calls.contains_key(&key) && !self.begin(key, fields, found) {
            return;
        }
        if let Some(call) = self.calls.get_mut(&key) {
            call.open.complete_names(fields);
            call.open.add(fields, &mut found.budget);
            call.scanner.feed(fields.bytes(Text::Input), &mut Nothing);
        }
    }

    fn begin(&mut self, key: Key, fields: &Fields, found: &mut Found) -> bool {
        let is_named = !fields.bytes(Text::Name).is_empty() || !fields.bytes(Text::CallId).is_empty();
        let open = is_named.then(|| OpenCall::begin(fields, tool_kind(fields), &mut found.budget));
        let Some(Some(open)) = open else {
            // Without content calls are finished before their arguments have come.
            if is_named || self.content {
                found.miss();
            }
            return false;
        };
        let scanner = Scanner::new(());
        self.calls.insert(key, Call { open, scanner });
        true
    }

    fn finish_call(&mut self, key: Key, broke_off: bool, found: &mut Found) {
        if let Some(call) = self.calls.remove(&key) {
            let call = call.open.finish(broke_off, &mut found.budget);
            found.call(call);
        }
    }

    fn finish_choice(&mut self, choice: u64, found: &mut Found) {
        // `None` sorts before every index.
        while let Some((key, _)) = self.calls.range((choice, None)..).next()
            && key.0 == choice
        {
            let key = *key;
            self.finish_call(key, false, found);
        }
        if choice == 0 {
            self.finish_thought(false, found);
        }
    }

    fn finish_thought(&mut self, broke_off: bool, found: &mut Found) {
        if let Some(thought) = self.thought.take() {
            let thought = thought.finish(broke_off, &mut found.budget);
            found.thought(thought);
        }
    }

    pub(super) fn close(&mut self, found: &mut Found) {
        while let Some((key, call)) = self.calls.first_key_value() {
            let (key, is_whole) = (*key, call.is_whole(self.content));
            self.finish_call(key, !is_whole, found);
        }
        self.finish_thought(true, found);
    }

    pub(super) fn retained_bytes(&self) -> usize {
        let calls: usize = self
            .calls
            .values()
            .map(|call| call.open.retained_bytes() + size_of::<Call>())
            .sum();
        calls + self.thought.as_ref().map_or(0, OpenThought::retained_bytes)
    }
}

// === impl Call ===

impl Call {
    /// Of free text, only the end of the choice tells.
    fn is_whole(&self, content: bool) -> bool {
        !content || self.open.kind() == ToolKind::Function && self.scanner.is_done()
    }

    /// The fields begin another call under the same key. Providers that give no index tell calls apart by their ids,
    /// or only by naming the next one.
    fn is_other(&self, key: Key, fields: &Fields, content: bool) -> bool {
        let (old, new) = (self.open.call_id(), fields.bytes(Text::CallId));
        if !old.is_empty() && !new.is_empty() {
            return old != new;
        }
        key.1.is_none() && !fields.bytes(Text::Name).is_empty() && self.is_whole(content)
    }
}

/// A field of a completion, of a chunk of one, or of the envelope of an error.
pub(super) fn place(path: &[Step]) -> Place {
    match path {
        [Id] => Place::Text(Text::Id),
        [Model] => Place::Text(Text::Model),
        [ServiceTier] => Place::Text(Text::Tier),
        [Usage] => Place::Group(Group::Usage),
        [Usage, rest @ ..] => usage::place(rest),
        [Error] => Place::Group(Group::Error),
        [Error, Type] => Place::Text(Text::ErrorType),
        [Error, Code] => Place::Text(Text::ErrorCode),
        [Error, Message] => Place::Text(Text::ErrorMessage),
        [Choices] => Place::Group(Group::Choices),
        [Choices, Each] => Place::Group(Group::Choice),
        [Choices, Each, Index] => Place::Number(Number::Index),
        [Choices, Each, FinishReason] => Place::Text(Text::Stop),
        [Choices, Each, Delta | Message] => Place::Walk,
        [Choices, Each, Delta | Message, rest @ ..] => message(rest),
        _ => Place::Nothing,
    }
}

/// A field of a choice's message, or of a piece of it.
fn message(path: &[Step]) -> Place {
    match path {
        [ReasoningContent | Reasoning] => Place::Text(Text::Content),
        [ToolCalls, Each] | [FunctionCall] => Place::Group(Group::Item),
        [ToolCalls, Each, Index] => Place::Number(Number::CallIndex),
        [ToolCalls, Each, Id] => Place::Text(Text::CallId),
        [ToolCalls, Each, Type] => Place::Text(Text::ItemType),
        [ToolCalls] | [ToolCalls, Each, Function | Custom] => Place::Walk,
        [ToolCalls, Each, Function | Custom, Name] | [FunctionCall, Name] => Place::Text(Text::Name),
        [ToolCalls, Each, Function | Custom, Arguments | Input] | [FunctionCall, Arguments] => {
            Place::Text(Text::Input)
        }
        _ => Place::Nothing,
    }
}

fn tool_kind(fields: &Fields) -> ToolKind {
    if fields.bytes(Text::ItemType) == b"custom" {
        ToolKind::Custom
    } else {
        ToolKind::Function
    }
}

/// The current choice. Where its index has not come yet, its place in the list stands for it.
fn choice(fields: &Fields) -> u64 {
    fields.number(Number::Index).unwrap_or(position(fields))
}

const fn position(fields: &Fields) -> u64 {
    fields.listed.saturating_sub(1)
}

impl Visitor for Nothing {
    type Step = ();
    const ITEM: () = ();

    fn step(_: &[u8]) -> Option<()> {
        None
    }

    fn begin(&mut self, _: &[()], _: Kind) -> Want {
        Want::Nothing
    }

    fn text(&mut self, _: &[u8]) {}

    fn mended(&mut self) {}

    fn end(&mut self, _: &[()], _: Kind) -> Flow {
        Flow::Go
    }
}
