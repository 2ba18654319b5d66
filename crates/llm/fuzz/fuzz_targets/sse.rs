#![no_main]

use gateway_llm::sse::{BoundaryTracker, SseField, SseLines, SsePart};
use gateway_llm_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// The fields of each event with data, and whether the tracker says that another event may be added at the end.
fn events(chunks: &[&[u8]]) -> (Vec<Vec<(SseField, Vec<u8>)>>, bool) {
    let (mut lines, mut tracker) = (SseLines::new(), BoundaryTracker::new());
    let (mut events, mut fields, mut value) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        tracker.feed(chunk);
        let mut rest = *chunk;
        while !rest.is_empty() {
            let (taken, part) = lines.next(rest);
            assert!(taken > 0 && taken <= rest.len());
            rest = &rest[taken..];
            match part {
                SsePart::Event(piece) | SsePart::Data(piece) => value.extend_from_slice(piece),
                SsePart::LineEnd(field) => fields.push((field, std::mem::take(&mut value))),
                SsePart::Blank => events.push(std::mem::take(&mut fields)),
                SsePart::Nothing | SsePart::Bom | SsePart::Other => {}
            }
        }
    }
    (events, tracker.at_event_boundary())
}

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::parse(data) {
        assert_eq!(events(&input.chunks()), events(&[input.text]));
    }
});
