//! Server-sent events, decoded from bytes in any chunking (WHATWG HTML, section 9.2.6).
//!
//! The decoder looks on while a stream passes; it changes nothing and never holds more than it was allowed to, however
//! large an event is. Who only has to know whether an event may be added to a stream needs no decoder:
//! [`BoundaryTracker`] answers that without copying.

/// One dispatched event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The event's name; `message` if it has none.
    pub name: &'a [u8],
    /// The data lines, joined by line feeds.
    pub data: &'a [u8],
    /// The event was larger than the bound, and `data` holds its beginning only.
    pub is_cut: bool,
}

/// The decoder.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about line, event and stream"
)]
#[derive(Debug)]
pub struct SseDecoder {
    max_event_bytes: usize,
    line: Vec<u8>,
    line_is_cut: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    is_cut: bool,
    /// A line has ended since the last empty one.
    in_event: bool,
    /// The last byte was a carriage return, so a line feed belongs to it.
    after_cr: bool,
    /// How much of a byte order mark at the very beginning has been seen; none once something else came.
    bom: Option<usize>,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Knows whether the bytes so far end between two events, so that another event may be added. Costs no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundaryTracker {
    state: Boundary,
    after_cr: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boundary {
    /// Nothing yet, or an empty line has just ended.
    Between,
    /// At the start of a line within an event.
    LineStart,
    MidLine,
}

// === impl SseDecoder ===

impl SseDecoder {
    /// `max_event_bytes` bounds one line and the data of one event.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            line_is_cut: false,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            is_cut: false,
            in_event: false,
            after_cr: false,
            bom: Some(0),
        }
    }

    /// Takes the next bytes and hands on each event that they complete.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(SseEvent<'_>)) {
        let mut rest = self.skip_bom(bytes);
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.take_line_part(rest);
                return;
            };
            self.take_line_part(&rest[..end]);
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(&mut on_event);
        }
    }

    /// The bytes so far end between two events, so that another event may be added.
    pub fn at_event_boundary(&self) -> bool {
        !self.in_event && !self.mid_line()
    }

    /// The bytes so far end within a line.
    pub fn mid_line(&self) -> bool {
        !self.line.is_empty() || self.line_is_cut || self.bom.is_some_and(|seen| seen > 0)
    }

    /// A mark at the very beginning is not part of the first line. It may come in pieces.
    fn skip_bom<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let (Some(seen), Some(first)) = (self.bom, bytes.first()) {
            if *first == BOM[seen] {
                bytes = &bytes[1..];
                self.bom = (seen + 1 < BOM.len()).then_some(seen + 1);
            } else {
                self.bom = None;
                self.take_line_part(&BOM[..seen]);
            }
        }
        bytes
    }

    fn take_line_part(&mut self, part: &[u8]) {
        let room = self.max_event_bytes.saturating_sub(self.line.len());
        self.line_is_cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if self.line.is_empty() && !self.line_is_cut {
            self.dispatch(on_event);
            return;
        }
        self.in_event = true;
        let line = std::mem::take(&mut self.line);
        let colon = memchr::memchr(b':', &line);
        let (field, value) = match colon {
            Some(at) => (
                &line[..at],
                line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]),
            ),
            None => (&line[..], &line[line.len()..]),
        };
        match field {
            b"data" => self.take_data(value),
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // A comment has an empty field name; `id` and `retry` are for reconnecting, which nobody does here.
            _ => {}
        }
        self.is_cut |= self.line_is_cut && field == b"data";
        self.line = line;
        self.line.clear();
        self.line_is_cut = false;
    }

    fn take_data(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.has_data, true) {
            self.push_data(b"\n");
        }
        self.push_data(value);
    }

    fn push_data(&mut self, bytes: &[u8]) {
        let room = self.max_event_bytes.saturating_sub(self.data.len());
        self.is_cut |= bytes.len() > room;
        self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// An empty line ends an event; one without data is not dispatched.
    fn dispatch(&mut self, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if self.has_data {
            let name = if self.name.is_empty() {
                b"message"
            } else {
                &self.name[..]
            };
            on_event(SseEvent {
                name,
                data: &self.data,
                is_cut: self.is_cut,
            });
        }
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        self.is_cut = false;
        self.in_event = false;
    }
}

// === impl BoundaryTracker ===

impl Default for BoundaryTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl BoundaryTracker {
    pub const fn new() -> Self {
        Self {
            state: Boundary::Between,
            after_cr: false,
        }
    }

    /// Only line ends change the state, so most of the bytes are not looked at: of a long run without one, the last
    /// line decides.
    pub fn feed(&mut self, bytes: &[u8]) {
        // The state after the last three bytes depends on those before only through whether a line was open, so the
        // bytes before the second-last line end can be skipped.
        let from = skip_to_last_lines(bytes);
        if from > 0 {
            self.state = Boundary::MidLine;
            self.after_cr = false;
        }
        for byte in &bytes[from..] {
            self.step(*byte);
        }
    }

    /// Another event may be added here without running into a started one.
    pub const fn at_event_boundary(&self) -> bool {
        matches!(self.state, Boundary::Between)
    }

    /// The bytes so far end within a line.
    pub const fn mid_line(&self) -> bool {
        matches!(self.state, Boundary::MidLine)
    }

    fn step(&mut self, byte: u8) {
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            return;
        }
        if byte != b'\n' && byte != b'\r' {
            self.state = Boundary::MidLine;
            return;
        }
        self.after_cr = byte == b'\r';
        self.state = match self.state {
            Boundary::MidLine => Boundary::LineStart,
            Boundary::LineStart | Boundary::Between => Boundary::Between,
        };
    }
}

/// Where the last stretch of line ends, and what follows it, begins; less one byte of a line before it, which is
/// what [`BoundaryTracker::feed`] stands on when it skips.
fn skip_to_last_lines(bytes: &[u8]) -> usize {
    let Some(last_end) = memchr::memrchr2(b'\n', b'\r', bytes) else {
        return bytes.len().saturating_sub(1);
    };
    let run = bytes[..=last_end]
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    last_end + 1 - run
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Event = (Vec<u8>, Vec<u8>, bool);

    fn decode(chunks: &[&[u8]], limit: usize) -> Vec<Event> {
        let mut decoder = SseDecoder::new(limit);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk, |event| {
                events.push((event.name.to_vec(), event.data.to_vec(), event.is_cut));
            });
        }
        events
    }

    /// The same by splitting the whole text into lines.
    fn naive(text: &[u8]) -> Vec<Event> {
        let text = text.strip_prefix(BOM).unwrap_or(text);
        let unix = String::from_utf8_lossy(text)
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        let (mut name, mut data) = (String::new(), Vec::<String>::new());
        let mut events = Vec::new();
        let mut lines: Vec<&str> = unix.split('\n').collect();
        lines.pop();
        for line in lines {
            if line.is_empty() {
                if !data.is_empty() {
                    let shown = if name.is_empty() { "message" } else { &name };
                    events.push((shown.as_bytes().to_vec(), data.join("\n").into_bytes(), false));
                }
                name.clear();
                data.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "data" => data.push(value),
                "event" => name = value,
                _ => {}
            }
        }
        events
    }

    #[test]
    fn what_providers_send() {
        let event = |name: &str, data: &str| (name.as_bytes().to_vec(), data.as_bytes().to_vec(), false);
        for (text, expected) in [
            ("event: ping\ndata: {}\n\n", vec![event("ping", "{}")]),
            ("data:{}\n\n", vec![event("message", "{}")]),
            ("data: a\ndata: b\n\n", vec![event("message", "a\nb")]),
            (
                ": comment\n\ndata: a\r\n\r\ndata: b\r\rdata: c\n\n",
                vec![
                    event("message", "a"),
                    event("message", "b"),
                    event("message", "c"),
                ],
            ),
            ("\u{feff}data: a\n\n", vec![event("message", "a")]),
            ("event: x\n\ndata: a\n\n", vec![event("message", "a")]),
            ("data\n\n", vec![event("message", "")]),
            ("data: never ended\n", vec![]),
            (
                "id: 1\nretry: 5\nother: x\ndata: [DONE]\n\n",
                vec![event("message", "[DONE]")],
            ),
        ] {
            assert_eq!(decode(&[text.as_bytes()], 1000), expected, "{text:?}");
        }
    }

    #[test]
    fn memory_is_bounded_whatever_arrives() {
        let mut decoder = SseDecoder::new(100);
        let mut events = Vec::new();
        for chunk in [
            &b"data: "[..],
            &[b'x'; 5000],
            b"\ndata: more\n\n",
            &[b'y'; 5000],
            b"\n\ndata: z\n\n",
        ] {
            decoder.feed(chunk, |event| events.push((event.data.len(), event.is_cut)));
            assert!(decoder.line.len() <= 100 && decoder.data.len() <= 100);
        }
        assert_eq!(events, [(99, true), (1, false)]);
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("data: ".to_owned()),
            Just("data:".to_owned()),
            Just("event: ".to_owned()),
            Just("\n".to_owned()),
            Just("\r".to_owned()),
            Just("\r\n".to_owned()),
            Just("\n\n".to_owned()),
            Just(": ".to_owned()),
            Just("\u{feff}".to_owned()),
            "[a-zé: ]{0,5}",
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn chunked<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in at {
            chunks.push(&text[from..cut]);
            from = cut;
        }
        chunks.push(&text[from..]);
        chunks
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(text in text(), cuts: Vec<prop::sample::Index>) {
            let whole = decode(&[&text], 10_000);
            prop_assert_eq!(&decode(&chunked(&text, &cuts), 10_000), &whole);
            prop_assert_eq!(whole, naive(&text));
        }

        #[test]
        fn any_chunking_is_cut_alike(text in text(), cuts: Vec<prop::sample::Index>, limit in 0usize..20) {
            prop_assert_eq!(decode(&chunked(&text, &cuts), limit), decode(&[&text], limit));
        }

        #[test]
        fn arbitrary_bytes_never_panic(chunks: Vec<Vec<u8>>, limit in 0usize..50) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            decode(&chunks, limit);
        }

        /// The tracker says "between" exactly when an event added here is read as it was meant.
        #[test]
        fn the_boundary_is_where_an_event_can_be_added(text in text(), cuts: Vec<prop::sample::Index>) {
            let text: Vec<u8> = text.strip_prefix(BOM).unwrap_or(&text).to_vec();
            let mut tracker = BoundaryTracker::new();
            for chunk in chunked(&text, &cuts) {
                tracker.feed(chunk);
            }
            let mut slow = BoundaryTracker::new();
            for byte in &text {
                slow.step(*byte);
            }
            prop_assert_eq!(tracker, slow);
            if tracker.at_event_boundary() {
                let mut added = text.clone();
                added.extend_from_slice(b"event: error\ndata: x\n\n");
                let mut expected = decode(&[&text], 10_000);
                expected.push((b"error".to_vec(), b"x".to_vec(), false));
                prop_assert_eq!(decode(&[&added], 10_000), expected);
            }
        }
    }
}
