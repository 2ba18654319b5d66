//! A JSON scanner that is fed bytes in any chunking and never holds a document.
//!
//! It walks through one document and asks its visitor, for each value on a path that the visitor knows, what to do with
//! it; the rest is only checked for its grammar. What it keeps is the path, one bit for each open container, one key
//! and one number. The grammar is that of RFC 8259 with two liberties: control characters may stand in strings, and
//! strings may hold bytes that are not UTF-8; both are the visitor's business. Below [`MAX_DEPTH`] open containers
//! brackets are counted but no longer matched.

/// Values deeper than this are never asked for.
pub(crate) const MAX_PATH: usize = 8;

/// Containers deeper than this are not told apart.
const MAX_DEPTH: u32 = 128;

/// No known key is longer.
const MAX_KEY: usize = 32;

/// No number that is a count is longer.
pub(crate) const MAX_SCALAR: usize = 32;

/// What a value is, known from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// What to do with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    /// Its members or items are asked for one by one, then its end is told. Of a scalar, only its end is told.
    Walk,
    /// The text of a string without quotes and escapes, or a scalar as it stands, then its end.
    Text,
    /// Its bytes as they stand, then its end.
    Raw,
}

/// Whether to go on behind a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Go,
    /// [`Scanner::feed`] returns behind the value.
    Pause,
}

/// Who decides what is wanted.
pub(crate) trait Visitor {
    /// One step of a path.
    type Step: Copy + 'static;

    /// The step into an array.
    const ITEM: Self::Step;

    /// The step of a member with this key, if any path has one.
    fn step(key: &[u8]) -> Option<Self::Step>;

    /// A value begins. The path of the document itself is empty.
    fn begin(&mut self, path: &[Self::Step], kind: Kind) -> Want;

    /// More of the value that was asked for last. Pieces of a string need not end between two characters.
    fn text(&mut self, piece: &[u8]);

    /// Half of a surrogate pair was replaced by U+FFFD in the text.
    fn mended(&mut self);

    /// A value that was wanted is whole.
    fn end(&mut self, path: &[Self::Step], kind: Kind) -> Flow;
}

/// Where a document can be between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// Behind `[`.
    FirstItem,
    /// Behind `{`.
    FirstKey,
    /// Behind a comma in an object.
    NextKey,
    Colon,
    Key,
    String,
    Scalar,
    /// Behind a value in a container.
    After,
    /// Within so many containers that brackets are only counted.
    Deep,
    /// Behind the document.
    Done,
    Broken,
}

/// Where a string can be between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    Unicode { digits: u8, unit: u16 },
}

/// The scanner. One serves many documents, see [`Scanner::reset`].
#[derive(Debug)]
pub(crate) struct Scanner<S> {
    state: State,
    escape: Escape,
    /// The first half of a surrogate pair, whose second half may follow.
    high: Option<u16>,
    depth: u32,
    /// One bit for each open container, set for an object.
    objects: u128,
    /// How many containers were open around the one that is not walked, if one is not.
    unwalked: Option<u32>,
    path: [S; MAX_PATH],
    path_len: usize,
    /// The step of the member whose key was read last.
    member: Option<S>,
    /// The value that was asked for last has a step of its own at the end of the path.
    has_step: bool,
    want: Want,
    kind: Kind,
    is_raw: bool,
    /// The value's last byte has just been taken.
    has_ended: bool,
    key: Short<MAX_KEY>,
    scalar: Short<MAX_SCALAR>,
}

/// A short text that remembers when it was too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
    is_over: bool,
}

// === impl Short ===

impl<const N: usize> Short<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            is_over: false,
        }
    }

    pub(crate) const fn clear(&mut self) {
        self.len = 0;
        self.is_over = false;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if !self.is_over => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.is_over = true,
        }
    }

    /// The text, if it fitted.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        (!self.is_over).then(|| &self.bytes[..self.len])
    }
}

// === impl Scanner ===

impl<S: Copy + 'static> Scanner<S> {
    /// `item` is [`Visitor::ITEM`].
    pub(crate) const fn new(item: S) -> Self {
        Self {
            state: State::Value,
            escape: Escape::None,
            high: None,
            depth: 0,
            objects: 0,
            unwalked: None,
            path: [item; MAX_PATH],
            path_len: 0,
            member: None,
            has_step: false,
            want: Want::Nothing,
            kind: Kind::Null,
            is_raw: false,
            has_ended: false,
            key: Short::new(),
            scalar: Short::new(),
        }
    }

    /// Another document follows.
    pub(crate) const fn reset(&mut self) {
        self.state = State::Value;
        self.escape = Escape::None;
        self.high = None;
        self.depth = 0;
        self.unwalked = None;
        self.path_len = 0;
        self.has_step = false;
        self.want = Want::Nothing;
        self.is_raw = false;
    }

    /// What was read is no JSON; the rest of the document is not looked at.
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken)
    }

    /// What was read is one whole document. A number at the top is never known to be whole.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes the next bytes, and returns how many it took: all, unless the visitor asked for a pause. It may be none,
    /// if the pause is behind a number that only the first of them showed to be whole.
    pub(crate) fn feed<V: Visitor<Step = S>>(&mut self, bytes: &[u8], visitor: &mut V) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let was_raw = self.is_raw;
            let used = match self.state {
                State::Broken => return bytes.len(),
                State::Key | State::String => self.string(rest, visitor),
                State::Scalar => self.scalar(rest),
                _ => {
                    self.structure(rest[0], visitor);
                    1
                }
            };
            at += used;
            if was_raw || self.is_raw {
                visitor.text(&rest[..used]);
            }
            if self.has_ended && self.tell_end(visitor) == Flow::Pause {
                break;
            }
        }
        at
    }

    /// No more bytes follow; true if what was read is one whole document.
    pub(crate) fn finish<V: Visitor<Step = S>>(&mut self, visitor: &mut V) -> bool {
        if self.state == State::Scalar && self.depth == 0 {
            self.end_scalar();
            if self.has_ended {
                self.tell_end(visitor);
            }
        }
        self.state == State::Done
    }

    fn tell_end<V: Visitor<Step = S>>(&mut self, visitor: &mut V) -> Flow {
        self.has_ended = false;
        if self.want == Want::Text && !matches!(self.kind, Kind::String | Kind::Object | Kind::Array) {
            visitor.text(self.scalar.get().unwrap_or_default());
        }
        let flow = match self.want {
            Want::Nothing => Flow::Go,
            _ => visitor.end(&self.path[..self.path_len], self.kind),
        };
        self.path_len -= usize::from(self.has_step);
        self.has_step = false;
        self.want = Want::Nothing;
        self.is_raw = false;
        flow
    }

    /// One byte outside of strings and scalars.
    fn structure<V: Visitor<Step = S>>(&mut self, byte: u8, visitor: &mut V) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return;
        }
        match (self.state, byte) {
            (State::Deep, _) => self.deep(byte),
            (State::FirstItem, b']') | (State::FirstKey, b'}') | (State::After, b']' | b'}') => {
                self.close(byte);
            }
            (State::Value | State::FirstItem, _) => self.value(byte, visitor),
            (State::FirstKey | State::NextKey, b'"') => {
                self.state = State::Key;
                self.key.clear();
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::After, b',') => {
                self.state = if self.in_object() {
                    State::NextKey
                } else {
                    State::Value
                };
            }
            _ => self.state = State::Broken,
        }
    }

    fn deep(&mut self, byte: u8) {
        match byte {
            b'"' => self.state = State::String,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == MAX_DEPTH {
                    self.state = State::After;
                }
            }
            _ => {}
        }
    }

    const fn in_object(&self) -> bool {
        self.objects & (1 << (self.depth - 1)) != 0
    }

    /// The first byte of a value.
    fn value<V: Visitor<Step = S>>(&mut self, byte: u8, visitor: &mut V) {
        let kind = match byte {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => {
                self.state = State::Broken;
                return;
            }
        };
        if self.unwalked.is_none() {
            self.ask(kind, visitor);
        }
        match kind {
            Kind::Object | Kind::Array => self.open(kind),
            Kind::String => self.state = State::String,
            _ => {
                self.state = State::Scalar;
                self.scalar.clear();
                self.scalar.push(&[byte]);
            }
        }
    }

    fn ask<V: Visitor<Step = S>>(&mut self, kind: Kind, visitor: &mut V) {
        let step = match self.depth {
            0 => None,
            _ if self.in_object() => self.member,
            _ => Some(V::ITEM),
        };
        self.has_step = false;
        if let (Some(step), Some(room)) = (step, self.path.get_mut(self.path_len)) {
            *room = step;
            self.path_len += 1;
            self.has_step = true;
        }
        self.kind = kind;
        self.want = if self.has_step || self.depth == 0 {
            visitor.begin(&self.path[..self.path_len], kind)
        } else {
            Want::Nothing
        };
        self.is_raw = self.want == Want::Raw;
    }

    fn open(&mut self, kind: Kind) {
        if self.unwalked.is_none() && self.want != Want::Walk {
            self.unwalked = Some(self.depth);
        }
        if self.depth == MAX_DEPTH {
            self.state = State::Deep;
        } else if kind == Kind::Object {
            self.objects |= 1 << self.depth;
            self.state = State::FirstKey;
        } else {
            self.objects &= !(1 << self.depth);
            self.state = State::FirstItem;
        }
        self.depth += 1;
    }

    fn close(&mut self, byte: u8) {
        let is_object = self.in_object();
        if is_object != (byte == b'}') {
            self.state = State::Broken;
            return;
        }
        self.depth -= 1;
        if self.unwalked.is_none() {
            self.want = Want::Walk;
            self.kind = if is_object { Kind::Object } else { Kind::Array };
            self.has_step = self.depth > 0;
        } else if self.unwalked == Some(self.depth) {
            self.unwalked = None;
        }
        self.end_value();
    }

    fn end_value(&mut self) {
        self.has_ended = self.unwalked.is_none();
        self.state = match self.depth {
            0 => State::Done,
            1..=MAX_DEPTH => State::After,
            _ => State::Deep,
        };
    }

    /// Part of a number or a literal; the byte behind it is left.
    fn scalar(&mut self, rest: &[u8]) -> usize {
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
        let part = &rest[..end.unwrap_or(rest.len())];
        if part
            .iter()
            .any(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))
        {
            self.state = State::Broken;
            return part.len();
        }
        self.scalar.push(part);
        if end.is_some() {
            self.end_scalar();
        }
        part.len()
    }

    fn end_scalar(&mut self) {
        // Of a number too long to be kept, only the letters were checked.
        if self.scalar.get().is_none_or(is_scalar) {
            self.end_value();
        } else {
            self.state = State::Broken;
        }
    }
}

/// Strings: keys, and values wanted or not.
impl<S: Copy + 'static> Scanner<S> {
    fn string<V: Visitor<Step = S>>(&mut self, rest: &[u8], visitor: &mut V) -> usize {
        match self.escape {
            Escape::None => {}
            Escape::Backslash => {
                self.escaped(rest[0], visitor);
                return 1;
            }
            Escape::Unicode { digits, unit } => {
                self.hex_digit(rest[0], digits, unit, visitor);
                return 1;
            }
        }
        let end = memchr::memchr2(b'"', b'\\', rest);
        let plain = &rest[..end.unwrap_or(rest.len())];
        if !plain.is_empty() {
            self.flush_high(visitor);
            self.piece(plain, visitor);
        }
        let Some(end) = end else {
            return rest.len();
        };
        if rest[end] == b'\\' {
            self.escape = Escape::Backslash;
        } else {
            self.flush_high(visitor);
            self.end_string::<V>();
        }
        end + 1
    }

    fn end_string<V: Visitor<Step = S>>(&mut self) {
        if self.state == State::Key {
            if self.unwalked.is_none() {
                self.member = self.key.get().and_then(V::step);
            }
            self.state = State::Colon;
        } else {
            self.end_value();
        }
    }

    fn piece<V: Visitor<Step = S>>(&mut self, piece: &[u8], visitor: &mut V) {
        if self.unwalked.is_some() {
            return;
        }
        if self.state == State::Key {
            self.key.push(piece);
        } else if self.want == Want::Text {
            visitor.text(piece);
        }
    }

    fn escaped<V: Visitor<Step = S>>(&mut self, byte: u8, visitor: &mut V) {
        self.escape = Escape::None;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.escape = Escape::Unicode { digits: 0, unit: 0 };
                return;
            }
            _ => {
                self.state = State::Broken;
                return;
            }
        };
        self.flush_high(visitor);
        self.piece(&[plain], visitor);
    }

    fn hex_digit<V: Visitor<Step = S>>(&mut self, byte: u8, digits: u8, unit: u16, visitor: &mut V) {
        let Some(digit) = (byte as char).to_digit(16) else {
            self.state = State::Broken;
            return;
        };
        #[expect(clippy::cast_possible_truncation, reason = "a digit is less than 16")]
        let unit = unit << 4 | digit as u16;
        if digits < 3 {
            let digits = digits + 1;
            self.escape = Escape::Unicode { digits, unit };
            return;
        }
        self.escape = Escape::None;
        self.utf16(unit, visitor);
    }

    fn utf16<V: Visitor<Step = S>>(&mut self, unit: u16, visitor: &mut V) {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            let code = 0x1_0000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00);
            self.character(char::from_u32(code), visitor);
            return;
        }
        self.flush_high(visitor);
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => self.character(char::from_u32(u32::from(unit)), visitor),
        }
    }

    /// A first half without a second one.
    fn flush_high<V: Visitor<Step = S>>(&mut self, visitor: &mut V) {
        if self.high.take().is_some() {
            self.character(None, visitor);
        }
    }

    fn character<V: Visitor<Step = S>>(&mut self, character: Option<char>, visitor: &mut V) {
        if character.is_none()
            && self.want == Want::Text
            && self.unwalked.is_none()
            && self.state == State::String
        {
            visitor.mended();
        }
        let mut buffer = [0; 4];
        let encoded = character
            .unwrap_or(char::REPLACEMENT_CHARACTER)
            .encode_utf8(&mut buffer);
        self.piece(encoded.as_bytes(), visitor);
    }
}

/// A literal or a number in the grammar of RFC 8259.
fn is_scalar(text: &[u8]) -> bool {
    matches!(text, b"true" | b"false" | b"null") || is_number(text)
}

fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(text);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return false;
    }
    let rest = match rest {
        [b'.', fraction @ ..] => match digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        _ => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent).1.is_empty()
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
