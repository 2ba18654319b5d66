//! The scanner within strings: keys, and values wanted or not. Escapes are taken off, and halves of surrogate pairs
//! joined or replaced.

use super::{Escape, Scanner, State, Visitor, Want};

impl<S: Copy + 'static> Scanner<S> {
    pub(super) fn string<V: Visitor<Step = S>>(&mut self, rest: &[u8], visitor: &mut V) -> usize {
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
