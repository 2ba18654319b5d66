//! The observer of a stream: what its events say, and how far its bytes may be passed on.

use std::ops::Range;

use super::fields::{Step, Text};
use super::formats::Mode;
use super::reader::Reader;
use super::{End, Observation, ObserveOptions, Thought, ToolCall};
use crate::json::{Scanner, Short};
use crate::route::Api;
use crate::sse::{SseField, SseLines, SsePart};

/// No name of an event of interest is longer.
const NAME_MAX: usize = 64;

/// With what the last event of Chat Completions begins.
const DONE: &[u8] = b"[DONE]";

/// Watches an answer that is a stream of events.
///
/// An event is terminal, and holds back everything from its first line on, if its name or the `type` in its data says
/// so: `message_stop` or `error` (Messages); `response.completed`, `response.incomplete`, `response.failed` or `error`
/// (Responses). In Chat Completions it is data that begins with `[DONE]`, which is what makes the SDKs stop.
///
/// An event is held until it is known not to be terminal: its name and the `type` in its data have both been read and
/// say something else. Where one is missing, the other field may still come, so the event is held until its end; but
/// data that cannot have a `type` counts as one that says something else, and Chat Completions have no names.
/// However large an event grows, it stays held; who buffers it has to bound that. Comments outside of events and empty
/// lines are never held.
///
/// If a line that follows contradicts what an event was passed on for, the event is held from there on: no client acts
/// on an event before its empty line.
#[derive(Debug)]
pub struct StreamObserver {
    api: Api,
    usage_was_injected: bool,
    lines: SseLines,
    scanner: Scanner<Step>,
    reader: Reader,
    event: Event,
    /// How many bytes were fed.
    fed: u64,
    drops: Vec<Range<u64>>,
    /// A range to drop that ended with a carriage return, so that a line feed may still belong to it.
    open_drop: Option<Range<u64>>,
    terminal_at: Option<u64>,
    terminal_is_complete: bool,
}

/// The event that is being read.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about lines and data"
)]
#[derive(Debug)]
struct Event {
    /// Where its first line begins; none between events.
    start: Option<u64>,
    /// It was found not to be terminal.
    is_released: bool,
    name: Short<NAME_MAX>,
    name_says: Says,
    data_says: Says,
    has_data_line: bool,
    in_data_line: bool,
    in_name_line: bool,
    /// As much of the data as is `[DONE]`; none once it is known whether it begins so.
    done: Option<usize>,
    /// The data has more than white space.
    has_data: bool,
}

/// What a part of an event says about its being terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    Other,
    Terminal,
}

// === impl StreamObserver ===

impl StreamObserver {
    pub fn new(api: Api, options: ObserveOptions) -> Self {
        Self {
            api,
            usage_was_injected: options.usage_was_injected && api == Api::ChatCompletions,
            lines: SseLines::new(),
            scanner: Scanner::new(Step::Each),
            reader: Reader::new(api, Mode::Stream, options.content),
            event: Event::new(),
            fed: 0,
            drops: Vec::new(),
            open_drop: None,
            terminal_at: None,
            terminal_is_complete: false,
        }
    }

    /// Takes the next bytes of the answer, in any chunking. What follows a complete terminal event is not looked at.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.terminal_is_complete {
                self.fed += bytes.len() as u64;
                return;
            }
            let (taken, part) = self.lines.next(bytes);
            let at = self.fed;
            self.fed += taken as u64;
            self.close_drop(bytes[0]);
            self.take(part, at);
            bytes = &bytes[taken..];
        }
    }

    /// All bytes before this offset, counted from the first byte of the answer, may be passed on, but for those to
    /// drop. It never moves back, and stays where the terminal event begins.
    pub fn pass_to(&self) -> u64 {
        if let Some(at) = self.terminal_at {
            return at;
        }
        if let Some(drop) = &self.open_drop {
            return drop.start;
        }
        match self.event.start {
            Some(start) if !self.event.is_released => start,
            _ => self.fed,
        }
    }

    /// Ranges below [`Self::pass_to`] that are not to be passed on, in order, since this was last asked: each the
    /// whole event with the usage that the gateway has asked for, with its empty line.
    pub fn take_drops(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.drops)
    }

    /// The offset of the first byte of the terminal event, once there is one.
    pub const fn terminal_at(&self) -> Option<u64> {
        self.terminal_at
    }

    /// The empty line of the terminal event has come. Whatever follows ends nothing any more.
    pub const fn terminal_is_complete(&self) -> bool {
        self.terminal_is_complete
    }

    /// The tool calls that became complete since this was last asked, in order. Whoever asks after each feed bounds
    /// what is held.
    pub fn take_tool_calls(&mut self) -> Vec<ToolCall> {
        std::mem::take(&mut self.reader.found.tool_calls)
    }

    /// The thoughts that became complete since this was last asked, in order.
    pub fn take_thoughts(&mut self) -> Vec<Thought> {
        std::mem::take(&mut self.reader.found.thoughts)
    }

    /// The end of the answer, to be told once. Afterwards [`Self::take_tool_calls`], [`Self::take_thoughts`] and
    /// [`Self::take_drops`] give the last ones.
    ///
    /// An event without its empty line is not one: it says nothing, but for choices and pieces of calls that stand
    /// whole in a chunk of Chat Completions, and unless it was released before, it stays held. Within a stream that
    /// was whole it makes the observation incomplete. Tool calls and thoughts that were still coming are given as cut.
    pub fn finish(&mut self, end: End) -> Observation {
        self.drops.extend(self.open_drop.take());
        if self.event.start.is_some() && end == End::Whole {
            self.reader.found.miss();
        }
        self.reader.found.observation.is_ended = self.terminal_is_complete;
        self.reader.finish()
    }

    /// The memory that is held for texts, in bytes.
    pub fn retained_bytes(&self) -> usize {
        self.reader.retained_bytes() + self.drops.capacity() * size_of::<Range<u64>>()
    }

    fn drop(&mut self, event: Range<u64>) {
        if self.lines.may_add_line_feed() {
            self.open_drop = Some(event);
        } else {
            self.drops.push(event);
        }
    }

    fn close_drop(&mut self, next: u8) {
        if let Some(mut drop) = self.open_drop.take() {
            drop.end += u64::from(next == b'\n');
            self.drops.push(drop);
        }
    }

    /// `at` is where the part begins.
    fn take(&mut self, part: SsePart<'_>, at: u64) {
        match part {
            SsePart::Nothing | SsePart::LineEnd(SseField::Comment) => return,
            SsePart::Bom => {
                self.event.start = None;
                return;
            }
            SsePart::Blank => return self.end_event(),
            _ => {}
        }
        self.event.start.get_or_insert(at);
        match part {
            SsePart::Event(piece) => {
                self.event.begin_name_line();
                self.event.name.push(piece);
            }
            SsePart::LineEnd(SseField::Event) => {
                self.event.begin_name_line();
                self.event.in_name_line = false;
                self.event.name_says = self.name_says();
                self.decide(at);
            }
            SsePart::Data(piece) => self.data(piece),
            SsePart::LineEnd(SseField::Data) => {
                self.begin_data_line();
                self.event.in_data_line = false;
            }
            _ => {}
        }
    }

    fn name_says(&self) -> Says {
        match self.event.name.get() {
            Some(name) if is_terminal(self.api, name) => Says::Terminal,
            _ => Says::Other,
        }
    }

    /// Data lines are joined by line feeds.
    fn begin_data_line(&mut self) {
        if std::mem::replace(&mut self.event.in_data_line, true) {
            return;
        }
        if std::mem::replace(&mut self.event.has_data_line, true) {
            self.scanner.feed(b"\n", &mut self.reader);
            self.event.look_for_done(b"\n");
        }
    }

    fn data(&mut self, mut piece: &[u8]) {
        self.begin_data_line();
        self.event.look_for_done(piece);
        while !piece.is_empty() {
            let taken = self.scanner.feed(piece, &mut self.reader);
            piece = &piece[taken..];
            self.judge_data();
            // The byte that was taken last is where the data began to say so.
            self.decide((self.fed - piece.len() as u64).saturating_sub(1));
        }
    }

    fn judge_data(&mut self) {
        let fields = &mut self.reader.fields;
        if self.api == Api::ChatCompletions {
            self.event.data_says = match self.event.done {
                Some(seen) if seen == DONE.len() => Says::Terminal,
                Some(_) => Says::Nothing,
                None => Says::Other,
            };
        } else if std::mem::take(&mut fields.type_was_read) {
            self.event.data_says = if is_terminal(self.api, fields.bytes(Text::Type)) {
                Says::Terminal
            } else {
                Says::Other
            };
        } else if self.event.data_says == Says::Nothing
            && (self.scanner.is_broken() || self.event.has_data && !fields.is_object)
        {
            self.event.data_says = Says::Other;
        }
    }

    /// `at` is the byte that gave the last bit of knowledge.
    fn decide(&mut self, at: u64) {
        if self.terminal_at.is_some() {
            return;
        }
        let (name, data) = (self.event.name_says, self.event.data_says);
        if name == Says::Terminal || data == Says::Terminal {
            self.terminal_at = if self.event.is_released {
                Some(at)
            } else {
                self.event.start
            };
        } else if data == Says::Other && self.may_go(name) {
            self.event.is_released = true;
        }
    }

    /// Nothing but the data stands in the way of passing the event on.
    fn may_go(&self, name: Says) -> bool {
        if self.api != Api::ChatCompletions {
            return name == Says::Other;
        }
        !self.usage_was_injected || self.reader.fields.had_choice
    }

    fn end_event(&mut self) {
        let Some(start) = self.event.start else {
            return;
        };
        if self.event.has_data && self.event.done != Some(DONE.len()) {
            let is_whole = self.scanner.finish(&mut self.reader) && self.reader.fields.is_object;
            if is_whole && self.is_injected_usage() {
                self.drop(start..self.fed);
            }
            let name = self.event.name.get().unwrap_or_default();
            self.reader.end_document(name, is_whole);
        } else {
            self.reader
                .end_document(self.event.name.get().unwrap_or_default(), true);
        }
        self.scanner.reset();
        self.terminal_is_complete = self.terminal_at.is_some();
        self.event.reset();
    }

    /// Only the chunk that was added because the gateway has asked for it.
    fn is_injected_usage(&self) -> bool {
        let fields = &self.reader.fields;
        self.usage_was_injected && fields.has_choices && !fields.had_choice && fields.has_usage
    }
}

// === impl Event ===

impl Event {
    const fn new() -> Self {
        Self {
            start: None,
            is_released: false,
            name: Short::new(),
            name_says: Says::Nothing,
            data_says: Says::Nothing,
            has_data_line: false,
            in_data_line: false,
            in_name_line: false,
            done: Some(0),
            has_data: false,
        }
    }

    /// Another event follows.
    const fn reset(&mut self) {
        self.start = None;
        self.is_released = false;
        self.name.clear();
        self.name_says = Says::Nothing;
        self.data_says = Says::Nothing;
        self.has_data_line = false;
        self.in_data_line = false;
        self.in_name_line = false;
        self.done = Some(0);
        self.has_data = false;
    }

    /// The last name counts.
    const fn begin_name_line(&mut self) {
        if !self.in_name_line {
            self.in_name_line = true;
            self.name.clear();
        }
    }

    /// Compares the beginning of the data.
    fn look_for_done(&mut self, piece: &[u8]) {
        for byte in piece {
            let Some(seen) = self.done.filter(|seen| *seen < DONE.len()) else {
                return;
            };
            if *byte == DONE[seen] {
                self.done = Some(seen + 1);
                self.has_data = true;
            } else if seen > 0 || !byte.is_ascii_whitespace() {
                self.done = None;
                self.has_data = true;
            }
        }
    }
}

/// The names and types of the events that end an answer.
fn is_terminal(api: Api, name: &[u8]) -> bool {
    match api {
        Api::Messages | Api::CountTokens => matches!(name, b"message_stop" | b"error"),
        Api::ChatCompletions => false,
        Api::Responses | Api::ResponsesObject | Api::Conversations | Api::Models | Api::Other => matches!(
            name,
            b"response.completed" | b"response.incomplete" | b"response.failed" | b"error"
        ),
    }
}
