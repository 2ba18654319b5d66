//! Reading JSON strings: bounded, and into text that both databases can store.
//!
//! What PostgreSQL refuses (U+0000) and what is no text (half of a surrogate pair, bytes that are not UTF-8) becomes
//! U+FFFD.

use std::borrow::Cow;

/// The longest name or id that is kept, in bytes.
pub(crate) const SHORT_MAX: usize = 256;

/// Collects the text of JSON strings up to a limit.
pub(super) struct Collector {
    pub(super) text: String,
    max: usize,
    /// Something did not fit.
    pub(super) is_cut: bool,
    /// Something was replaced by U+FFFD.
    pub(super) was_mended: bool,
    /// There was a backslash with something behind it that JSON does not know.
    is_malformed: bool,
}

/// A short JSON string, cut to 256 bytes. None if it is no string, or one with an escape that JSON does not know.
pub(crate) fn short(quoted: &[u8]) -> Option<Cow<'_, str>> {
    short_or_mended(quoted).map(|(text, _)| text)
}

/// The same, with whether something was replaced by U+FFFD.
pub(crate) fn short_or_mended(quoted: &[u8]) -> Option<(Cow<'_, str>, bool)> {
    let inner = inner(quoted)?;
    if inner.len() <= SHORT_MAX
        && is_plain(inner)
        && let Ok(text) = str::from_utf8(inner)
    {
        return Some((Cow::Borrowed(text), false));
    }
    let mut collector = Collector::new(SHORT_MAX);
    collector.read(quoted);
    (!collector.is_malformed).then_some((Cow::Owned(collector.text), collector.was_mended))
}

/// Whether a JSON string says this, however it is spelled.
pub(crate) fn is(quoted: &[u8], text: &str) -> bool {
    match inner(quoted) {
        // Six bytes are the longest spelling of one.
        Some(inner) if inner.len() > 6 * text.len() => false,
        Some(inner) if is_plain(inner) => inner == text.as_bytes(),
        _ => short(quoted).is_some_and(|found| found == text),
    }
}

/// Some parsers match keys without regard to case, in ASCII and with the two other letters that Unicode folds into it.
pub(crate) fn fold(key: &str) -> Cow<'_, str> {
    if key
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        return Cow::Borrowed(key);
    }
    key.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            _ => letter.to_ascii_lowercase(),
        })
        .collect()
}

/// An id as it is kept: without blanks around it, not empty, cut to 256 bytes and mended.
pub(crate) fn id(text: &str) -> Option<String> {
    let mut collector = Collector::new(SHORT_MAX);
    for (number, piece) in text.trim().split('\0').enumerate() {
        if number > 0 {
            collector.mend();
        }
        collector.push(piece);
    }
    (!collector.text.is_empty()).then_some(collector.text)
}

/// What stands between the quotes.
fn inner(quoted: &[u8]) -> Option<&[u8]> {
    quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Nothing in it stands for something else, and nothing needs replacing but what is not UTF-8.
fn is_plain(inner: &[u8]) -> bool {
    memchr::memchr2(b'\\', 0, inner).is_none()
}

// === impl Collector ===

impl Collector {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            text: String::new(),
            max,
            is_cut: false,
            was_mended: false,
            is_malformed: false,
        }
    }

    /// Adds the text of one JSON string, given with its quotes. False if it is no string.
    pub(super) fn read(&mut self, quoted: &[u8]) -> bool {
        let Some(mut rest) = inner(quoted) else {
            return false;
        };
        while !rest.is_empty() && !self.is_cut {
            let (plain, special) = rest.split_at(memchr::memchr2(b'\\', 0, rest).unwrap_or(rest.len()));
            self.plain(plain);
            let length = match special {
                [] => 0,
                [0, ..] => {
                    self.mend();
                    1
                }
                _ => self.escape(special),
            };
            rest = &special[length..];
        }
        true
    }

    /// Adds text, or as much of it as there is room for.
    pub(super) fn push(&mut self, text: &str) {
        if self.is_cut {
            return;
        }
        let fitting = text.floor_char_boundary(self.max - self.text.len());
        self.text.push_str(&text[..fitting]);
        self.is_cut = fitting < text.len();
    }

    fn mend(&mut self) {
        self.was_mended = true;
        self.push("\u{fffd}");
    }

    fn plain(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.push(chunk.valid());
            if self.is_cut {
                return;
            }
            if !chunk.invalid().is_empty() {
                self.mend();
            }
        }
    }

    /// Adds what an escape stands for, and gives its length. Of one that JSON does not know only the backslash is
    /// replaced.
    fn escape(&mut self, escape: &[u8]) -> usize {
        let (letter, length) = match escape.get(1) {
            Some(plain @ (b'"' | b'\\' | b'/')) => (Some(char::from(*plain)), 2),
            Some(b'b') => (Some('\u{8}'), 2),
            Some(b'f') => (Some('\u{c}'), 2),
            Some(b'n') => (Some('\n'), 2),
            Some(b'r') => (Some('\r'), 2),
            Some(b't') => (Some('\t'), 2),
            Some(b'u') => unicode(escape),
            _ => (None, 1),
        };
        self.is_malformed |= length == 1;
        match letter {
            Some('\0') | None => self.mend(),
            Some(letter) => self.push(letter.encode_utf8(&mut [0; 4])),
        }
        length
    }
}

/// The letter that `\uXXXX`, or two of them for a surrogate pair, stands for; none for half of a pair. The length is 1
/// if these are no digits.
fn unicode(escape: &[u8]) -> (Option<char>, usize) {
    let Some(first) = code_unit(escape) else {
        return (None, 1);
    };
    let second = escape.get(6..).and_then(code_unit);
    match char::decode_utf16([Some(first), second].into_iter().flatten()).next() {
        Some(Ok(letter)) => (Some(letter), 6 * letter.len_utf16()),
        _ => (None, 6),
    }
}

fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(quoted: &[u8]) -> Collector {
        let mut collector = Collector::new(64);
        assert!(collector.read(quoted));
        collector
    }

    #[test]
    fn what_cannot_be_stored_is_replaced() {
        for (inner, text) in [
            (&b"a\0b"[..], "a\u{fffd}b"),
            (b"a\\u0000b", "a\u{fffd}b"),
            (b"\\ud83d\\ude00", "\u{1f600}"),
            (b"\\ud83d", "\u{fffd}"),
            (b"\\ud83dx", "\u{fffd}x"),
            (b"\\ud83d\\ud83d\\ude00", "\u{fffd}\u{1f600}"),
            (b"\\ude00\\ud83d", "\u{fffd}\u{fffd}"),
            (b"\\ud83d\\n", "\u{fffd}\n"),
            (b"\xffa\xf0\x9f", "\u{fffd}a\u{fffd}"),
            (b"\\x\\u12g4\\u+123", "\u{fffd}x\u{fffd}u12g4\u{fffd}u+123"),
            (b"\\u12", "\u{fffd}u12"),
            (b"\\", "\u{fffd}"),
        ] {
            let seen = read(&[b"\"", inner, b"\""].concat());
            assert_eq!(seen.text, text);
            assert_eq!(seen.was_mended, text.contains('\u{fffd}'));
        }
        assert!(!read(b"\"\xef\xbf\xbd\"").was_mended, "it was there before");
        assert_eq!(short(b"\"a\\x\""), None);
        assert_eq!(short(b"\"a\0\"").unwrap(), "a\u{fffd}");
        assert_eq!(short(b"\""), None);
        assert_eq!(short(b"7"), None);
    }

    #[test]
    fn words_are_told_in_every_spelling() {
        for spelling in ["user", "us\\u0065r", "\\u0075\\u0073\\u0065\\u0072"] {
            assert!(is(format!("\"{spelling}\"").as_bytes(), "user"), "{spelling}");
        }
        for other in [
            "\"User\"",
            "\"users\"",
            "\"use\"",
            "\"us\\er\"",
            "user",
            "\"",
            "\"us\\u0000r\"",
            "\"\"",
        ] {
            assert!(!is(other.as_bytes(), "user"), "{other}");
        }
    }

    #[test]
    fn ids_are_trimmed_and_never_empty() {
        assert_eq!(id(" \ta b\n"), Some("a b".to_owned()));
        assert_eq!(id(" \n"), None);
        assert_eq!(id("\0x\0"), Some("\u{fffd}x\u{fffd}".to_owned()));
        assert_eq!(id(&"\0".repeat(300)).unwrap().len(), 255);
    }

    proptest! {
        #[test]
        fn reads_what_a_parser_reads(text in "[\\PC\"\\\\\n\t\r\u{8}\u{c}/\u{1}]{0,24}", max in 0_usize..40) {
            let mut collector = Collector::new(max);
            collector.read(serde_json::to_string(&text).unwrap().as_bytes());
            prop_assert_eq!(&collector.text, &text[..text.floor_char_boundary(max)]);
            prop_assert_eq!(collector.is_cut, text.len() > max);
            prop_assert!(!collector.was_mended && !collector.is_malformed);
        }

        #[test]
        fn any_bytes_become_text_that_can_be_stored(mut bytes: Vec<u8>, escapes in "(\\\\(u[0-9a-fd]{4}|.)|\\PC){0,12}", max in 0_usize..80) {
            bytes.extend_from_slice(escapes.as_bytes());
            let quoted = [b"\"", &bytes[..], b"\""].concat();
            let mut collector = Collector::new(max);
            prop_assert!(collector.read(&quoted));
            prop_assert!(collector.text.len() <= max && !collector.text.contains('\0'));
        }
    }
}
