//! A scripted answer: a head, what happens before it, and the steps of its body. The vendor modules say which events an
//! answer has; this module turns them into bytes and applies the directives that concern every vendor alike.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::directive::{Break, Directives};
use super::encode::Encoder;

/// One step of an answer's body, or of the time before its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes handed to the connection, and flushed.
    Bytes(Bytes),
    /// A pause.
    Delay(Duration),
    /// Wait until the gate of this name is open.
    Gate(String),
    /// Nothing more, and the connection stays.
    Stall,
    /// Break the connection.
    Abort(Break),
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// Status of the head.
    pub(super) status: StatusCode,
    /// Headers of the head.
    pub(super) headers: HeaderMap,
    /// What happens before the head is sent.
    pub(super) before: Vec<Step>,
    /// The body.
    pub(super) steps: Vec<Step>,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// The `event:` line, if the vendor writes one.
    pub(super) name: Option<String>,
    /// The `data:` line.
    pub(super) data: String,
}

impl Event {
    /// An event named by the `type` of its data, as Anthropic and the Responses API write it.
    pub(super) fn typed(data: &Value) -> Self {
        let name = data["type"].as_str().unwrap_or_default().to_owned();
        Self {
            name: Some(name),
            data: type_first(data),
        }
    }

    /// An event of data only.
    pub(super) fn data(data: &Value) -> Self {
        Self {
            name: None,
            data: data.to_string(),
        }
    }

    fn render(&self, directives: &Directives, out: &mut BytesMut) {
        let end: &[u8] = if directives.crlf { b"\r\n" } else { b"\n" };
        let space = if directives.nospace { "" } else { " " };
        if directives.comments {
            out.extend_from_slice(b": keep-alive");
            out.extend_from_slice(end);
            out.extend_from_slice(end);
        }
        if let Some(name) = &self.name {
            out.extend_from_slice(format!("event:{space}{name}").as_bytes());
            out.extend_from_slice(end);
        }
        out.extend_from_slice(format!("data:{space}").as_bytes());
        out.extend_from_slice(self.data.as_bytes());
        out.extend_from_slice(end);
        out.extend_from_slice(end);
    }
}

/// The vendors write `type` as the first field; the map of the JSON library is sorted.
fn type_first(data: &Value) -> String {
    let Some((kind, fields)) = data.as_object().and_then(|map| Some((map.get("type")?, map))) else {
        return data.to_string();
    };
    let mut text = format!("{{\"type\":{kind}");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "type") {
        // Writing to a string cannot fail.
        let _ = write!(text, ",{}:{value}", Value::from(name.as_str()));
    }
    text.push('}');
    text
}

/// What an answer says, before it is cut into steps.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A JSON document.
    Json(Value),
    /// A stream of server-sent events.
    Events(Vec<Event>),
}

/// Pieces that a JSON body is cut into when a directive counts events.
const JSON_PIECE: usize = 64;

impl Script {
    /// Applies the directives to what a vendor says.
    pub(super) fn compile(
        status: u16,
        headers: HeaderMap,
        content: Content,
        directives: &Directives,
    ) -> Self {
        let status = StatusCode::from_u16(directives.status.unwrap_or(status)).unwrap_or(StatusCode::OK);
        let mut script = Self {
            status,
            headers,
            before: Vec::new(),
            steps: Vec::new(),
        };
        if directives.head_delay_ms > 0 {
            script
                .before
                .push(Step::Delay(Duration::from_millis(directives.head_delay_ms)));
        }
        if let (Some(gate), None) = (&directives.gate, directives.gate_after) {
            script.before.push(Step::Gate(gate.clone()));
        }
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return script;
        }
        let streamed = matches!(content, Content::Events(_));
        let media = if streamed {
            "text/event-stream; charset=utf-8"
        } else {
            "application/json"
        };
        script
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if streamed {
            script
                .headers
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        let pieces = encoded(render(content, directives), directives, &mut script.headers);
        if !streamed && !directives.no_content_length {
            let length: usize = pieces.iter().map(Bytes::len).sum();
            script
                .headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        script.steps = schedule(pieces, directives);
        if directives.split {
            script.steps = recut(script.steps, directives.seed);
        }
        script
    }
}

fn render(content: Content, directives: &Directives) -> Vec<Bytes> {
    match content {
        Content::Events(events) => events
            .iter()
            .map(|event| {
                let mut bytes = BytesMut::new();
                event.render(directives, &mut bytes);
                bytes.freeze()
            })
            .collect(),
        Content::Json(value) => {
            let mut body = Bytes::from(type_first(&value));
            let counted = directives.interval_ms > 0
                || directives.stall_after.is_some()
                || directives.break_after.is_some()
                || directives.gate_after.is_some();
            let mut pieces = Vec::new();
            while counted && body.len() > JSON_PIECE {
                pieces.push(body.split_to(JSON_PIECE));
            }
            pieces.push(body);
            pieces
        }
    }
}

fn encoded(pieces: Vec<Bytes>, directives: &Directives, headers: &mut HeaderMap) -> Vec<Bytes> {
    let Some(coding) = directives.encoded else {
        return pieces;
    };
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    let mut encoder = Encoder::new(coding);
    let mut out: Vec<Bytes> = pieces.iter().map(|piece| encoder.push(piece)).collect();
    let last = encoder.finish();
    if !last.is_empty() {
        out.push(last);
    }
    out
}

fn schedule(pieces: Vec<Bytes>, directives: &Directives) -> Vec<Step> {
    let mut steps = Vec::with_capacity(pieces.len());
    let count = pieces.len();
    for (sent, piece) in pieces.into_iter().enumerate() {
        if let (Some(gate), true) = (&directives.gate, directives.gate_after == Some(sent)) {
            steps.push(Step::Gate(gate.clone()));
        }
        if directives
            .stall_after
            .is_some_and(|after| after == sent || after >= count && sent + 1 == count)
        {
            steps.push(Step::Stall);
            return steps;
        }
        // Asked to break after more than there is: before the last piece, for a whole answer is no broken one.
        if directives
            .break_after
            .is_some_and(|after| after == sent || after >= count && sent + 1 == count)
        {
            if directives.break_kind == Break::MidEvent {
                steps.push(Step::Bytes(piece.slice(..piece.len() / 2)));
            }
            steps.push(Step::Abort(directives.break_kind));
            return steps;
        }
        if sent > 0 && directives.interval_ms > 0 {
            steps.push(Step::Delay(Duration::from_millis(directives.interval_ms)));
        }
        steps.push(Step::Bytes(piece));
    }
    steps
}

/// Cuts what stands between two other steps anew: mostly short pieces, now and then one of several events.
fn recut(steps: Vec<Step>, seed: u64) -> Vec<Step> {
    let mut random = SplitMix(seed);
    let mut out = Vec::new();
    let mut run = BytesMut::new();
    let mut flush = |run: &mut BytesMut, out: &mut Vec<Step>| {
        let mut rest = run.split().freeze();
        while !rest.is_empty() {
            let bound = if random.next().is_multiple_of(8) { 2048 } else { 24 };
            let length = usize::try_from(1 + random.next() % bound)
                .unwrap_or(1)
                .min(rest.len());
            out.push(Step::Bytes(rest.split_to(length)));
        }
    };
    for step in steps {
        match step {
            Step::Bytes(bytes) => run.extend_from_slice(&bytes),
            other => {
                flush(&mut run, &mut out);
                out.push(other);
            }
        }
    }
    flush(&mut run, &mut out);
    out
}

/// The generator of Steele, Lea and Flood, so that a seed means the same cuts in every version.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A header from text that the simulated provider made itself.
pub(crate) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(HeaderName::from_static(name), value);
    }
}
