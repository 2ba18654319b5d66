//! What a request asks of the simulated provider: `[[sim: tools=2 reasoning]]` in the last user text, `x-sim: ...` as a
//! header, or `sim-error-429` as the model. The three are merged; the header wins over the prompt, the prompt over the
//! model. An unknown word is an error, so that a misspelt test does not pass by accident.

use super::encode::Coding;

/// How a broken answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    /// HTTP/1.1: the connection is closed in order, but the body is not ended. HTTP/2: the stream is reset.
    #[default]
    Fin,
    /// The TCP connection is reset, whatever the HTTP version.
    Rst,
    /// As [`Break::Fin`], after half of the next event's bytes.
    MidEvent,
}

/// The behaviour asked for. The default is a plain short answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own, not a state"
)]
pub struct Directives {
    /// Answer with this status (400 to 599) in the vendor's error envelope.
    pub error: Option<u16>,
    /// Seconds for the `Retry-After` of an error.
    pub retry_after: Option<u64>,
    /// Number of tool calls in the answer.
    pub tools: usize,
    /// Name of the tool to call instead of the first one offered.
    pub tool: Option<String>,
    /// Reason before the answer.
    pub reasoning: bool,
    /// Input tokens reported as read from the cache, beside the others.
    pub cached: u64,
    /// Number of text deltas.
    pub chunks: Option<usize>,
    /// Pause before each event but the first.
    pub interval_ms: u64,
    /// Send this many events, then nothing for ever.
    pub stall_after: Option<usize>,
    /// Send this many events, then break.
    pub break_after: Option<usize>,
    /// How to break.
    pub break_kind: Break,
    /// Send this many events, then an error event.
    pub error_event_after: Option<usize>,
    /// Cut the body at random byte boundaries.
    pub split: bool,
    /// Seed of the cuts.
    pub seed: u64,
    /// Exact number of bytes of the answer's text.
    pub size: Option<usize>,
    /// End the lines of a stream with CR LF.
    pub crlf: bool,
    /// Put SSE comments between the events.
    pub comments: bool,
    /// Write `data:` without the space after it.
    pub nospace: bool,
    /// Encode the answer, whatever the client accepts.
    pub encoded: Option<Coding>,
    /// Do not say how long a body that is not streamed is.
    pub no_content_length: bool,
    /// Status of the answer instead of 200; 204 and 304 have no body.
    pub status: Option<u16>,
    /// Wait before the head.
    pub head_delay_ms: u64,
    /// Send the vendor's rate-limit headers, cookies, `alt-svc` and a hop-by-hop header.
    pub extra_headers: bool,
    /// Name of the gate that holds the answer.
    pub gate: Option<String>,
    /// Hold after this many events instead of before the head.
    pub gate_after: Option<usize>,
    /// Say the SHA-256 of the received body in the text.
    pub echo: bool,
    /// Never read the request body (header only).
    pub slow_read: bool,
    /// Answer without reading the request body (header only).
    pub no_read: bool,
}

/// A directive that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// No directive has this name.
    #[error("unknown directive {0:?}")]
    Unknown(String),
    /// The value is missing, superfluous or not of the right kind.
    #[error("bad value for directive {name}: {value:?}")]
    Value {
        /// The directive.
        name: String,
        /// What was given; empty if nothing was.
        value: String,
    },
    /// `[[sim:` without `]]`.
    #[error("directive block is not closed by ]]")]
    Unclosed,
}

const FLAGS: [&str; 10] = [
    "reasoning",
    "split",
    "crlf",
    "comments",
    "nospace",
    "no_content_length",
    "extra_headers",
    "echo",
    "slow_read",
    "no_read",
];

/// Upper bound of `size`, so that a test cannot exhaust the memory.
pub const MAX_SIZE: usize = 256 << 20;
/// Upper bound of `chunks` and `tools`.
pub const MAX_PARTS: usize = 100_000;

impl Directives {
    /// Merges the three places a directive may stand in.
    pub fn collect(model: &str, text: &str, header: Option<&str>) -> Result<Self, DirectiveError> {
        let mut all = Self::default();
        all.apply_model(model)?;
        all.apply_text(text)?;
        if let Some(words) = header {
            all.apply_words(words)?;
        }
        Ok(all)
    }

    /// Applies every `[[sim: ...]]` block in a text.
    pub fn apply_text(&mut self, text: &str) -> Result<(), DirectiveError> {
        let mut rest = text;
        while let Some(start) = rest.find("[[sim:") {
            let block = &rest[start + 6..];
            let end = block.find("]]").ok_or(DirectiveError::Unclosed)?;
            self.apply_words(&block[..end])?;
            rest = &block[end + 2..];
        }
        Ok(())
    }

    /// Applies words such as `error=429 retry_after=2`, separated by white space or commas.
    pub fn apply_words(&mut self, words: &str) -> Result<(), DirectiveError> {
        for word in words
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|w| !w.is_empty())
        {
            match word.split_once('=') {
                Some((name, value)) => self.apply(name, Some(value))?,
                None => self.apply(word, None)?,
            }
        }
        Ok(())
    }

    /// Applies a model name such as `sim-error-429-retry_after-2`. One that does not begin with `sim-` and a directive
    /// is only a name.
    pub fn apply_model(&mut self, model: &str) -> Result<(), DirectiveError> {
        let Some(rest) = model.strip_prefix("sim-") else {
            return Ok(());
        };
        let mut words = rest.split('-');
        let mut first = true;
        while let Some(name) = words.next() {
            let value = if FLAGS.contains(&name) { None } else { words.next() };
            match self.apply(name, value) {
                Err(DirectiveError::Unknown(_)) if first => return Ok(()),
                done => done?,
            }
            first = false;
        }
        Ok(())
    }

    fn apply(&mut self, name: &str, value: Option<&str>) -> Result<(), DirectiveError> {
        let word = Word { name, value };
        match name {
            "error" => self.error = Some(word.status(400)?),
            "retry_after" => self.retry_after = Some(word.number(u64::MAX)?),
            "tools" => self.tools = word.size(MAX_PARTS)?,
            "tool" => {
                self.tool = Some(word.text()?);
                self.tools = self.tools.max(1);
            }
            "cached" => self.cached = word.number(u64::from(u32::MAX))?,
            "chunks" => self.chunks = Some(word.size(MAX_PARTS)?.max(1)),
            "interval_ms" => self.interval_ms = word.number(3_600_000)?,
            "stall_after" => self.stall_after = Some(word.size(usize::MAX)?),
            "break_after" => self.break_after = Some(word.size(usize::MAX)?),
            "break" => {
                self.break_kind = match value {
                    Some("rst") => Break::Rst,
                    Some("fin") => Break::Fin,
                    Some("mid_event") => Break::MidEvent,
                    _ => return Err(word.bad()),
                };
            }
            "error_event_after" => self.error_event_after = Some(word.size(usize::MAX)?),
            "split" if value == Some("random") => self.split = true,
            "seed" => self.seed = word.number(u64::MAX)?,
            "size" => self.size = Some(word.size(MAX_SIZE)?),
            "encoded" => self.encoded = Some(value.and_then(Coding::parse).ok_or_else(|| word.bad())?),
            "status" => self.status = Some(word.status(200)?),
            "head_delay_ms" => self.head_delay_ms = word.number(3_600_000)?,
            "gate" => self.gate = Some(word.text()?),
            "gate_after" => self.gate_after = Some(word.size(usize::MAX)?),
            _ => return self.apply_flag(&word),
        }
        Ok(())
    }

    fn apply_flag(&mut self, word: &Word<'_>) -> Result<(), DirectiveError> {
        let flag = match word.name {
            "reasoning" => &mut self.reasoning,
            "split" => &mut self.split,
            "crlf" => &mut self.crlf,
            "comments" => &mut self.comments,
            "nospace" => &mut self.nospace,
            "no_content_length" => &mut self.no_content_length,
            "extra_headers" => &mut self.extra_headers,
            "echo" => &mut self.echo,
            "slow_read" => &mut self.slow_read,
            "no_read" => &mut self.no_read,
            other => return Err(DirectiveError::Unknown(other.to_owned())),
        };
        if word.value.is_some() {
            return Err(word.bad());
        }
        *flag = true;
        Ok(())
    }
}

struct Word<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl Word<'_> {
    fn bad(&self) -> DirectiveError {
        DirectiveError::Value {
            name: self.name.to_owned(),
            value: self.value.unwrap_or_default().to_owned(),
        }
    }

    fn number(&self, max: u64) -> Result<u64, DirectiveError> {
        let number = self.value.and_then(|v| v.parse().ok()).filter(|n| *n <= max);
        number.ok_or_else(|| self.bad())
    }

    fn size(&self, max: usize) -> Result<usize, DirectiveError> {
        let number = self.value.and_then(|v| v.parse().ok()).filter(|n| *n <= max);
        number.ok_or_else(|| self.bad())
    }

    fn status(&self, min: u16) -> Result<u16, DirectiveError> {
        let number = self
            .value
            .and_then(|v| v.parse().ok())
            .filter(|n| (min..=599).contains(n));
        number.ok_or_else(|| self.bad())
    }

    fn text(&self) -> Result<String, DirectiveError> {
        self.value
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| self.bad())
    }
}

#[cfg(test)]
mod tests;
