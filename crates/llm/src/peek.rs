//! The few fields of a request that the gateway must know before it relays it, or to record it.
//!
//! Nothing is parsed into a tree: a scanner walks over the top-level members of the body and skips their values without
//! recursion, so neither depth nor size costs more than the walk; of the conversation only the end is looked into. It is
//! meant to be no stricter than any provider: what a lenient parser on the other side could read as a field, counts as
//! that field. Unknown fields are of no interest.

mod content;
pub(crate) mod scan;
pub(crate) mod text;

use std::borrow::Cow;

use serde::Deserialize;

pub use self::content::{PROMPT_MAX, Prompt};
use self::scan::Members;
use self::text::{SHORT_MAX, fold, short, short_or_mended};
use crate::route::Api;

/// No key of interest is longer, each letter written as an escape.
const KEY_MAX: usize = 6 * "previous_response_id".len() + 2;

/// More objects than any request refers to.
const MAX_OBJECTS: usize = 16;

/// Lenient parsers pass over it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the body"
)]
pub struct RequestView {
    /// The body is one JSON object.
    pub is_json: bool,
    /// Cut to 256 bytes.
    pub model: Option<String>,
    /// Something in the model's name was replaced by U+FFFD.
    pub model_was_mended: bool,
    /// `stream` is the boolean true.
    pub stream: bool,
    /// There is a member `stream_options`, whatever the case of its letters and its value.
    pub has_stream_options: bool,
    /// The answer is to be made in the background and fetched later.
    pub background: bool,
    /// Objects stored at the provider that the request builds on, each cut to 256 bytes; an empty one stands for an
    /// object that could not be told. Never more than 17: from there on, one empty id stands for all others.
    pub object_ids: Vec<String>,
    /// What the human said last, if it is the last thing in the conversation: when a tool's result or the model's own
    /// words are, the client is going on by itself. Messages and Chat Completions: the content of the last message, or
    /// the last text in it; Responses: `input`, or all texts of its last item, one to a line.
    pub prompt: Option<Prompt>,
    /// The tool call that the end of the conversation answers, cut to 256 bytes.
    pub correlating_tool_call_id: Option<String>,
    /// The session that `metadata.user_id` of the Messages API holds, cut to 256 bytes.
    pub session_in_body: Option<String>,
}

/// Looks into a request body, decoded if it was encoded.
///
/// If a field stands there twice, the last one is taken, as common parsers do, but any `background` and any object id
/// counts, whatever the case of its letters. A body that is not JSON has none of the fields; if it could name one of those
/// that refer to stored objects, it is taken to use it. For a body that could not be decoded, see
/// [`RequestView::unreadable`].
pub fn peek(api: Api, body: &[u8]) -> RequestView {
    look(api, body, true)
}

/// The same, but what the human said is not read.
pub fn peek_without_content(api: Api, body: &[u8]) -> RequestView {
    look(api, body, false)
}

fn look(api: Api, body: &[u8], with_prompt: bool) -> RequestView {
    let mut walk = Walk::new(api);
    let is_json =
        Members::new(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)).is_some_and(|mut members| {
            for (key, value) in members.by_ref() {
                walk.take(key, value);
            }
            members.ends_whole()
        });
    walk.finish(is_json, body, with_prompt)
}

/// A walk over the top-level members.
struct Walk<'a> {
    api: Api,
    view: RequestView,
    /// The conversation, raw.
    list: Option<&'a [u8]>,
    /// `metadata`, raw.
    metadata: Option<&'a [u8]>,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn new(api: Api) -> Self {
        Self {
            api,
            view: RequestView::default(),
            list: None,
            metadata: None,
        }
    }

    fn take(&mut self, key: &[u8], value: &'a [u8]) {
        if key.len() > KEY_MAX {
            return;
        }
        let Some(key) = short(key) else { return };
        let (api, view) = (self.api, &mut self.view);
        match &*key {
            "model" => {
                let (model, was_mended) = short_or_mended(value).unzip();
                view.model = model.map(Cow::into_owned);
                view.model_was_mended = was_mended.unwrap_or_default();
            }
            "stream" => view.stream = value == b"true",
            "messages" if matches!(api, Api::Messages | Api::ChatCompletions) => self.list = Some(value),
            "input" if api == Api::Responses => self.list = Some(value),
            "metadata" if api == Api::Messages => self.metadata = Some(value),
            _ => {}
        }
        match &*fold(&key) {
            "stream_options" => view.has_stream_options = true,
            "background" if api == Api::Responses => {
                view.background |= !matches!(value, b"false" | b"null");
            }
            "previous_response_id" if value != b"null" => {
                view.refer(short(value).unwrap_or_default().into_owned());
            }
            "conversation" if value != b"null" && refers_to_objects(api) => {
                view.refer(conversation_id(value));
            }
            _ => {}
        }
    }

    /// What the view is in the end, once it is known whether this was JSON.
    fn finish(self, is_json: bool, body: &[u8], with_prompt: bool) -> RequestView {
        let mut view = self.view;
        if is_json {
            let content = self.list.map(|list| content::look(self.api, list, with_prompt));
            let content = content.unwrap_or_default();
            view.is_json = true;
            view.prompt = content.prompt;
            view.correlating_tool_call_id = content.correlating_tool_call_id;
            view.session_in_body = self.metadata.and_then(content::session);
            return view;
        }
        let mut view = RequestView {
            background: view.background,
            object_ids: view.object_ids,
            ..RequestView::default()
        };
        if refers_to_objects(self.api) && is_suspect(body) {
            view.refer(String::new());
        }
        view
    }
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

    fn refer(&mut self, id: String) {
        match self.object_ids.len() {
            0..MAX_OBJECTS => self.object_ids.push(id),
            MAX_OBJECTS => self.object_ids.push(String::new()),
            _ => {}
        }
    }
}

/// The members that refer to stored objects or run detached.
const SENSITIVE: [&[u8]; 3] = [b"previous_response_id", b"conversation", b"background"];

/// Whether bytes that are no JSON in UTF-8 could name a sensitive member for somebody who reads them leniently: in
/// UTF-16 or UTF-32, which is why zero bytes are skipped, in another case, behind a comment, or with an escape, which can
/// stand for any letter.
fn is_suspect(body: &[u8]) -> bool {
    let dense: Vec<u8> = body
        .iter()
        .filter(|byte| **byte != 0)
        .map(u8::to_ascii_lowercase)
        .collect();
    let names = SENSITIVE
        .into_iter()
        .chain([&b"\\u"[..], "\u{17f}".as_bytes(), "\u{212a}".as_bytes()]);
    names
        .into_iter()
        .any(|name| memchr::memmem::find(&dense, name).is_some())
}

/// Requests of this API may build on objects stored at the provider.
const fn refers_to_objects(api: Api) -> bool {
    matches!(api, Api::Responses | Api::ResponsesObject)
}

/// A conversation is named by its id, or by an object that holds it.
fn conversation_id(value: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Conversation {
        id: String,
    }
    if !value.starts_with(b"{") {
        // A derived struct would read an array as its fields in order.
        return short(value).unwrap_or_default().into_owned();
    }
    // What names its id twice can be read in two ways: it is an error here.
    let mut id =
        serde_json::from_slice::<Conversation>(value).map_or(String::new(), |conversation| conversation.id);
    id.truncate(id.floor_char_boundary(SHORT_MAX));
    id
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
        // Lenient readers take an object in UTF-16, with an escape in the name, or with a comment before it.
        let utf16: Vec<u8> =
            r#"{"previous\u005fresponse_id":"resp_1"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for body in [
            &utf16[..],
            b"{\"previous_response_id\":\"a\"",
            b"/**/{\"previous\\u005fresponse_id\":\"a\"}",
            b"{\"Previous_Response_ID\":\"a\"",
        ] {
            let seen = peek(Api::Responses, body);
            assert!(!seen.is_json && !seen.object_ids.is_empty(), "{body:?}");
        }
        for harmless in [&b""[..], b"not json", b"{\"model\":\"a\""] {
            assert!(peek(Api::Responses, harmless).object_ids.is_empty());
        }
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
            "{\"a\":1:2}",
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
