//! What has been found so far: the observation in the making, finished tool calls and thoughts, and those still open.

use super::capture::{Budget, Capture, Marks};
use super::fields::{Fields, Text};
use super::usage::Counts;
use super::{
    Observation, ProviderError, THOUGHT_MAX, TOOL_ARGUMENTS_MAX, Thought, ThoughtSource, ToolCall, ToolKind,
};

/// What has been found so far.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) observation: Observation,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) thoughts: Vec<Thought>,
    pub(super) budget: Budget,
    counts: Counts,
    has_usage: bool,
    tier: Option<String>,
}

/// A tool call whose arguments are still coming.
#[derive(Debug)]
pub(super) struct OpenCall {
    call: ToolCall,
    input: Capture,
    /// The arguments are those that a block began with, which pieces replace.
    is_placeholder: bool,
}

/// A thought that is still coming.
#[derive(Debug)]
pub(super) struct OpenThought {
    source: ThoughtSource,
    text: Capture,
}

// === impl Found ===

impl Found {
    pub(super) fn new() -> Self {
        Self {
            observation: Observation::default(),
            tool_calls: Vec::new(),
            thoughts: Vec::new(),
            budget: Budget::new(),
            counts: Counts::default(),
            has_usage: false,
            tier: None,
        }
    }

    /// Something that matters could not be read.
    pub(super) const fn miss(&mut self) {
        self.observation.is_incomplete = true;
    }

    /// Takes over what every API has. Ids and names that come again cost nothing.
    pub(super) fn take(&mut self, fields: &Fields) {
        self.take_id(fields);
        let mut marks = Marks::default();
        take_text(&mut self.observation.model, fields, Text::Model, &mut marks);
        take_text(&mut self.tier, fields, Text::Tier, &mut marks);
        self.mark(marks);
        if fields.has_usage {
            self.has_usage = true;
            self.counts.merge(&fields.counts);
        }
        if fields.has_error {
            self.take_error(fields);
        }
    }

    /// Takes over the id of the answer alone.
    pub(super) fn take_id(&mut self, fields: &Fields) {
        let mut marks = Marks::default();
        take_text(&mut self.observation.response_id, fields, Text::Id, &mut marks);
        self.mark(marks);
    }

    /// An error of an unknown shape is none.
    pub(super) fn take_error(&mut self, fields: &Fields) {
        let mut marks = Marks::default();
        let code = fields.text(Text::ErrorCode, &mut marks);
        let kind = fields.text(Text::ErrorType, &mut marks).or_else(|| code.clone());
        let message = fields.text(Text::ErrorMessage, &mut marks);
        self.mark(marks);
        if kind.is_some() || message.is_some() {
            self.observation.error = Some(ProviderError {
                kind: kind.unwrap_or_default(),
                code,
                message: message.unwrap_or_default(),
            });
        }
    }

    /// The last reason to stop stands.
    pub(super) fn take_stop(&mut self, fields: &Fields, text: Text) {
        let mut marks = Marks::default();
        take_text(&mut self.observation.stop_reason, fields, text, &mut marks);
        self.mark(marks);
    }

    pub(super) fn call(&mut self, mut call: ToolCall) {
        call.response_id.clone_from(&self.observation.response_id);
        self.observation.is_incomplete |= call.arguments_cut;
        self.tool_calls.push(call);
    }

    pub(super) fn thought(&mut self, thought: Option<Thought>) {
        if let Some(thought) = thought {
            self.observation.is_incomplete |= thought.is_cut;
            self.thoughts.push(thought);
        }
    }

    /// What an output item was.
    pub(super) fn take_item(&mut self, thoughts: [Option<Thought>; 2], call: Option<ToolCall>) {
        for thought in thoughts {
            self.thought(thought);
        }
        if let Some(call) = call {
            self.call(call);
        }
    }

    fn mark(&mut self, marks: Marks) {
        self.observation.is_incomplete |= marks.is_cut;
        self.observation.was_mended |= marks.was_mended;
    }

    /// The end. `cache_is_in_input` says how the provider counts.
    pub(super) fn finish(&mut self, cache_is_in_input: bool) -> Observation {
        let mut observation = std::mem::take(&mut self.observation);
        if self.has_usage {
            let (mut usage, agrees) = self.counts.usage(cache_is_in_input);
            observation.is_incomplete |= !agrees;
            usage.service_tier = self.tier.take();
            usage.is_partial =
                observation.stop_reason.is_none() && (observation.error.is_some() || !observation.is_ended);
            observation.usage = Some(usage);
        }
        observation
    }

    pub(super) fn retained_bytes(&self) -> usize {
        let calls = self.tool_calls.iter().map(held_by_call).sum::<usize>();
        let thoughts = self.thoughts.iter().map(held_by_thought).sum::<usize>();
        calls + thoughts
    }
}

fn take_text(into: &mut Option<String>, fields: &Fields, text: Text, marks: &mut Marks) {
    let bytes = fields.bytes(text);
    if !bytes.is_empty() && into.as_ref().is_none_or(|old| old.as_bytes() != bytes) {
        *into = fields.text(text, marks);
    }
}

/// What a finished tool call takes in memory.
pub(super) fn held_by_call(call: &ToolCall) -> usize {
    let texts = [
        call.response_id.as_ref(),
        call.item_id.as_ref(),
        call.call_id.as_ref(),
        call.arguments.as_ref(),
    ];
    size_of::<ToolCall>() + call.name.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
}

/// What a finished thought takes in memory.
pub(super) fn held_by_thought(thought: &Thought) -> usize {
    size_of::<Thought>() + thought.content.len()
}

/// A tool call that stands in one piece in the fields, with a name that was taken from them.
pub(super) fn whole_call(fields: &Fields, name: String, kind: ToolKind, of_name: Marks) -> ToolCall {
    let (mut marks, mut of_ids) = (Marks::default(), of_name);
    let item_id = fields.text(Text::ItemId, &mut of_ids);
    let call_id = fields.text(Text::CallId, &mut of_ids);
    let arguments = fields.text(Text::Input, &mut marks);
    ToolCall {
        response_id: None,
        item_id,
        call_id,
        name,
        kind,
        arguments,
        arguments_cut: marks.is_cut,
        was_mended: marks.was_mended || of_ids.was_mended,
    }
}

/// A thought that stands in one piece in the fields; none if it is empty.
pub(super) fn whole_thought(fields: &Fields, text: Text, source: ThoughtSource) -> Option<Thought> {
    finish_thought(fields.capture(text), source)
}

fn finish_thought(text: &Capture, source: ThoughtSource) -> Option<Thought> {
    let mut marks = Marks::default();
    let content = text
        .text(THOUGHT_MAX, &mut marks)
        .filter(|text| !text.is_empty())?;
    Some(Thought {
        source,
        content,
        is_cut: marks.is_cut,
        was_mended: marks.was_mended,
    })
}

// === impl OpenCall ===

impl OpenCall {
    /// Begins a call with what the fields say. None beyond [`super::PENDING_MAX`].
    pub(super) fn begin(fields: &Fields, kind: ToolKind, budget: &mut Budget) -> Option<Self> {
        if !budget.open() {
            return None;
        }
        let mut marks = Marks::default();
        let call = ToolCall {
            response_id: None,
            item_id: None,
            call_id: fields.text(Text::CallId, &mut marks),
            name: fields.text(Text::Name, &mut marks).unwrap_or_default(),
            kind,
            arguments: None,
            arguments_cut: false,
            was_mended: marks.was_mended,
        };
        Some(Self {
            call,
            input: Capture::default(),
            is_placeholder: false,
        })
    }

    /// Adds a piece of the arguments.
    pub(super) fn add(&mut self, fields: &Fields, budget: &mut Budget) {
        let piece = fields.capture(Text::Input);
        if self.is_placeholder && !piece.bytes().is_empty() {
            self.is_placeholder = false;
            self.input.release(budget);
        }
        self.input.append(piece, TOOL_ARGUMENTS_MAX, budget);
    }

    /// Takes the arguments that stand until the first piece comes.
    pub(super) fn add_placeholder(&mut self, fields: &Fields, budget: &mut Budget) {
        self.add(fields, budget);
        self.is_placeholder = true;
    }

    /// Names and ids may come later than the call.
    pub(super) fn complete_names(&mut self, fields: &Fields) {
        let mut marks = Marks::default();
        if self.call.name.is_empty() {
            self.call.name = fields.text(Text::Name, &mut marks).unwrap_or_default();
        }
        if self.call_id().is_empty() {
            self.call.call_id = fields.text(Text::CallId, &mut marks).or(self.call.call_id.take());
        }
        self.call.was_mended |= marks.was_mended;
    }

    pub(super) fn call_id(&self) -> &[u8] {
        self.call.call_id.as_deref().unwrap_or_default().as_bytes()
    }

    pub(super) const fn kind(&self) -> ToolKind {
        self.call.kind
    }

    pub(super) fn finish(mut self, broke_off: bool, budget: &mut Budget) -> ToolCall {
        let mut marks = Marks::default();
        self.call.arguments = self.input.text(TOOL_ARGUMENTS_MAX, &mut marks);
        self.call.arguments_cut = marks.is_cut || broke_off;
        self.call.was_mended |= marks.was_mended;
        self.input.release(budget);
        budget.close();
        self.call
    }

    pub(super) fn retained_bytes(&self) -> usize {
        held_by_call(&self.call) + self.input.retained_bytes() + size_of::<Self>()
    }
}

// === impl OpenThought ===

impl OpenThought {
    /// None beyond [`super::PENDING_MAX`].
    pub(super) fn begin(source: ThoughtSource, budget: &mut Budget) -> Option<Self> {
        budget.open().then(|| Self {
            source,
            text: Capture::default(),
        })
    }

    pub(super) fn add(&mut self, fields: &Fields, budget: &mut Budget) {
        self.text
            .append(fields.capture(Text::Content), THOUGHT_MAX, budget);
    }

    /// None if nothing came.
    pub(super) fn finish(mut self, broke_off: bool, budget: &mut Budget) -> Option<Thought> {
        let mut thought = finish_thought(&self.text, self.source);
        if let Some(thought) = &mut thought {
            thought.is_cut |= broke_off;
        }
        self.text.release(budget);
        budget.close();
        thought
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.text.retained_bytes() + size_of::<Self>()
    }
}
