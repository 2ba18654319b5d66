//! The end of a conversation: what the human said, which tool call is answered, which session it is.

use gateway_llm::peek::{PROMPT_MAX, RequestView, peek, peek_without_content};
use gateway_llm::route::Api;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::peek::escaped;

const APIS: [Api; 3] = [Api::Messages, Api::ChatCompletions, Api::Responses];

fn view(api: Api, body: &Value) -> RequestView {
    peek(api, body.to_string().as_bytes())
}

/// Text of the prompt and id of the tool call.
fn ends(api: Api, list: &Value) -> (Option<String>, Option<String>) {
    let name = if api == Api::Responses {
        "input"
    } else {
        "messages"
    };
    let seen = view(api, &json!({ name: list }));
    assert!(seen.is_json);
    (
        seen.prompt.map(|prompt| prompt.text),
        seen.correlating_tool_call_id,
    )
}

#[track_caller]
fn check(api: Api, list: &Value, prompt: Option<&str>, tool_call: Option<&str>) {
    let (found, id) = ends(api, list);
    assert_eq!((found.as_deref(), id.as_deref()), (prompt, tool_call), "{list}");
}

#[test]
fn messages() {
    let check = |list: Value, prompt, tool_call| check(Api::Messages, &list, prompt, tool_call);
    let user = |content: Value| json!({"role": "user", "content": content});
    let text = |text: &str| json!({"type": "text", "text": text});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": [text("no")]});

    check(json!([user(json!("one")), user(json!("two"))]), Some("two"), None);
    check(
        json!([user(json!([text("a"), text("b"), {"type": "image"}]))]),
        Some("b"),
        None,
    );
    check(
        json!([user(json!([result("t1"), result("t2")]))]),
        None,
        Some("t2"),
    );
    check(
        json!([user(json!([result("t1"), text("a")]))]),
        Some("a"),
        Some("t1"),
    );
    check(
        json!([user(json!("a")), {"role": "assistant", "content": "b"}]),
        None,
        None,
    );
    check(json!([user(json!([result("")]))]), None, None);
    check(json!([user(json!(""))]), None, None);
    check(json!([user(json!([{"type": "text", "text": 7}]))]), None, None);
    check(json!([user(json!({"type": "text", "text": "a"}))]), None, None);
    check(json!([{"role": "User", "content": "a"}]), None, None);
    check(json!([]), None, None);
    check(json!("a"), None, None);
    check(json!([1, "user", null]), None, None);
    // As Claude Code sends them.
    let system = json!({"role": "system", "content": "s"});
    check(json!([system, user(json!("a")), system, system]), Some("a"), None);
    check(json!([user(json!([result("t1")])), system]), None, Some("t1"));
    check(
        json!([user(json!("a")), {"role": "assistant", "content": "b"}, system]),
        None,
        None,
    );
    check(json!([system]), None, None);
}

#[test]
fn chat_completions() {
    let check = |list: Value, prompt, tool_call| check(Api::ChatCompletions, &list, prompt, tool_call);
    check(json!([{"role": "user", "content": "a"}]), Some("a"), None);
    check(
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image_url"}]}]),
        Some("b"),
        None,
    );
    check(
        json!([{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "c1", "content": "x"}]),
        None,
        Some("c1"),
    );
    check(
        json!([{"role": "tool", "tool_call_id": "c1"}, {"role": "user", "content": "a", "tool_call_id": "c2"}]),
        Some("a"),
        None,
    );
    check(
        json!([{"role": "assistant", "tool_call_id": "c1", "content": "a"}]),
        None,
        None,
    );
    check(
        json!([{"role": "user", "content": "a"}, {"role": "system", "content": "s"}]),
        None,
        None,
    );
}

#[test]
fn responses() {
    let check = |list: Value, prompt, tool_call| check(Api::Responses, &list, prompt, tool_call);
    let part = |text: &str| json!({"type": "input_text", "text": text});
    check(json!("a"), Some("a"), None);
    check(json!([{"role": "user", "content": "a"}]), Some("a"), None);
    check(
        json!([{"type": null, "role": "user", "content": "a"}]),
        Some("a"),
        None,
    );
    check(
        json!([{"type": "message", "role": "user", "content": [part("a"), {"type": "input_image"}, part(""), part("b")]}]),
        Some("a\n\nb"),
        None,
    );
    check(
        json!([{"type": "message", "role": "developer", "content": "a"}]),
        None,
        None,
    );
    check(
        json!([{"type": "other", "role": "user", "content": "a"}]),
        None,
        None,
    );
    check(
        json!([{"role": "user", "content": [{"type": "output_text", "text": "a"}]}]),
        None,
        None,
    );
    for kind in [
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
    ] {
        check(
            json!([part("a"), {"type": kind, "call_id": "c1", "output": "x"}]),
            None,
            Some("c1"),
        );
    }
    check(json!([{"type": "function_call", "call_id": "c1"}]), None, None);
    check(
        json!([{"type": "function_call_output", "call_id": "c1"}, {"role": "user", "content": "a"}]),
        Some("a"),
        None,
    );
    check(json!({"role": "user", "content": "a"}), None, None);
}

#[test]
fn only_the_conversation_of_the_api_is_read() {
    let messages = r#""messages":[{"role":"user","content":"m"}]"#;
    let bodies = [
        format!(r#"{{{messages},"input":"i"}}"#),
        format!(r#"{{"input":"i",{messages}}}"#),
    ];
    for (api, text) in [
        (Api::Messages, Some("m")),
        (Api::ChatCompletions, Some("m")),
        (Api::Responses, Some("i")),
        (Api::CountTokens, None),
        (Api::Conversations, None),
    ] {
        for body in &bodies {
            let prompt = peek(api, body.as_bytes()).prompt.map(|prompt| prompt.text);
            assert_eq!(prompt.as_deref(), text, "{api:?} {body}");
        }
    }
    let twice = br#"{"input":"one","input":"two"}"#;
    assert_eq!(peek(Api::Responses, twice).prompt.unwrap().text, "two");
    let broken = br#"{"model":"m","stream":true,"stream_options":{},"input":"one""#;
    assert_eq!(peek(Api::Responses, broken), RequestView::default());
}

#[test]
fn the_session_in_the_metadata() {
    let session =
        |user_id: Value| view(Api::Messages, &json!({"metadata": {"user_id": user_id}})).session_in_body;
    let as_json = json!({"device_id": "d".repeat(64), "account_uuid": "", "session_id": "6c2f"}).to_string();
    for (user_id, expected) in [
        (json!(as_json), Some("6c2f")),
        (json!("user_0123_account_4567_session_89ab"), Some("89ab")),
        (json!(" {\"session_id\": \" a \"} "), Some("a")),
        (json!("{\"session_id\":\"\",\"x\":\"_session_b\"}"), None),
        (json!("{\"session_id\":7}"), None),
        (json!("{\"session_id\":\"a\""), None),
        (json!("_session_a_session_b"), Some("b")),
        (json!("user_0123"), None),
        (json!("user_session_"), None),
        (json!(7), None),
        (json!({"session_id": "a"}), None),
    ] {
        assert_eq!(session(user_id.clone()).as_deref(), expected, "{user_id}");
    }
    assert_eq!(
        session(json!(format!("_session_{}", "a".repeat(300)))),
        Some("a".repeat(256))
    );
    assert_eq!(session(json!(format!("_session_{}", "a".repeat(5000)))), None);
    assert_eq!(session(json!(format!("{}_session_a", "a".repeat(5000)))), None);
    assert_eq!(
        view(Api::Messages, &json!({"metadata": "_session_a"})).session_in_body,
        None
    );
    let chat = view(
        Api::ChatCompletions,
        &json!({"metadata": {"user_id": "a_session_b"}}),
    );
    assert_eq!(chat.session_in_body, None);
}

#[test]
fn stream_options_are_seen_in_any_spelling() {
    for (body, expected) in [
        (r#"{"stream_options":null}"#, true),
        (r#"{"stream\u005foptions":{}}"#, true),
        (r#"{"Stream_Options":{}}"#, true),
        (r#"{"x":{"stream_options":{}}}"#, false),
        (r#"{"stream":true}"#, false),
    ] {
        assert_eq!(
            peek(Api::ChatCompletions, body.as_bytes()).has_stream_options,
            expected,
            "{body}"
        );
    }
}

#[test]
fn a_prompt_that_cannot_be_stored_is_mended_and_says_so() {
    for (inner, text) in [
        (&b"a\\u0000b"[..], "a\u{fffd}b"),
        (b"a\\ud800b", "a\u{fffd}b"),
        (b"a\xffb", "a\u{fffd}b"),
    ] {
        let body = [&b"{\"input\":\""[..], inner, b"\"}"].concat();
        let prompt = peek(Api::Responses, &body).prompt.unwrap();
        assert_eq!(
            (prompt.text.as_str(), prompt.was_mended, prompt.is_cut),
            (text, true, false)
        );
    }
    let view = peek(Api::Responses, b"{\"model\":\"a\\u0000\xff\"}");
    assert_eq!(view.model.as_deref(), Some("a\u{fffd}\u{fffd}"));
    assert!(view.model_was_mended);
    assert!(!peek(Api::Responses, br#"{"model":"a\u0041"}"#).model_was_mended);
    let shown = format!("{:?}", peek(Api::Responses, br#"{"input":"secret"}"#));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_prompt_of_32_mebibytes_is_cut_between_letters() {
    let long = "\u{20ac}".repeat((32 << 20) / 3);
    let body = format!(r#"{{"input":"{long}"}}"#);
    let prompt = peek(Api::Responses, body.as_bytes()).prompt.unwrap();
    assert!(prompt.is_cut && !prompt.was_mended);
    assert_eq!(prompt.text, long[..PROMPT_MAX / 3 * 3]);

    let escapes = format!(r#"{{"input":"{}"}}"#, r"\ud800".repeat((32 << 20) / 6));
    let prompt = peek(Api::Responses, escapes.as_bytes()).prompt.unwrap();
    assert!(prompt.is_cut && prompt.was_mended);
    assert_eq!(prompt.text.len(), PROMPT_MAX / 3 * 3);
}

/// Whoever walks back and forth does not come to the end of this.
#[test]
fn half_a_million_messages_are_walked_over() {
    let system = r#"{"role":"system","content":"\"[{"},"#.repeat(500_000);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"first"}},{system}{{"role":"system"}}]}}"#);
    let seen = peek(Api::Messages, body.as_bytes());
    assert_eq!(seen.prompt.unwrap().text, "first");

    let parts = r#"{"type":"input_text","text":"ab"},"#.repeat(500_000);
    let body = format!(r#"{{"input":[{{"role":"user","content":[{parts}1]}}]}}"#);
    let prompt = peek(Api::Responses, body.as_bytes()).prompt.unwrap();
    assert_eq!((prompt.text.len(), prompt.is_cut), (3 * 500_000 - 1, false));
}

/// Whoever descends does not come back from this.
#[test]
fn depth_is_walked_over() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let body = format!(
        r#"{{"messages":[{{"content":{deep},"role":"user","content":[{deep},{{"type":"text","text":"a"}}]}}]}}"#
    );
    let seen = peek(Api::Messages, body.as_bytes());
    assert_eq!(seen.prompt.unwrap().text, "a");
}

// === The same from a parsed tree ===

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

fn texts(content: &Value, kind: &str) -> Vec<String> {
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let blocks = blocks
        .iter()
        .filter(|block| block.get("type") == Some(&json!(kind)));
    blocks.filter_map(|block| text(block.get("text"))).collect()
}

fn expected(api: Api, conversation: &Value) -> (Option<String>, Option<String>) {
    let items = conversation.as_array().map(Vec::as_slice).unwrap_or_default();
    let has_role = |item: &Value, role: &str| item.get("role") == Some(&json!(role));
    let end = items
        .iter()
        .rfind(|item| api != Api::Messages || !has_role(item, "system"));
    let Some(last) = end else {
        return (text(Some(conversation)).filter(|_| api == Api::Responses), None);
    };
    let content = last.get("content").unwrap_or(&Value::Null);
    let from_user = has_role(last, "user");
    let last_text = text(Some(content)).or_else(|| texts(content, "text").pop());
    let (prompt, id) = match api {
        Api::Messages => {
            let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
            let result = blocks
                .iter()
                .rfind(|block| block.get("type") == Some(&json!("tool_result")));
            let id = text(result.and_then(|block| block.get("tool_use_id")));
            (last_text, id.filter(|_| from_user))
        }
        Api::ChatCompletions => (
            last_text,
            text(last.get("tool_call_id")).filter(|_| has_role(last, "tool")),
        ),
        _ => {
            let kind = last.get("type").filter(|kind| !kind.is_null());
            if kind
                .and_then(Value::as_str)
                .is_some_and(|kind| kind.ends_with("_call_output"))
            {
                return (None, text(last.get("call_id")));
            }
            let is_message = kind.is_none_or(|kind| kind == "message");
            let joined = text(Some(content)).unwrap_or_else(|| texts(content, "input_text").join("\n"));
            (Some(joined).filter(|_| is_message), None)
        }
    };
    (prompt.filter(|_| from_user), id)
}

fn object(members: impl Strategy<Value = Vec<(&'static str, Value)>>) -> impl Strategy<Value = Value> {
    members.prop_map(|members| {
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect::<Map<String, Value>>())
    })
}

fn words() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[\\PC\"\\\\\n]{1,8}".prop_map(Value::from),
        Just(Value::Null),
        any::<u8>().prop_map(Value::from),
    ]
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::sample::select(words).prop_map(Value::from)
}

fn content() -> impl Strategy<Value = Value> {
    let block = object(
        (
            one_of(&["text", "tool_result", "input_text", "image"]),
            words(),
            words(),
        )
            .prop_map(|(kind, text, id)| vec![("type", kind), ("text", text), ("tool_use_id", id)]),
    );
    let block = prop_oneof![9 => block, 1 => words()];
    prop_oneof![1 => words(), 3 => prop::collection::vec(block, 0..5).prop_map(Value::from)]
}

fn conversation() -> impl Strategy<Value = Value> {
    let role = one_of(&["user", "user", "system", "assistant", "tool"]);
    let kind = prop_oneof![
        one_of(&[
            "message",
            "function_call",
            "function_call_output",
            "x_call_output"
        ]),
        Just(Value::Null),
    ];
    let item = object((role, content(), kind, words(), any::<bool>()).prop_map(
        |(role, content, kind, id, has_type)| {
            let mut members = vec![
                ("role", role),
                ("content", content),
                ("tool_call_id", id.clone()),
                ("call_id", id),
            ];
            if has_type {
                members.push(("type", kind));
            }
            members
        },
    ));
    let item = prop_oneof![9 => item, 1 => words()];
    prop_oneof![1 => words(), 6 => prop::collection::vec(item, 0..5).prop_map(Value::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn agrees_with_a_parser(
        list in conversation(), which in 0..3_usize, pretty: bool, escapes in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let api = APIS[which];
        let body = json!({if api == Api::Responses { "input" } else { "messages" }: list, "model": "m"});
        let body = if pretty { format!("{body:#}") } else { body.to_string() };
        let body = escaped(&body, &escapes);
        let mut seen = peek(api, body.as_bytes());
        let (prompt, id) = expected(api, &list);
        prop_assert_eq!(seen.prompt.as_ref().map(|prompt| prompt.text.clone()), prompt.filter(|text| !text.is_empty()), "{}", body);
        prop_assert_eq!(&seen.correlating_tool_call_id, &id, "{}", body);

        seen.prompt = None;
        prop_assert_eq!(peek_without_content(api, body.as_bytes()), seen);
    }

    /// Whatever is cut out of a request or put in, what is found can be stored.
    #[test]
    fn damaged_bodies_never_panic(
        list in conversation(), which in 0..3_usize, at in any::<prop::sample::Index>(), length in 0..6_usize, noise: Vec<u8>,
    ) {
        let api = APIS[which];
        let body = json!({"input": list, "messages": list, "metadata": {"user_id": "{\"session_id\":\"s\"}"}});
        let mut body = body.to_string().into_bytes();
        let at = at.index(body.len());
        let end = body.len().min(at + length);
        body.splice(at..end, noise);
        let seen = peek(api, &body);
        prop_assert!(seen.prompt.is_none_or(|prompt| !prompt.text.is_empty() && !prompt.text.contains('\0')));
        for id in [seen.correlating_tool_call_id, seen.session_in_body].into_iter().flatten() {
            prop_assert!(!id.is_empty() && id.len() <= 256 && !id.contains('\0'));
        }
    }
}
