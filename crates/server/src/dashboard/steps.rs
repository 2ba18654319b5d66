//! One request to a model, as a step of a timeline: what went in, what the model thought, which tools it called.
//!
//! Whatever was recorded can be long, and a page must not be: texts are shortened, and a page has an [`Allowance`] of
//! which every step takes its part. The whole of each text is at an address of its own, as plain text.

use askama::Template;
use askama::filters::HtmlSafe;
use gateway_core::interception::{ToolKind, ToolUsage};
use gateway_core::{InterceptionId, Timestamp};
use gateway_store::{Interception, Thought, TokenSums};

use super::wording::{self, Tag, counted, duration, shortened};

/// How much of a name is shown, in characters.
pub(super) const NAME: usize = 60;

/// What the markup of a step, of a part of it and of an excerpt takes, about, in bytes.
const STEP_BYTES: usize = 750;
const PART_BYTES: usize = 350;

/// What may still be put on a page, in bytes.
#[derive(Debug)]
pub(super) struct Allowance(usize);

/// The beginning of a text, or all of it.
#[derive(Template)]
#[template(path = "parts/excerpt.html")]
pub(super) struct Excerpt {
    text: String,
    /// Where all of it is, if this is not.
    whole: Option<Whole>,
    /// It was cut when it was recorded.
    is_cut: bool,
    /// Its spaces and lines matter.
    is_code: bool,
}

struct Whole {
    address: String,
    length: String,
}

/// How much of texts is shown, in bytes of HTML.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) prompt: usize,
    pub(super) part: usize,
}

/// One request.
#[derive(Template)]
#[template(path = "parts/step.html")]
pub(super) struct Step {
    id: String,
    /// Of the day, UTC.
    time: String,
    machine_time: String,
    model: String,
    answered_model: Option<String>,
    duration: Option<String>,
    tokens: Option<String>,
    outcome: Tag,
    notes: Vec<&'static str>,
    error: Option<String>,
    parts: Vec<Part>,
    /// Parts that there was no room for.
    left_out: usize,
    /// Whether there is a page with more about it.
    is_linked: bool,
}

/// A thought or a tool call.
struct Part {
    label: String,
    name: Option<String>,
    content: Option<Excerpt>,
}

impl HtmlSafe for Excerpt {}
impl HtmlSafe for Step {}

// === impl Allowance ===

impl Allowance {
    pub(super) const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_used_up(&self) -> bool {
        self.0 == 0
    }

    fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }
}

// === impl Excerpt ===

impl Excerpt {
    pub(super) fn new(
        text: &str,
        bytes: usize,
        address: impl FnOnce() -> String,
        allowance: &mut Allowance,
    ) -> Self {
        let end = end_within(text, bytes);
        let shown = &text[..end.unwrap_or(text.len())];
        allowance.take(PART_BYTES + escaped_len(shown));
        Self {
            text: shown.to_owned(),
            whole: end.map(|_| Whole {
                address: address(),
                length: counted(text.chars().count() as u64, "character"),
            }),
            is_cut: false,
            is_code: false,
        }
    }

    fn cut(mut self, is_cut: bool) -> Self {
        self.is_cut = is_cut;
        self
    }

    fn code(mut self) -> Self {
        self.is_code = true;
        self
    }
}

/// Where it is to end so as to take no more than so many bytes in HTML; none: nowhere.
fn end_within(text: &str, bytes: usize) -> Option<usize> {
    let mut taken = 0;
    text.char_indices().find_map(|(start, letter)| {
        taken += escaped_len(letter.encode_utf8(&mut [0; 4]));
        (taken > bytes).then_some(start)
    })
}

/// How long it is in HTML.
fn escaped_len(text: &str) -> usize {
    let special = text.bytes().filter(|byte| b"<>&\"'".contains(byte)).count();
    text.len() + 4 * special
}

// === impl Step ===

impl Step {
    pub(super) fn new(found: &Interception, lengths: Lengths, allowance: &mut Allowance) -> Self {
        allowance.take(STEP_BYTES);
        let mut step = Self {
            id: found.id.to_string(),
            time: time_of_day(found.started_at),
            machine_time: machine_time(found.started_at),
            model: name_of_model(&found.model),
            answered_model: found
                .answered_model
                .as_ref()
                .filter(|answered| **answered != found.model)
                .map(|answered| shortened(answered, NAME)),
            duration: found.ended_at.map(|ended| duration(found.started_at, ended)),
            tokens: found.usage.as_ref().map(|usage| {
                wording::tokens(&TokenSums {
                    input: usage.input,
                    output: usage.output,
                    cache_read_input: usage.cache_read_input,
                    cache_write_input: usage.cache_write_input,
                    reasoning: usage.reasoning.unwrap_or_default(),
                })
            }),
            outcome: wording::outcome(found.outcome),
            notes: notes(found),
            error: error(found, lengths),
            parts: Vec::new(),
            left_out: 0,
            is_linked: true,
        };
        allowance.take(step.error.as_deref().map_or(0, escaped_len) + 150 * step.notes.len());
        for (place, thought) in found.thoughts.iter().enumerate() {
            step.add(allowance, |allowance| {
                Part::thought(found.id, place, thought, lengths, allowance)
            });
        }
        for tool in &found.tools {
            step.add(allowance, |allowance| {
                Part::tool(found.id, tool, lengths, allowance)
            });
        }
        step
    }

    /// For the page that it would link to.
    pub(super) fn alone(mut self) -> Self {
        self.is_linked = false;
        self
    }

    fn add(&mut self, allowance: &mut Allowance, make: impl FnOnce(&mut Allowance) -> Part) {
        if allowance.is_used_up() {
            self.left_out += 1;
        } else {
            self.parts.push(make(allowance));
        }
    }
}

fn notes(found: &Interception) -> Vec<&'static str> {
    let mut notes: Vec<&'static str> = found.marks.iter().map(wording::mark).collect();
    if found.usage.as_ref().is_some_and(|usage| usage.is_partial) {
        notes.push("The answer broke off, so more tokens may have been used than were seen.");
    }
    notes
}

fn error(found: &Interception, lengths: Lengths) -> Option<String> {
    let message = found
        .error_message
        .as_deref()
        .map(|text| shortened(text, lengths.part));
    match (&found.error_type, message) {
        (Some(kind), Some(message)) => Some(format!("{}: {message}", shortened(kind, NAME))),
        (Some(kind), None) => Some(shortened(kind, NAME)),
        (None, message) => message,
    }
}

pub(super) fn name_of_model(model: &str) -> String {
    if model.is_empty() {
        return "no model named".to_owned();
    }
    shortened(model, NAME)
}

fn jiff_time(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MAX)
}

fn time_of_day(at: Timestamp) -> String {
    jiff_time(at).strftime("%H:%M:%S").to_string()
}

fn machine_time(at: Timestamp) -> String {
    jiff_time(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

// === impl Part ===

impl Part {
    fn thought(
        id: InterceptionId,
        place: usize,
        thought: &Thought,
        lengths: Lengths,
        allowance: &mut Allowance,
    ) -> Self {
        let address = || text_address(id, &format!("thought-{place}"));
        Self {
            label: wording::thought(&thought.source).to_owned(),
            name: None,
            content: Some(
                Excerpt::new(&thought.content, lengths.part, address, allowance).cut(thought.is_cut),
            ),
        }
    }

    fn tool(id: InterceptionId, tool: &ToolUsage, lengths: Lengths, allowance: &mut Allowance) -> Self {
        let address = || text_address(id, &format!("tool-{}", tool.ordinal));
        let kind = match tool.kind {
            ToolKind::Function => "Tool",
            ToolKind::Custom => "Tool, free text",
            ToolKind::BuiltIn => "Provider's own tool",
        };
        Self {
            label: kind.to_owned(),
            name: Some(shortened(&tool.tool, NAME)),
            content: tool.input.as_ref().map(|input| {
                Excerpt::new(input, lengths.part, address, allowance)
                    .cut(tool.is_cut)
                    .code()
            }),
        }
    }
}

/// Where a text stands alone.
pub(super) fn text_address(id: InterceptionId, part: &str) -> String {
    format!("/ai-gateway/interceptions/{id}/text/{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_leads_to_the_whole() {
        let mut allowance = Allowance::new(10_000);
        let whole = || "/whole".to_owned();
        let short = Excerpt::new("<b>äö</b>", 100, whole, &mut allowance)
            .render()
            .unwrap();
        assert!(!short.contains("<b>") && !short.contains("/whole"), "{short}");
        let long = Excerpt::new("<b>äö</b>", 13, whole, &mut allowance)
            .render()
            .unwrap();
        assert!(long.contains("/whole") && long.contains("9 characters"), "{long}");
        assert!(long.contains("ä") && !long.contains("ö"), "{long}");
    }

    #[test]
    fn what_is_shown_takes_from_the_allowance() {
        let mut allowance = Allowance::new(PART_BYTES + 10);
        Excerpt::new("<<", 10, String::new, &mut allowance);
        assert!(allowance.is_used_up());
    }
}
