//! The few fields of a request that the gateway must know before it relays it.
//!
//! Nothing is parsed into a tree: a scanner walks over the top-level members of the body and skips their values without
//! recursion, so neither depth nor size costs more than the walk. It is meant to be no stricter than any provider: what
//! a lenient parser on the other side could read as a field, counts as that field. Unknown fields are of no interest.

use serde::Deserialize;

use crate::route::Api;

/// The longest model name or id that is kept, in bytes.
const TEXT_MAX: usize = 256;

/// As much of a quoted string as [`TEXT_MAX`] bytes can be written with: six bytes for each in the longest spelling.
const QUOTED_MAX: usize = 6 * (TEXT_MAX + 1);

/// No key of interest is longer, each letter written as an escape.
const KEY_MAX: usize = 6 * "previous_response_id".len() + 2;

/// More objects than any request refers to.
const MAX_OBJECTS: usize = 16;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestView {
    /// The body is one JSON object.
    pub is_json: bool,
    /// Cut to 256 bytes.
    pub model: Option<String>,
    /// `stream` is the boolean true.
    pub stream: bool,
    /// The answer is to be made in the background and fetched later.
    pub background: bool,
    /// Objects stored at the provider that the request builds on, each cut to 256 bytes; an empty one stands for an
    /// object that could not be told. Never more than 17: from there on, one empty id stands for all others.
    pub object_ids: Vec<String>,
}

/// The members that refer to stored objects or run detached, for bodies that cannot be read.
const SENSITIVE: [&[u8]; 3] = [b"previous_response_id", b"conversation", b"background"];

/// Looks into a request body, decoded if it was encoded.
///
/// If a field stands there twice, the last `model` and `stream` are taken, as common parsers do, but any `background`
/// and any object id counts, whatever the case of its letters. A body that is not JSON has no model and no `stream`;
/// if it names one of the other fields, it is taken to use it. For a body that could not be decoded, see
/// [`RequestView::unreadable`].
pub fn peek(api: Api, body: &[u8]) -> RequestView {
    let mut view = RequestView::default();
    let mut has_background = false;
    let walked = Members::new(body).is_some_and(|mut members| {
        while let Some((key, value)) = members.next() {
            view.take(api, key, value, &mut has_background);
        }
        members.ends_whole()
    });
    view.background = has_background;
    view.is_json = walked;
    if !walked {
        view.model = None;
        view.stream = false;
        if refers_to_objects(api) {
            view.suspect(body);
        }
    }
    view
}

// === impl RequestView ===

impl RequestView {
    /// What must be assumed of a body whose content encoding could not be taken off: the provider may be able to read
    /// what this gateway could not, so where stored objects can be referred to, it may refer to any.
    pub fn unreadable(api: Api) -> Self {
        let mut view = Self::default();
        if refers_to_objects(api) {
            view.refer(String::new());
        }
        view
    }

    fn take(&mut self, api: Api, key: &[u8], value: &[u8], has_background: &mut bool) {
        if key.len() > KEY_MAX {
            return;
        }
        let Some(key) = unquote(key) else { return };
        match key.as_str() {
            "model" => self.model = unquote(value),
            "stream" => self.stream = value == b"true",
            _ => {}
        }
        match fold(&key).as_str() {
            "background" if api == Api::Responses => *has_background |= !matches!(value, b"false" | b"null"),
            "previous_response_id" if value != b"null" => self.refer(unquote(value).unwrap_or_default()),
            "conversation" if value != b"null" && refers_to_objects(api) => {
                self.refer(conversation_id(value));
            }
            _ => {}
        }
    }

    fn refer(&mut self, id: String) {
        match self.object_ids.len() {
            0..MAX_OBJECTS => self.object_ids.push(id),
            MAX_OBJECTS => self.object_ids.push(String::new()),
            _ => {}
        }
    }

    /// Looks for sensitive names in bytes that are no JSON in UTF-8. Zero bytes are skipped, since a reader that
    /// guesses would take a body in UTF-16 or UTF-32.
    fn suspect(&mut self, body: &[u8]) {
        let dense: Vec<u8> = body.iter().copied().filter(|byte| *byte != 0).collect();
        if SENSITIVE
            .iter()
            .any(|name| memchr::memmem::find(&dense, name).is_some())
        {
            self.refer(String::new());
        }
    }
}

/// Requests of this API may build on objects stored at the provider.
const fn refers_to_objects(api: Api) -> bool {
    matches!(api, Api::Responses | Api::ResponsesObject)
}

/// Some parsers match keys without regard to case, in ASCII and with the two other letters that Unicode folds into it.
fn fold(key: &str) -> String {
    key.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            _ => letter.to_ascii_lowercase(),
        })
        .collect()
}

/// A conversation is named by its id, or by an object that holds it.
fn conversation_id(value: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Conversation {
        id: String,
    }
    if !value.starts_with(b"{") {
        // A derived struct would read an array as its fields in order.
        return unquote(value).unwrap_or_default();
    }
    serde_json::from_slice::<Conversation>(value)
        .map(|conversation| shorten(conversation.id))
        .unwrap_or_default()
}

fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    text
}

/// The text of a JSON string, cut to [`TEXT_MAX`]. What is not valid UTF-8, or half of a surrogate pair, becomes
/// U+FFFD.
fn unquote(raw: &[u8]) -> Option<String> {
    let inner = beginning(raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?);
    if !inner.contains(&b'\\') {
        return Some(shorten(String::from_utf8_lossy(inner).into_owned()));
    }
    let quoted = [b"\"", inner, b"\""].concat();
    let bytes = serde_json::from_slice::<WtfString>(&quoted).ok()?;
    Some(shorten(String::from_utf8_lossy(&bytes.0).into_owned()))
}

/// No more of a string than is kept of it, without splitting an escape.
fn beginning(inner: &[u8]) -> &[u8] {
    let mut at = 0;
    while at < inner.len().min(QUOTED_MAX) {
        at += match inner[at..] {
            [b'\\', b'u', ..] => 6,
            [b'\\', ..] => 2,
            _ => 1,
        };
    }
    &inner[..at.min(inner.len())]
}

/// `serde_json` gives strings that may hold lone surrogates or invalid UTF-8 as bytes.
struct WtfString(Vec<u8>);

impl<'de> Deserialize<'de> for WtfString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = WtfString;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<WtfString, E> {
                Ok(WtfString(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Walks over the members of one JSON object.
struct Members<'a> {
    body: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A member or the end may follow.
    First,
    /// A member must follow.
    Member,
    Done,
    Broken,
}

// === impl Members ===

impl<'a> Members<'a> {
    /// None if the body does not begin as an object. A byte order mark is passed over, as lenient parsers do.
    fn new(body: &'a [u8]) -> Option<Self> {
        let mut members = Self {
            body: body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body),
            at: 0,
            state: State::First,
        };
        members.blanks();
        members.byte(b'{').then_some(members)
    }

    /// The next member as raw key and raw value; none at the end, or where it is no longer JSON.
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        if matches!(self.state, State::Done | State::Broken) {
            return None;
        }
        self.blanks();
        if self.state == State::First && self.byte(b'}') {
            self.state = State::Done;
            return None;
        }
        let member = self.member();
        if member.is_none() {
            self.state = State::Broken;
        }
        member
    }

    fn member(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let key = self.string()?;
        self.blanks();
        if !self.byte(b':') {
            return None;
        }
        self.blanks();
        let value = self.value()?;
        self.blanks();
        self.state = if self.byte(b',') {
            State::Member
        } else if self.byte(b'}') {
            State::Done
        } else {
            State::Broken
        };
        Some((key, value))
    }

    /// The object has ended, and nothing follows it.
    fn ends_whole(&mut self) -> bool {
        self.blanks();
        self.state == State::Done && self.at == self.body.len()
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn byte(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn blanks(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        if !self.byte(b'"') {
            return None;
        }
        loop {
            self.at += memchr::memchr2(b'"', b'\\', &self.body[self.at..])?;
            if self.byte(b'"') {
                return Some(&self.body[start..self.at]);
            }
            self.at += 2;
            if self.at > self.body.len() {
                return None;
            }
        }
    }

    /// Passes over one value. Brackets are counted, not matched: what is inside is the provider's business.
    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth == 0 => self.scalar()?,
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(&self.body[start..self.at]);
            }
        }
    }

    /// A number, `true`, `false` or `null`, up to what ends it.
    fn scalar(&mut self) -> Option<()> {
        let rest = &self.body[self.at..];
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b':'))?;
        self.at += end;
        (end > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn view(body: &str) -> RequestView {
        peek(Api::Responses, body.as_bytes())
    }

    #[test]
    fn what_is_read() {
        let seen = view(
            r#" {"model":"gpt-\u0078","x":{"model":"no","a":[1,"}"]}, "stream" : true, "input":"\"}"} "#,
        );
        assert_eq!(
            (seen.is_json, seen.model.as_deref(), seen.stream),
            (true, Some("gpt-x"), true)
        );
        assert!(!seen.background && seen.object_ids.is_empty());
        assert!(!view(r#"{"stream":"true"}"#).stream);
        assert!(!view(r#"{"stream":1}"#).stream);
        let surrogate = view("{\"model\":\"a\\ud800b\"}").model.unwrap();
        assert!(
            surrogate.starts_with("a\u{fffd}") && surrogate.ends_with('b'),
            "{surrogate:?}"
        );
        let long = view(&format!("{{\"model\":\"{}\"}}", "é".repeat(300)))
            .model
            .unwrap();
        assert_eq!((long.len(), long.chars().count()), (256, 128));
    }

    #[test]
    fn references_to_stored_objects_count_however_they_are_written() {
        let ids = |body: &str| view(body).object_ids;
        assert_eq!(ids(r#"{"previous_response_id":"resp_1"}"#), ["resp_1"]);
        assert_eq!(ids(r#"{"previous\u005fresponse_id":"resp_1"}"#), ["resp_1"]);
        assert_eq!(ids(r#"{"conversation":"conv_1"}"#), ["conv_1"]);
        assert_eq!(ids(r#"{"conversation":{"x":1,"id":"conv_1"}}"#), ["conv_1"]);
        assert_eq!(
            ids(r#"{"previous_response_id":"a","previous_response_id":null,"conversation":[]}"#),
            ["a", ""]
        );
        assert!(
            ids(r#"{"previous_response_id":null,"conversation":null,"input":{"conversation":"x"}}"#)
                .is_empty()
        );
        assert!(view(r#"{"background":true,"background":false}"#).background);
        assert!(view(r#"{"background":1}"#).background);
        assert!(!view(r#"{"background":false}"#).background);
        // Depth is no way around it.
        let deep = format!(
            r#"{{"input":{}{},"previous_response_id":"resp_1"}}"#,
            "[".repeat(500_000),
            "]".repeat(500_000)
        );
        assert_eq!(ids(&deep), ["resp_1"]);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_suspected() {
        let utf16: Vec<u8> =
            r#"{"previous_response_id":"resp_1"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for body in [
            &utf16[..],
            b"{\"previous_response_id\":\"a\"",
            b"x{\"conversation\":\"a\"}",
        ] {
            let seen = peek(Api::Responses, body);
            assert!(!seen.is_json && !seen.object_ids.is_empty(), "{body:?}");
        }
        assert!(peek(Api::Responses, b"not json").object_ids.is_empty());
        assert!(
            peek(Api::ChatCompletions, b"a conversation")
                .object_ids
                .is_empty()
        );
    }

    #[test]
    fn what_is_not_json() {
        for body in [
            "",
            "[]",
            "\"a\"",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1} x",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":]}",
            "{\"a\" 1}",
            "{\"a\":\"\\",
        ] {
            assert!(!view(body).is_json, "{body}");
        }
        assert!(!peek(Api::Messages, &vec![b'['; 1 << 20]).is_json);
        let open = [b"{\"a\":".as_slice(), &vec![b'['; 1 << 20]].concat();
        assert!(!peek(Api::Messages, &open).is_json);
        assert!(
            peek(Api::Messages, b"{\"a\":\"\xff\xfe\"}").is_json,
            "bad UTF-8 in a string is the provider's business"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body: Vec<u8>, text in "[{}\\[\\]\",:a\\\\ 1]{0,40}") {
            let _ = peek(Api::Responses, &body);
            if serde_json::from_str::<serde_json::Map<String, Value>>(&text).is_ok() {
                prop_assert!(peek(Api::Responses, text.as_bytes()).is_json, "{}", text);
            }
        }
    }
}
