//! The splice: what a parser reads is the same object and one member more, and nothing else of the body moves.

use gateway_llm::splice::stream_options_splice;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn spliced(body: &[u8]) -> Option<Vec<u8>> {
    stream_options_splice(body).map(|splice| splice.apply(body).concat())
}

#[test]
fn the_usage_is_asked_for() {
    for (body, expected) in [
        (
            r#"{"stream":true}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            " { \"a\" : [\"}\"] , \"str\\u0065am\" : true\n}\r\n ",
            " { \"a\" : [\"}\"] , \"str\\u0065am\" : true\n,\"stream_options\":{\"include_usage\":true}}\r\n ",
        ),
        (
            r#"{"stream":false,"stream":true,"x":{"stream_options":1,"stream":false}}"#,
            r#"{"stream":false,"stream":true,"x":{"stream_options":1,"stream":false},"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        let found = spliced(body.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    }
}

#[test]
fn other_bodies_are_left_alone() {
    for body in [
        "",
        "{}",
        "[]",
        "true",
        r#"{"stream":false}"#,
        r#"{"stream":"true"}"#,
        r#"{"stream":1}"#,
        r#"{"stream":true,"stream":false}"#,
        r#"{"x":{"stream":true}}"#,
        r#"[{"stream":true}]"#,
        r#"{"stream":true,"stream_options":null}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"stream_options":{},"stream":true}"#,
        r#"{"stream":true,"str\u0065am_options":{}}"#,
        r#"{"stream":true,"Stream_Options":{}}"#,
        "{\"stream\":true,\"\u{17f}tream_options\":{}}",
        r#"{"stream":true,"STREAM":false}"#,
        r#"{"STREAM":true}"#,
        r#"{"stream":true"#,
        r#"{"stream":true}x"#,
        r#"{"stream":true}{}"#,
        r#"{"stream":true,}"#,
        r#"{"stream":true,"\x":1}"#,
        "\u{feff}{\"stream\":true}",
        "{\"stream\":true // }",
    ] {
        assert_eq!(stream_options_splice(body.as_bytes()), None, "{body}");
    }
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["stream", "stream_options", "streams", "a", "b", "\"}"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!(true)),
        1 => Just(json!(false)),
        1 => Just(json!("}")),
        1 => Just(json!(null)),
        1 => Just(json!({"stream": false, "stream_options": {}})),
        1 => Just(json!([[], {}, "\\\"}"])),
        1 => "\\PC{0,8}".prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn one_member_more_and_not_a_byte_changed(members in prop::collection::vec((key(), value()), 0..6), blank in "[ \n\t\r]{0,2}") {
        // By hand, since names may stand there twice.
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{blank}{}:{value}{blank}", json!(key)))
            .collect();
        let body = format!("{blank}{{{}{blank}}}{blank}", members.join(","));
        let mut object: Map<String, Value> = serde_json::from_str(&body).unwrap();
        let wanted = object.get("stream") == Some(&json!(true)) && !object.contains_key("stream_options");

        let splice = stream_options_splice(body.as_bytes());
        prop_assert_eq!(splice.is_some(), wanted, "{}", body);
        if let Some(splice) = splice {
            let mut new = splice.apply(body.as_bytes()).concat();
            object.insert("stream_options".to_owned(), json!({"include_usage": true}));
            prop_assert_eq!(serde_json::from_slice::<Map<String, Value>>(&new).unwrap(), object);
            new.drain(splice.offset..splice.offset + splice.insert.len());
            prop_assert_eq!(new, body.as_bytes());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(noise: Vec<u8>, text in "\\{\"stream\":true[{}\\[\\]\",:a\\\\ 1]{0,30}") {
        for body in [&noise[..], text.as_bytes()] {
            if let Some(splice) = stream_options_splice(body) {
                prop_assert_eq!(body[splice.offset], b'}');
                prop_assert!(body[splice.offset + 1..].iter().all(u8::is_ascii_whitespace));
            }
        }
    }
}
