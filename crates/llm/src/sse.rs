//! Server-sent events, read from bytes in any chunking (WHATWG HTML, section 9.2.6).
//!
//! Whoever reads a stream here looks on while it passes; nothing is changed and nothing held, however large an event is:
//! [`SseLines`] says of each stretch of bytes what it is. Who only has to know whether an event may be added to a
//! stream needs less: [`BoundaryTracker`].

/// Splits a stream into its lines, fields and values.
#[derive(Clone, Debug)]
pub struct SseLines {
    state: Line,
    /// The last byte was a carriage return, so a line feed belongs to it.
    after_cr: bool,
}

/// What a stretch of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SsePart<'a> {
    /// Part of a comment, or the line feed of a line end that has been told.
    Nothing,
    /// The last byte of a byte order mark. The bytes before it were told as [`SsePart::Other`].
    Bom,
    /// Part of a line that is no comment: of a name, or of a value that means nothing here.
    Other,
    /// Part of an event's name, perhaps with the field's name before it.
    Event(&'a [u8]),
    /// Part of a line of an event's data, perhaps with the field's name before it. An empty line has none.
    Data(&'a [u8]),
    /// The end of a line that was not empty. All of the line ends that are two bytes are told with the first.
    LineEnd(SseField),
    /// The end of an empty line, and with it of the event.
    Blank,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseField {
    Comment,
    Event,
    Data,
    /// `id` and `retry` are for reconnecting, which nobody does here; others mean nothing.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At the very beginning, after so many bytes of a byte order mark.
    Bom(usize),
    Start,
    Field(Name),
    /// Behind the colon, where one space is not part of the value.
    Space(SseField),
    Value(SseField),
}

/// The beginning of a field's name, as far as it tells the fields apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    bytes: [u8; 5],
    len: usize,
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

// === impl SseLines ===

impl SseLines {
    pub const fn new() -> Self {
        Self {
            state: Line::Bom(0),
            after_cr: false,
        }
    }

    /// Looks at the first bytes of what follows, of which there must be some, and says how many it took and what they
    /// are.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> (usize, SsePart<'a>) {
        if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
            return (1, SsePart::Nothing);
        }
        match self.state {
            Line::Bom(seen) => self.bom(bytes, seen),
            Line::Start => self.line_start(bytes),
            Line::Field(field) => self.field(bytes, field),
            Line::Space(field) => {
                self.state = Line::Value(field);
                if bytes[0] == b' ' {
                    (1, SsePart::Other)
                } else {
                    self.value(bytes, field, 0)
                }
            }
            Line::Value(field) => self.value(bytes, field, 0),
        }
    }

    /// The last byte was the carriage return of a line end; if a line feed is next, it belongs to it.
    pub const fn may_add_line_feed(&self) -> bool {
        self.after_cr
    }

    /// A mark at the very beginning is not part of the first line. It may come in pieces.
    fn bom<'a>(&mut self, bytes: &'a [u8], seen: usize) -> (usize, SsePart<'a>) {
        if bytes[0] != BOM[seen] {
            // What began like a mark is the beginning of a name, and of none that means anything.
            self.state = if seen == 0 {
                Line::Start
            } else {
                Line::Field(Name::OTHER)
            };
            return self.next(bytes);
        }
        if seen + 1 < BOM.len() {
            self.state = Line::Bom(seen + 1);
            return (1, SsePart::Other);
        }
        self.state = Line::Start;
        (1, SsePart::Bom)
    }

    fn line_start<'a>(&mut self, bytes: &'a [u8]) -> (usize, SsePart<'a>) {
        match bytes {
            [b'\n' | b'\r', ..] => self.end(bytes[0], SsePart::Blank),
            [b':', ..] => {
                self.state = Line::Value(SseField::Comment);
                self.value(bytes, SseField::Comment, 0)
            }
            // What nearly every line is, at once.
            [b'd', b'a', b't', b'a', b':', b' ', ..] => self.value(bytes, SseField::Data, 6),
            [b'e', b'v', b'e', b'n', b't', b':', b' ', ..] => self.value(bytes, SseField::Event, 7),
            _ => self.field(bytes, Name::EMPTY),
        }
    }

    /// Part of a field's name.
    fn field<'a>(&mut self, bytes: &'a [u8], mut name: Name) -> (usize, SsePart<'a>) {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b':' => {
                    self.state = Line::Space(name.field());
                    return (at + 1, SsePart::Other);
                }
                // The end of a line is a part of its own.
                b'\n' | b'\r' if at > 0 => {
                    self.state = Line::Field(name);
                    return (at, SsePart::Other);
                }
                b'\n' | b'\r' => return self.end(*byte, SsePart::LineEnd(name.field())),
                _ => name = name.and(*byte),
            }
        }
        self.state = Line::Field(name);
        (bytes.len(), SsePart::Other)
    }

    /// Part of a field's value, after `skipped` bytes of the line.
    fn value<'a>(&mut self, bytes: &'a [u8], field: SseField, skipped: usize) -> (usize, SsePart<'a>) {
        let rest = &bytes[skipped..];
        let end = memchr::memchr2(b'\n', b'\r', rest);
        if end == Some(0) && skipped == 0 {
            return self.end(rest[0], SsePart::LineEnd(field));
        }
        self.state = Line::Value(field);
        let value = &rest[..end.unwrap_or(rest.len())];
        let part = match field {
            SseField::Data => SsePart::Data(value),
            SseField::Event => SsePart::Event(value),
            SseField::Other => SsePart::Other,
            SseField::Comment => SsePart::Nothing,
        };
        (skipped + value.len(), part)
    }

    fn end<'a>(&mut self, byte: u8, part: SsePart<'a>) -> (usize, SsePart<'a>) {
        self.state = Line::Start;
        self.after_cr = byte == b'\r';
        (1, part)
    }
}

impl Default for SseLines {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Name ===

impl Name {
    const EMPTY: Self = Self {
        bytes: [0; 5],
        len: 0,
    };
    /// Longer than any name of interest.
    const OTHER: Self = Self {
        bytes: [0; 5],
        len: 6,
    };

    const fn and(mut self, byte: u8) -> Self {
        if self.len >= 5 {
            return Self::OTHER;
        }
        self.bytes[self.len] = byte;
        self.len += 1;
        self
    }

    fn field(self) -> SseField {
        match self.bytes.get(..self.len) {
            Some(b"data") => SseField::Data,
            Some(b"event") => SseField::Event,
            _ => SseField::Other,
        }
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

    type Event = (Vec<u8>, Vec<u8>);

    /// The events as a client sees them.
    fn decode(chunks: &[&[u8]]) -> Vec<Event> {
        let mut lines = SseLines::new();
        let mut events = Vec::new();
        let (mut name, mut data) = (Vec::new(), Vec::<Vec<u8>>::new());
        let mut line = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (taken, part) = lines.next(rest);
                assert!(taken > 0);
                rest = &rest[taken..];
                match part {
                    SsePart::Event(piece) | SsePart::Data(piece) => line.extend_from_slice(piece),
                    SsePart::LineEnd(SseField::Event) => name = std::mem::take(&mut line),
                    SsePart::LineEnd(SseField::Data) => data.push(std::mem::take(&mut line)),
                    SsePart::Blank => {
                        let named = std::mem::take(&mut name);
                        if !data.is_empty() {
                            let shown = if named.is_empty() {
                                b"message".to_vec()
                            } else {
                                named
                            };
                            events.push((shown, data.join(&b'\n')));
                        }
                        data.clear();
                    }
                    SsePart::Nothing | SsePart::Bom | SsePart::Other | SsePart::LineEnd(_) => {}
                }
            }
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
                    events.push((shown.as_bytes().to_vec(), data.join("\n").into_bytes()));
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
        let event = |name: &str, data: &str| (name.as_bytes().to_vec(), data.as_bytes().to_vec());
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
            assert_eq!(decode(&[text.as_bytes()]), expected, "{text:?}");
        }
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
            let whole = decode(&[&text]);
            prop_assert_eq!(&decode(&chunked(&text, &cuts)), &whole);
            prop_assert_eq!(whole, naive(&text));
        }

        #[test]
        fn arbitrary_bytes_never_panic(chunks: Vec<Vec<u8>>) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            decode(&chunks);
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
                let mut expected = decode(&[&text]);
                expected.push((b"error".to_vec(), b"x".to_vec()));
                prop_assert_eq!(decode(&[&added]), expected);
            }
        }
    }
}
