//! The scanner against `serde_json`: the same texts are JSON, and the same values stand at the same paths.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::*;

/// Keys with a step of their own; the value of the last is taken as it stands.
const KEYS: [&str; 4] = ["a", "type", "é\"\\\n", "raw"];
const RAW: u8 = 4;

/// Path, kind and text of each wanted value, in the order in which they end.
type Seen = Vec<(Vec<u8>, Kind, String)>;

#[derive(Default)]
struct Recorder {
    text: Vec<u8>,
    was_mended: bool,
    pause: bool,
    seen: Seen,
}

impl Visitor for Recorder {
    type Step = u8;
    const ITEM: u8 = 0;

    fn step(key: &[u8]) -> Option<u8> {
        let at = KEYS.iter().position(|known| known.as_bytes() == key)?;
        Some(u8::try_from(at).unwrap() + 1)
    }

    fn begin(&mut self, path: &[u8], kind: Kind) -> Want {
        self.text.clear();
        if path.last() == Some(&RAW) {
            Want::Raw
        } else if matches!(kind, Kind::Object | Kind::Array) {
            Want::Walk
        } else {
            Want::Text
        }
    }

    fn text(&mut self, piece: &[u8]) {
        self.text.extend_from_slice(piece);
    }

    fn mended(&mut self) {
        self.was_mended = true;
    }

    fn end(&mut self, path: &[u8], kind: Kind) -> Flow {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        self.seen.push((path.to_vec(), kind, text));
        if self.pause { Flow::Pause } else { Flow::Go }
    }
}

/// True if the text is JSON.
fn scan(chunks: &[&[u8]], recorder: &mut Recorder) -> bool {
    let mut scanner = Scanner::new(Recorder::ITEM);
    for chunk in chunks {
        let mut rest = *chunk;
        while !rest.is_empty() {
            let ends = recorder.seen.len();
            let taken = scanner.feed(rest, recorder);
            assert!(taken > 0 || recorder.seen.len() > ends);
            rest = &rest[taken..];
        }
    }
    scanner.finish(recorder)
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Bool,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    }
}

/// What the recorder has to see; of raw values, compact JSON.
fn expected(value: &Value, path: &mut Vec<u8>, seen: &mut Seen) {
    if path.len() > MAX_PATH {
        return;
    }
    let text = match value {
        _ if path.last() == Some(&RAW) => value.to_string(),
        Value::Object(members) => {
            for (key, value) in members {
                if let Some(step) = Recorder::step(key.as_bytes()) {
                    path.push(step);
                    expected(value, path, seen);
                    path.pop();
                }
            }
            String::new()
        }
        Value::Array(items) => {
            for item in items {
                path.push(Recorder::ITEM);
                expected(item, path, seen);
                path.pop();
            }
            String::new()
        }
        Value::String(text) => text.clone(),
        scalar => scalar.to_string(),
    };
    seen.push((path.clone(), kind(value), text));
}

/// Writes a value with blanks and escapes where `whims` say so.
fn write(value: &Value, whims: &mut impl Iterator<Item = u8>, out: &mut String) {
    let mut blank = |out: &mut String| {
        if let Some(whim @ 0..8) = whims.next() {
            out.push([' ', '\t', '\n', '\r', ' ', ' ', ' ', ' '][usize::from(whim)]);
        }
    };
    blank(out);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(item, whims, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_string(key, whims, out);
                out.push(':');
                write(value, whims, out);
            }
            out.push('}');
        }
        Value::String(text) => write_string(text, whims, out),
        scalar => out.push_str(&scalar.to_string()),
    }
    if let Some(0..8) = whims.next() {
        out.push(' ');
    }
}

fn write_string(text: &str, whims: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        if matches!(whims.next(), Some(0..40)) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = Value::from(letter.to_string()).to_string();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out.push('"');
}

fn document() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        6 => prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned),
        1 => ".{0,40}",
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    scalar.prop_recursive(10, 60, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn chunked<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect()
}

#[test]
fn what_is_json() {
    for text in [
        "1",
        "-0.5e+7 ",
        " \"\" ",
        "[]",
        "{}",
        "[[],{}]",
        "null",
        "[1 ,2 ]",
        "{\"a\" : 1}",
        "[\"\t\"]",
    ] {
        assert!(scan(&[text.as_bytes()], &mut Recorder::default()), "{text}");
    }
    for text in [
        "",
        " ",
        "[",
        "{",
        "[1",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "[}",
        "{]",
        "]",
        "1 2",
        "[] x",
        "tru",
        "truex",
        "nul",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "0x1",
        "NaN",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"",
        "{1:2}",
        "[1 2]",
        "'a'",
        "[\"a\":1]",
        "\u{feff}1",
        "// x\n1",
    ] {
        assert!(!scan(&[text.as_bytes()], &mut Recorder::default()), "{text}");
    }
}

#[test]
fn depth_is_no_matter() {
    for depth in [7, 8, 9, 127, 128, 129, 130, 100_000] {
        let mut text = "[".repeat(depth) + "\"]\"," + &"{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert!(!scan(&[text.as_bytes()], &mut Recorder::default()), "{depth}");
        text += &"]".repeat(depth);
        assert!(scan(&[text.as_bytes()], &mut Recorder::default()), "{depth}");
    }
    assert!(!scan(&[b"[{]}"], &mut Recorder::default()));
}

#[test]
fn halves_of_surrogate_pairs_are_replaced() {
    for (text, expected, was_mended) in [
        (r#""\ud83d\ude00""#, "😀", false),
        (r#""\ud83d""#, "\u{fffd}", true),
        (r#""\ude00x""#, "\u{fffd}x", true),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀", true),
        (r#""\ud83d\n""#, "\u{fffd}\n", true),
        (r#""\ud83dA""#, "\u{fffd}A", true),
    ] {
        let mut recorder = Recorder::default();
        assert!(scan(&[text.as_bytes()], &mut recorder));
        assert_eq!(
            (recorder.seen[0].2.as_str(), recorder.was_mended),
            (expected, was_mended),
            "{text}"
        );
    }
}

#[test]
fn a_pause_falls_behind_the_value() {
    let mut scanner = Scanner::new(Recorder::ITEM);
    let mut recorder = Recorder {
        pause: true,
        ..Recorder::default()
    };
    let text = br#"{"x":"skipped","a":"b","type":[1 ]}"#;
    let mut ends = Vec::new();
    let mut at = 0;
    while at < text.len() {
        at += scanner.feed(&text[at..], &mut recorder);
        ends.push(at);
    }
    assert_eq!(ends, [22, 32, 34, 35]);
    assert_eq!(recorder.seen[0].2, "b");
}

proptest! {
    #[test]
    fn the_same_values_stand_at_the_same_paths(
        value in document(),
        whims: Vec<u8>,
        cuts: Vec<prop::sample::Index>,
        pause: bool,
    ) {
        let mut text = String::new();
        write(&value, &mut whims.into_iter().cycle().take(10_000), &mut text);
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
        let mut recorder = Recorder { pause, ..Recorder::default() };
        prop_assert!(scan(&chunked(text.as_bytes(), &cuts), &mut recorder));
        for (path, _, text) in &mut recorder.seen {
            if path.last() == Some(&RAW) {
                *text = serde_json::from_str::<Value>(text).unwrap().to_string();
            }
        }
        let mut seen = Vec::new();
        expected(&value, &mut Vec::new(), &mut seen);
        prop_assert_eq!(recorder.seen, seen);
        prop_assert!(!recorder.was_mended);
    }

    #[test]
    fn the_same_texts_are_json(text in r#"[{}\[\]",: \\ua10.eE+tns-]{0,24}"#, cuts: Vec<prop::sample::Index>) {
        let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(scan(&chunked(text.as_bytes(), &cuts), &mut Recorder::default()), is_json, "{}", text);
    }

    #[test]
    fn damaged_documents_are_told_alike(
        value in document(),
        at: prop::sample::Index,
        byte in prop::sample::select(b"{}[]\",:\\ 1ex".to_vec()),
    ) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            // Beyond its length only the letters of a number are checked.
            let has_long_number = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).any(|word| word.len() > MAX_SCALAR);
            prop_assert!(scan(&[text.as_bytes()], &mut Recorder::default()) == is_json || has_long_number, "{}", text);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(chunks: Vec<Vec<u8>>) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let _ = scan(&chunks, &mut Recorder::default());
    }
}
