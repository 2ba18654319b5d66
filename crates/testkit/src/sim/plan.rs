//! What an answer says, the same for every vendor: text, reasoning, tool calls and token counts.

use serde_json::{Value, json};

use super::directive::{Directives, MAX_PARTS};

/// A request as the vendor modules see it.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    /// Number of the exchange, from which ids are made.
    pub(super) serial: u64,
    /// The parsed body; null if it is not JSON.
    pub(super) body: &'a Value,
    /// Length of the body as received.
    pub(super) length: usize,
    /// SHA-256 of the body as received, in hexadecimal.
    pub(super) digest: &'a str,
    /// The last text of the user.
    pub(super) text: String,
    /// The conversation ends with a tool's output, which is not answered with another call.
    pub(super) after_tool: bool,
    /// What is asked for.
    pub(super) directives: &'a Directives,
}

impl Ask<'_> {
    /// The model asked for.
    pub(super) fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or("sim")
    }

    /// Whether the answer is to be streamed.
    pub(super) fn stream(&self) -> bool {
        self.body["stream"] == Value::Bool(true)
    }

    /// An id with the vendor's prefix.
    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:024x}", self.serial)
    }
}

/// One tool call.
#[derive(Clone, Debug)]
pub(super) struct ToolCall {
    /// Name of the tool.
    pub(super) name: String,
    /// Arguments.
    pub(super) arguments: Value,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The text, in the pieces it is streamed in; empty for a tool call.
    pub(super) text: Vec<String>,
    /// The reasoning, in pieces; empty if there is none.
    pub(super) thinking: Vec<String>,
    /// Tool calls.
    pub(super) tools: Vec<ToolCall>,
    /// Input tokens that were not cached.
    pub(super) input: u64,
    /// Input tokens read from the cache.
    pub(super) cached: u64,
    /// Output tokens, reasoning included.
    pub(super) output: u64,
    /// Output tokens spent on reasoning.
    pub(super) reasoning: u64,
}

impl Plan {
    /// Decides on the answer.
    pub(super) fn new(ask: &Ask<'_>) -> Self {
        let directives = ask.directives;
        let tools = if ask.after_tool {
            Vec::new()
        } else {
            tool_calls(ask.body, directives)
        };
        let text = if tools.is_empty() { text(ask) } else { Vec::new() };
        let thinking: Vec<String> = if directives.reasoning {
            ["The user wants ", "an answer; ", "naïvely: one sentence. 🤔"]
                .map(str::to_owned)
                .into()
        } else {
            Vec::new()
        };
        let reasoning = if thinking.is_empty() { 0 } else { 12 };
        let written = text.len() + 20 * tools.len();
        Self {
            text,
            thinking,
            tools,
            input: (ask.length / 4).max(1) as u64,
            cached: directives.cached,
            output: written as u64 + 1 + reasoning,
            reasoning,
        }
    }

    /// The whole text.
    pub(super) fn whole_text(&self) -> String {
        self.text.concat()
    }

    /// The whole reasoning.
    pub(super) fn whole_thinking(&self) -> String {
        self.thinking.concat()
    }
}

fn text(ask: &Ask<'_>) -> Vec<String> {
    let directives = ask.directives;
    let mut words = without_directives(&ask.text);
    if words.chars().count() > 200 {
        words = words.chars().take(200).collect::<String>() + "…";
    }
    let mut text = format!("You said “{words}” — naïve, but noted 🦀.");
    if directives.echo {
        text = format!("{text} sha256={}", ask.digest);
    }
    if let Some(size) = directives.size {
        text = sized(&text, size);
    }
    let count = text.chars().count();
    let chunks = directives
        .chunks
        .unwrap_or_else(|| text.split(' ').count().min(256));
    if chunks > count && directives.size.is_none() {
        let padding = chunks - count;
        text.extend(" é🦀x".chars().cycle().take(padding));
    }
    cut(&text, chunks)
}

/// Exactly `size` bytes that begin with the text.
fn sized(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(size + 4);
    out.push_str(text);
    while out.len() < size {
        out.push_str(" Wörter 🦀 and words");
    }
    let mut end = size;
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out.extend(std::iter::repeat_n('.', size - end));
    out
}

/// Cuts a text at character boundaries into `parts` pieces of about the same length; fewer if it is too short.
pub(crate) fn cut(text: &str, parts: usize) -> Vec<String> {
    let count = text.chars().count();
    let parts = parts.clamp(1, MAX_PARTS).min(count.max(1));
    let mut chars = text.chars();
    (0..parts)
        .map(|part| {
            let length = count * (part + 1) / parts - count * part / parts;
            chars.by_ref().take(length).collect()
        })
        .collect()
}

fn without_directives(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("[[sim:") {
        out.push_str(&rest[..start]);
        rest = rest[start..]
            .find("]]")
            .map_or("", |end| &rest[start + end + 2..]);
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn tool_calls(body: &Value, directives: &Directives) -> Vec<ToolCall> {
    let none = Vec::new();
    let offered = body["tools"].as_array().unwrap_or(&none);
    // Messages and Responses name a tool at the top, Chat Completions under `function`.
    let named: Vec<(&str, &Value)> = offered
        .iter()
        .map(|tool| {
            if tool["function"].is_object() {
                &tool["function"]
            } else {
                tool
            }
        })
        .filter_map(|tool| tool["name"].as_str().map(|name| (name, tool)))
        .collect();
    (0..directives.tools)
        .map(|index| {
            let chosen = match &directives.tool {
                Some(name) => named.iter().find(|(offered, _)| offered == name),
                None => named.get(index % named.len().max(1)),
            };
            let name = directives
                .tool
                .as_deref()
                .or(chosen.map(|(name, _)| *name))
                .unwrap_or("get_weather");
            let arguments = chosen.map_or_else(
                || json!({"city": "Zürich", "call": index}),
                |(_, tool)| fill(tool, index),
            );
            ToolCall {
                name: name.to_owned(),
                arguments,
            }
        })
        .collect()
}

/// Arguments with which a tool of this schema can be run.
fn fill(tool: &Value, index: usize) -> Value {
    let schema = ["input_schema", "parameters"]
        .iter()
        .map(|name| &tool[*name])
        .find(|v| v.is_object());
    let Some(properties) = schema.and_then(|schema| schema["properties"].as_object()) else {
        return json!({"call": index});
    };
    let fields = properties.iter().map(|(name, property)| {
        let value = match property["type"].as_str() {
            Some("integer" | "number") => json!(index),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => property["enum"]
                .get(0)
                .cloned()
                .unwrap_or_else(|| json!("Zürich")),
        };
        (name.clone(), value)
    });
    Value::Object(fields.collect())
}

/// The text in a content that is a string or a list of blocks with a `text` field.
pub(crate) fn text_of(content: &Value) -> Option<String> {
    if let Some(text) = content.as_str() {
        return Some(text.to_owned());
    }
    let texts: Vec<&str> = content
        .as_array()?
        .iter()
        .filter_map(|block| block["text"].as_str())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cut_loses_nothing(text in ".{0,60}", parts in 0usize..80) {
            prop_assert_eq!(cut(&text, parts).concat(), text);
        }

        #[test]
        fn sized_is_exact(size in 0usize..5000) {
            prop_assert_eq!(sized("You said é🦀", size).len(), size);
        }
    }

    #[test]
    fn as_many_chunks_as_asked_for() {
        let directives = Directives {
            chunks: Some(200),
            ..Directives::default()
        };
        let body = Value::Null;
        let ask = Ask {
            serial: 1,
            body: &body,
            length: 40,
            digest: "",
            text: "hi [[sim: chunks=200]]".into(),
            after_tool: false,
            directives: &directives,
        };
        let plan = Plan::new(&ask);
        assert_eq!(plan.text.len(), 200);
        assert!(plan.whole_text().contains("“hi”"), "{}", plan.whole_text());
    }
}
