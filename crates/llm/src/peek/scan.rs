//! Walking over JSON without building anything.
//!
//! A walk is one pass over the bytes, without recursion and without allocation: an object gives its raw keys and values,
//! an array its raw elements, and what is inside of those is passed over by counting brackets, not by matching them. So
//! neither depth nor size costs more than the walk, but that something can be walked over does not make it valid JSON.

use super::text;

/// Walks over the raw keys and values of one JSON object.
pub(crate) struct Members<'a>(List<'a>);

/// Walks over the raw elements of one JSON array.
pub(crate) struct Elements<'a>(List<'a>);

/// What stands between two brackets, with commas in between.
struct List<'a> {
    cursor: Cursor<'a>,
    close: u8,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// An item or the end may follow.
    First,
    /// An item must follow.
    Item,
    Done,
    Broken,
}

struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

/// The values of some members of an object, raw. Of one that stands there twice the last counts, as common parsers
/// have it; null is no value. What is no object has no members, and of a broken one those count that can be read.
pub(crate) fn fields<'a, const N: usize>(object: &'a [u8], names: [&str; N]) -> [Option<&'a [u8]>; N] {
    let mut values = [None; N];
    for (key, value) in Members::new(object).into_iter().flatten() {
        if let Some(at) = names.iter().position(|name| text::is(key, name)) {
            values[at] = (value != b"null").then_some(value);
        }
    }
    values
}

/// The elements of an array, raw. What is no array has none, and of a broken one those count that can be read.
pub(crate) fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    Elements::new(array).into_iter().flatten()
}

// === impl Members ===

impl<'a> Members<'a> {
    /// None if the text does not begin as an object.
    pub(crate) fn new(body: &'a [u8]) -> Option<Self> {
        List::open(body, b'{', b'}').map(Self)
    }

    /// The object has ended, and nothing follows it.
    pub(crate) fn ends_whole(&self) -> bool {
        self.0.ends_whole()
    }

    /// Where the walk stands: right behind the closing brace, once the object has ended.
    pub(crate) fn position(&self) -> usize {
        self.0.cursor.at
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    /// None at the end, or where it is no longer JSON.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.read(|cursor| {
            let key = cursor.string()?;
            cursor.blanks();
            if !cursor.byte(b':') {
                return None;
            }
            cursor.blanks();
            Some((key, cursor.value()?))
        })
    }
}

// === impl Elements ===

impl<'a> Elements<'a> {
    /// None if the text does not begin as an array.
    pub(crate) fn new(body: &'a [u8]) -> Option<Self> {
        List::open(body, b'[', b']').map(Self)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    /// None at the end, or where it is no longer JSON.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.read(Cursor::value)
    }
}

// === impl List ===

impl<'a> List<'a> {
    fn open(body: &'a [u8], open: u8, close: u8) -> Option<Self> {
        let mut cursor = Cursor { body, at: 0 };
        cursor.blanks();
        cursor.byte(open).then_some(Self {
            cursor,
            close,
            state: State::First,
        })
    }

    fn read<T>(&mut self, item: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Option<T> {
        if matches!(self.state, State::Done | State::Broken) {
            return None;
        }
        self.cursor.blanks();
        if self.state == State::First && self.cursor.byte(self.close) {
            self.state = State::Done;
            return None;
        }
        let Some(item) = item(&mut self.cursor) else {
            self.state = State::Broken;
            return None;
        };
        self.cursor.blanks();
        self.state = if self.cursor.byte(b',') {
            State::Item
        } else if self.cursor.byte(self.close) {
            State::Done
        } else {
            State::Broken
        };
        Some(item)
    }

    fn ends_whole(&self) -> bool {
        self.state == State::Done && self.cursor.body[self.cursor.at..].iter().copied().all(is_blank)
    }
}

// === impl Cursor ===

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn byte(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        if !self.byte(b'"') {
            return None;
        }
        loop {
            self.at += memchr::memchr2(b'"', b'\\', &self.body[self.at..])?;
            if self.byte(b'"') {
                return Some(&self.body[start..self.at]);
            }
            if self.at + 2 > self.body.len() {
                return None;
            }
            self.at += 2;
        }
    }

    /// Passes over one value. Brackets are counted, not matched: what is inside is the provider's business.
    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth == 0 => self.scalar()?,
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(&self.body[start..self.at]);
            }
        }
    }

    /// A number, `true`, `false` or `null`, up to what ends it.
    fn scalar(&mut self) -> Option<()> {
        let rest = &self.body[self.at..];
        let end = rest
            .iter()
            .position(|byte| is_blank(*byte) || matches!(byte, b',' | b'}' | b']' | b':'))?;
        self.at += end;
        (end > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
            "[\\PC\"\\\\\n\\[\\]{},:]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("a|b|[\\PC\"\\\\]{0,4}", inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    fn written(value: &Value, pretty: bool) -> String {
        if pretty {
            format!(" \t{value:#}\r\n")
        } else {
            value.to_string()
        }
    }

    fn parsed(raw: &[u8]) -> Value {
        serde_json::from_slice(raw).unwrap()
    }

    proptest! {
        #[test]
        fn a_walk_gives_what_a_parser_gives(value in value(), pretty: bool) {
            let text = written(&value, pretty);
            let found: Vec<Value> = elements(text.as_bytes()).map(parsed).collect();
            prop_assert_eq!(found, value.as_array().cloned().unwrap_or_default());

            let mut members = Members::new(text.as_bytes());
            prop_assert_eq!(members.is_some(), value.is_object());
            let found: Map<String, Value> = members
                .iter_mut()
                .flatten()
                .map(|(key, value)| (parsed(key).as_str().unwrap().to_owned(), parsed(value)))
                .collect();
            prop_assert_eq!(found, value.as_object().cloned().unwrap_or_default());
            if let Some(members) = members {
                prop_assert!(members.ends_whole());
                prop_assert_eq!(text.trim_end().len(), members.position());
            }
            let [a, b] = fields(text.as_bytes(), ["a", "b"]).map(|raw| raw.map(parsed));
            prop_assert_eq!(a.as_ref(), value.get("a").filter(|value| !value.is_null()));
            prop_assert_eq!(b.as_ref(), value.get("b").filter(|value| !value.is_null()));
        }

        #[test]
        fn no_bytes_make_a_walk_panic_or_read_twice(
            noise: Vec<u8>, text in "[{\\[][{}\\[\\]\",:a\\\\ 1]{0,60}", open in prop::sample::select(vec![&b"["[..], b"{"]),
        ) {
            for body in [&noise[..], text.as_bytes(), &[open, &noise].concat()] {
                // What is given out lies side by side, so a walk over all of it is linear.
                let sum: usize = elements(body).map(<[u8]>::len).sum();
                prop_assert!(sum <= body.len());
                let Some(mut members) = Members::new(body) else { continue };
                let sum: usize = members.by_ref().map(|(key, value)| key.len() + value.len()).sum();
                prop_assert!(members.position() <= body.len());
                let is_whole = members.ends_whole();
                prop_assert!(is_whole || serde_json::from_slice::<Map<String, Value>>(body).is_err());
                prop_assert!(sum <= body.len());
            }
        }
    }

    #[test]
    fn the_last_of_two_members_counts() {
        let fields = |text: &'static str| fields(text.as_bytes(), ["a"])[0];
        assert_eq!(fields(r#"{"a":1,"\u0061":2}"#), Some(&b"2"[..]));
        assert_eq!(fields(r#"{"a":1,"a":null}"#), None);
        assert_eq!(fields(r#"{"a":1 x"a":2}"#), Some(&b"1"[..]), "up to the fault");
        assert_eq!(fields("[1]"), None);
        assert_eq!(elements(br#"{"a":1}"#).count(), 0);
        assert_eq!(elements(b"[1,[2,],}").count(), 2, "up to the fault");
    }
}
