//! From the scanner's values to the fields of an API, and the observer of a body.

use super::fields::{Fields, Number, Place, Step, Text};
use super::formats::{Format, Mode};
use super::found::Found;
use super::usage::{self, Counter};
use super::{End, Observation, ObserveOptions, Thought, ToolCall};
use crate::json::{Flow, Kind, MAX_SCALAR, Scanner, Short, Visitor, Want};
use crate::route::Api;

/// Reads documents of one API.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) fields: Fields,
    pub(super) found: Found,
    format: Format,
    content: bool,
    target: Target,
    number: Short<MAX_SCALAR>,
}

/// Where the text of the current value goes.
#[derive(Clone, Copy, Debug)]
enum Target {
    Nowhere,
    Text(Text),
    Number(Number),
    Count(Counter),
}

/// Watches an answer that is one JSON text, also that of an error, with whatever status.
#[derive(Debug)]
pub struct BodyObserver {
    scanner: Scanner<Step>,
    reader: Reader,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(api: Api, mode: Mode, content: bool) -> Self {
        Self {
            fields: Fields::default(),
            found: Found::new(),
            format: Format::new(api, mode, content),
            content,
            target: Target::Nowhere,
            number: Short::new(),
        }
    }

    /// A document is over, and another may follow. `name` is that of its event.
    pub(super) fn end_document(&mut self, name: &[u8], is_whole: bool) {
        if is_whole {
            self.found.take(&self.fields);
            self.format.document(name, &self.fields, &mut self.found);
        } else {
            self.found.miss();
        }
        self.format.drop_waiting(&mut self.found);
        self.forget();
    }

    /// The only document is over. Of one that is not whole, what was seen is taken.
    fn end_body(&mut self, is_whole: bool) {
        self.found.take(&self.fields);
        self.format.document(b"", &self.fields, &mut self.found);
        self.found.observation.is_ended = is_whole;
        self.found.observation.is_incomplete |= !is_whole;
        self.forget();
    }

    fn forget(&mut self) {
        self.fields.reset();
        self.target = Target::Nowhere;
    }

    pub(super) fn finish(&mut self) -> Observation {
        self.format.close(&mut self.found);
        self.found.finish(self.format.cache_is_in_input())
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.fields.retained_bytes() + self.found.retained_bytes() + self.format.retained_bytes()
    }

    fn begin_text(&mut self, text: Text, kind: Kind) -> Want {
        if text.is_content() && (!self.content || kind == Kind::Null) {
            // A null beside the field that has the content does not void it.
            return Want::Nothing;
        }
        let want = match kind {
            Kind::Object | Kind::Array if text == Text::Input => Want::Raw,
            Kind::Object | Kind::Array | Kind::Null => Want::Nothing,
            Kind::String | Kind::Number | Kind::Bool => Want::Text,
        };
        if want == Want::Nothing {
            self.fields.clear(text);
        } else {
            self.fields.set(text);
            self.target = Target::Text(text);
        }
        want
    }

    fn begin_part(&mut self, text: Text, kind: Kind) -> Want {
        if !self.content || kind != Kind::String {
            return Want::Nothing;
        }
        self.target = Target::Text(text);
        self.fields.separate(text);
        Want::Text
    }

    fn begin_number(&mut self, target: Target, kind: Kind) -> Want {
        self.number.clear();
        self.set_number(target, None);
        match kind {
            Kind::Number => {
                self.target = target;
                return Want::Text;
            }
            Kind::Null => {}
            _ => self.found.miss(),
        }
        Want::Nothing
    }

    fn end_number(&mut self, target: Target) {
        let value = self.number.get().and_then(usage::parse);
        if value.is_none() {
            self.found.miss();
        }
        self.set_number(target, value);
    }

    fn set_number(&mut self, target: Target, value: Option<u64>) {
        match target {
            Target::Number(number) => self.fields.set_number(number, value),
            Target::Count(counter) => self.fields.counts.set(counter, value),
            Target::Nowhere | Target::Text(_) => {}
        }
    }
}

impl Visitor for Reader {
    type Step = Step;
    const ITEM: Step = Step::Each;

    fn step(key: &[u8]) -> Option<Step> {
        Step::of_key(key)
    }

    fn begin(&mut self, path: &[Step], kind: Kind) -> Want {
        let is_container = matches!(kind, Kind::Object | Kind::Array);
        let walk = if is_container { Want::Walk } else { Want::Nothing };
        if path.is_empty() {
            self.fields.is_object = kind == Kind::Object;
            return walk;
        }
        match self.format.place(path) {
            Place::Nothing => Want::Nothing,
            Place::Walk => walk,
            Place::Group(group) => {
                self.fields
                    .begin(group, kind == Kind::Object, kind == Kind::Array);
                if self.format.begin(group, &self.fields, &mut self.found) {
                    walk
                } else {
                    Want::Nothing
                }
            }
            Place::Text(text) => self.begin_text(text, kind),
            Place::Part(text) => self.begin_part(text, kind),
            Place::Number(number) => self.begin_number(Target::Number(number), kind),
            Place::Count(counter) => self.begin_number(Target::Count(counter), kind),
        }
    }

    fn text(&mut self, piece: &[u8]) {
        match self.target {
            Target::Text(text) => self.fields.push(text, piece),
            Target::Number(_) | Target::Count(_) => self.number.push(piece),
            Target::Nowhere => {}
        }
    }

    fn mended(&mut self) {
        if let Target::Text(text) = self.target {
            self.fields.mend(text);
        }
    }

    fn end(&mut self, path: &[Step], _: Kind) -> Flow {
        match std::mem::replace(&mut self.target, Target::Nowhere) {
            Target::Text(Text::Type) => {
                self.fields.type_was_read = true;
                return Flow::Pause;
            }
            // Tool calls that follow in this document name the answer that they are from.
            Target::Text(Text::Id) => self.found.take_id(&self.fields),
            Target::Text(_) => {}
            target @ (Target::Number(_) | Target::Count(_)) => self.end_number(target),
            Target::Nowhere if path.is_empty() => {}
            Target::Nowhere => {
                if let Place::Group(group) = self.format.place(path) {
                    self.format.end(group, &mut self.fields, &mut self.found);
                }
            }
        }
        Flow::Go
    }
}

// === impl BodyObserver ===

impl BodyObserver {
    pub fn new(api: Api, options: ObserveOptions) -> Self {
        Self {
            scanner: Scanner::new(Step::Each),
            reader: Reader::new(api, Mode::Body, options.content),
        }
    }

    /// Takes the next bytes of the body, in any chunking.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.scanner.feed(bytes, &mut self.reader);
            bytes = &bytes[taken..];
        }
    }

    /// The tool calls that were found since this was last asked, in order.
    pub fn take_tool_calls(&mut self) -> Vec<ToolCall> {
        std::mem::take(&mut self.reader.found.tool_calls)
    }

    /// The thoughts that were found since this was last asked, in order.
    pub fn take_thoughts(&mut self) -> Vec<Thought> {
        std::mem::take(&mut self.reader.found.thoughts)
    }

    /// The end of the body, to be told once. Afterwards [`Self::take_tool_calls`] and [`Self::take_thoughts`] give the
    /// last ones.
    ///
    /// What stands in a body that broke off is reported as far as it was seen.
    pub fn finish(&mut self, end: End) -> Observation {
        let is_whole =
            self.scanner.finish(&mut self.reader) && end == End::Whole && self.reader.fields.is_object;
        self.reader.end_body(is_whole);
        self.scanner.reset();
        self.reader.finish()
    }

    /// The memory that is held for texts, in bytes.
    pub fn retained_bytes(&self) -> usize {
        self.reader.retained_bytes()
    }
}
