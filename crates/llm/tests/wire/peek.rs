//! Peeking: agrees with a parser on everything that is read, and bounds what is kept.

use std::fmt::Write as _;

use gateway_llm::peek::{RequestView, peek};
use gateway_llm::route::Api;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const APIS: [Api; 7] = [
    Api::Messages,
    Api::CountTokens,
    Api::ChatCompletions,
    Api::Responses,
    Api::ResponsesObject,
    Api::Conversations,
    Api::Models,
];

/// The same from a parsed tree, for Responses.
fn expected(object: &Map<String, Value>) -> RequestView {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut object_ids = Vec::new();
    for (key, value) in object {
        match (key.as_str(), value) {
            ("previous_response_id" | "conversation", Value::Null) => {}
            ("conversation", Value::Object(conversation)) => {
                object_ids.push(conversation.get("id").map(text).unwrap_or_default());
            }
            ("previous_response_id" | "conversation", value) => object_ids.push(text(value)),
            _ => {}
        }
    }
    let background = object.get("background").unwrap_or(&Value::Null);
    RequestView {
        is_json: true,
        model: object.get("model").and_then(Value::as_str).map(str::to_owned),
        stream: object.get("stream") == Some(&Value::Bool(true)),
        background: !matches!(background, Value::Null | Value::Bool(false)),
        object_ids,
        ..RequestView::default()
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[\\PC\"\\\\\n]{0,8}".prop_map(Value::from),
        "\\PC{0,4}".prop_map(|id| json!({"id": id, "other": {"id": 1}})),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("id|model|conversation|\\PC{0,4}", inner, 0..4)
                .prop_map(|map| json!(map)),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("model".to_owned()),
        Just("stream".to_owned()),
        Just("background".to_owned()),
        Just("conversation".to_owned()),
        Just("previous_response_id".to_owned()),
        "\\PC{0,6}",
    ]
}

/// Writes every character of the strings and keys in `text` as an escape where `is_escaped` says so.
pub(crate) fn escaped(text: &str, is_escaped: &[bool]) -> String {
    let mut choices = is_escaped.iter().cycle();
    let mut written = String::new();
    let (mut in_string, mut after_backslash) = (false, false);
    for letter in text.chars() {
        let is_plain = in_string && !after_backslash && letter != '"' && letter != '\\';
        // What follows `\u` stays as it is, since the serializer writes control characters so.
        if is_plain && !letter.is_ascii_hexdigit() && choices.next() == Some(&true) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(written, "\\u{unit:04x}").unwrap();
            }
            continue;
        }
        if letter == '"' && !after_backslash {
            in_string = !in_string;
        }
        after_backslash = in_string && letter == '\\' && !after_backslash;
        written.push(letter);
    }
    written
}

proptest! {
    #[test]
    fn agrees_with_a_parser_in_every_spelling(
        object in prop::collection::btree_map(key(), value(), 0..7), pretty: bool, escapes in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let object: Map<String, Value> = object.into_iter().collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let text = escaped(&text, &escapes);
        let parsed: Map<String, Value> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&parsed, &object);
        prop_assert_eq!(peek(Api::Responses, text.as_bytes()), expected(&object), "{}", text);
    }

    /// Whatever has been damaged, nothing that a whole body would have said about stored objects is lost.
    #[test]
    fn a_broken_body_still_refers(cut in any::<prop::sample::Index>(), tail in "[\\]}{,:\"a1 ]{0,6}") {
        let whole = r#"{"previous_response_id":"resp_1","background":true,"input":"x"}"#;
        let read = r#"{"previous_response_id":"#.len();
        let end = read + cut.index(whole.len() - read);
        let seen = peek(Api::Responses, format!("{}{tail}", &whole[..end]).as_bytes());
        prop_assert!(!seen.object_ids.is_empty());
        prop_assert!(seen.is_json || (seen.model.is_none() && !seen.stream));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body: Vec<u8>, which in 0..APIS.len()) {
        let seen = peek(APIS[which], &body);
        prop_assert!(seen.object_ids.len() <= 17);
    }

    #[test]
    fn names_are_cut_between_characters(model in "[a-zé\u{20ac}\u{1f600}]{0,400}", escapes in prop::collection::vec(any::<bool>(), 1..9)) {
        let body = escaped(&json!({"model": model}).to_string(), &escapes);
        let seen = peek(Api::Messages, body.as_bytes()).model.unwrap();
        prop_assert_eq!(&seen, &model[..model.floor_char_boundary(256)]);
    }
}

#[test]
fn a_body_that_is_no_object_has_nothing() {
    for body in [
        &b""[..],
        b"null",
        b"[1]",
        b"{\"model\":\"a\",\"stream\":true",
        b"\xff\xfe\0",
    ] {
        assert_eq!(peek(Api::Responses, body), RequestView::default(), "{body:?}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let seen = peek(
        Api::Responses,
        "\u{feff} {\"model\":\"a\",\"input\":\"b\"}".as_bytes(),
    );
    assert_eq!((seen.is_json, seen.model.as_deref()), (true, Some("a")));
    assert_eq!(seen.prompt.unwrap().text, "b");
}

#[test]
fn the_case_of_letters_is_no_way_around() {
    for key in [
        "Conversation",
        "CONVERSATION",
        "conver\u{17f}ation",
        "Previous_Response_ID",
    ] {
        let body = json!({key: "x"}).to_string();
        assert_eq!(peek(Api::Responses, body.as_bytes()).object_ids, ["x"], "{key}");
    }
    for key in ["Background", "bac\u{212a}ground"] {
        let body = json!({key: true}).to_string();
        assert!(peek(Api::Responses, body.as_bytes()).background, "{key}");
    }
    let body = br#"{"Model":"a","Stream":true}"#;
    let seen = peek(Api::Responses, body);
    assert!(seen.is_json && seen.model.is_none() && !seen.stream);
}

#[test]
fn what_is_kept_is_bounded_and_nothing_is_forgotten() {
    let members: Vec<String> = (0..1000).map(|n| format!("\"conversation\":\"c{n}\"")).collect();
    let body = format!("{{{}}}", members.join(","));
    let ids = peek(Api::Responses, body.as_bytes()).object_ids;
    assert_eq!((ids.len(), ids[15].as_str(), ids[16].as_str()), (17, "c15", ""));

    let long = "\\u0061".repeat(1 << 18);
    let body = format!("{{\"previous_response_id\":\"{long}\",\"{long}\":1}}");
    let seen = peek(Api::Responses, body.as_bytes());
    assert!(seen.is_json);
    assert_eq!(seen.object_ids, ["a".repeat(256)]);
}

#[test]
fn what_could_not_be_decoded_may_refer_to_anything() {
    for api in APIS {
        let can_refer = matches!(api, Api::Responses | Api::ResponsesObject);
        assert_eq!(
            !RequestView::unreadable(api).object_ids.is_empty(),
            can_refer,
            "{api:?}"
        );
    }
}
