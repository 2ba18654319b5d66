//! Events: where a stream is broken off, closing the event makes room for another one.

use gateway_llm::error::{ErrorKind, close_event, error_event};
use gateway_llm::route::Api;
use gateway_llm::sse::{BoundaryTracker, SseField, SseLines, SsePart};
use proptest::prelude::*;

type Event = (String, String);

fn decode(text: &[u8]) -> Vec<Event> {
    let mut lines = SseLines::new();
    let mut events = Vec::new();
    let (mut line, mut name, mut data) = (String::new(), String::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (taken, part) = lines.next(rest);
        rest = &rest[taken..];
        match part {
            SsePart::Event(piece) | SsePart::Data(piece) => {
                line.push_str(std::str::from_utf8(piece).unwrap())
            }
            SsePart::LineEnd(SseField::Event) => name = std::mem::take(&mut line),
            SsePart::LineEnd(SseField::Data) => data.push(std::mem::take(&mut line)),
            SsePart::Blank => {
                let named = std::mem::take(&mut name);
                if !data.is_empty() {
                    let shown = if named.is_empty() {
                        "message".to_owned()
                    } else {
                        named
                    };
                    events.push((shown, data.join("\n")));
                }
                data.clear();
            }
            SsePart::Nothing | SsePart::Bom | SsePart::Other | SsePart::LineEnd(_) => {}
        }
    }
    events
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "data: ",
        "data:",
        "event: ",
        "event: a\n",
        ": note",
        "{\"x\":1}",
        "text",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\r\n\r\n",
        "data: {}\n\n",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    /// Wherever a stream is broken off, an error can be added that is read as it was meant, after all that was whole.
    #[test]
    fn an_error_can_be_added_anywhere(text in stream()) {
        for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
            let mut tracker = BoundaryTracker::new();
            tracker.feed(&text);
            let error = error_event(api, ErrorKind::Authentication, "the token was revoked");
            let events = decode(&[&text, close_event(api, &tracker), &error].concat());
            let (last, before) = events.split_last().unwrap();
            prop_assert_eq!(std::slice::from_ref(last), &decode(&error)[..]);
            let whole = decode(&text);
            prop_assert_eq!(&before[..whole.len()], &whole[..]);
            prop_assert!(before.len() <= whole.len() + 1);
        }
    }
}

#[test]
fn half_an_event_of_messages_is_ignored_by_its_clients() {
    let text = b"event: content_block_delta\ndata: {\"type\":\"content_bl";
    let mut tracker = BoundaryTracker::new();
    tracker.feed(text);
    let closed = [&text[..], close_event(Api::Messages, &tracker)].concat();
    assert_eq!(
        decode(&closed),
        [("ping".to_owned(), "{\"type\":\"content_bl".to_owned())]
    );
    tracker.feed(close_event(Api::Messages, &tracker));
    assert_eq!(close_event(Api::Messages, &tracker), b"");
}

#[test]
fn a_mark_at_the_beginning_is_no_line() {
    let event = |data: &str| ("message".to_owned(), data.to_owned());
    assert_eq!(decode("\u{feff}data: a\n\n".as_bytes()), [event("a")]);
    assert_eq!(decode("\u{feff}\u{feff}data: a\n\n".as_bytes()), []);
    let mut lines = SseLines::new();
    let parts = [0xef, 0xbb, 0xbf].map(|byte| lines.next(&[byte]) == (1, SsePart::Bom));
    assert_eq!(parts, [false, false, true]);
}

#[test]
fn the_example_of_the_standard() {
    let text = b"data\n\ndata\ndata\n\ndata:";
    let event = |data: &str| ("message".to_owned(), data.to_owned());
    assert_eq!(decode(text), [event(""), event("\n")]);
}
