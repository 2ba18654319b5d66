//! Events: the decoder and the tracker agree on where an event may be added, and closing an event makes room for one.

use gateway_llm::error::{ErrorKind, close_event, error_event};
use gateway_llm::route::Api;
use gateway_llm::sse::{BoundaryTracker, SseDecoder};
use proptest::prelude::*;

type Event = (String, String);

fn decode(text: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    SseDecoder::new(10_000).feed(text, |event| {
        assert!(!event.is_cut);
        events.push((
            String::from_utf8_lossy(event.name).into_owned(),
            String::from_utf8_lossy(event.data).into_owned(),
        ));
    });
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
    /// Asked after every single chunk, under limits that cut most lines too.
    #[test]
    fn decoder_and_tracker_agree(text in stream(), sizes in prop::collection::vec(1usize..9, 1..20), limit in 0usize..12) {
        let mut decoder = SseDecoder::new(limit);
        let mut tracker = BoundaryTracker::new();
        let mut rest = &text[..];
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            rest = after;
            decoder.feed(chunk, |_| {});
            tracker.feed(chunk);
            prop_assert_eq!(decoder.at_event_boundary(), tracker.at_event_boundary());
            prop_assert_eq!(decoder.mid_line(), tracker.mid_line());
            prop_assert!(!(tracker.mid_line() && tracker.at_event_boundary()));
            if rest.is_empty() {
                break;
            }
        }
    }

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
    let mut decoder = SseDecoder::new(100);
    assert!(decoder.at_event_boundary());
    decoder.feed(b"\xef\xbb", |_| {});
    assert!(decoder.mid_line());
    decoder.feed(b"\xbf", |_| {});
    assert!(decoder.at_event_boundary());
    decoder.feed(b"data: a\n", |_| {});
    assert!(!decoder.mid_line() && !decoder.at_event_boundary());
}

#[test]
fn the_example_of_the_standard() {
    let text = b"data\n\ndata\ndata\n\ndata:";
    let event = |data: &str| ("message".to_owned(), data.to_owned());
    assert_eq!(decode(text), [event(""), event("\n")]);
}
