#![no_main]

use gateway_mitm::connect::{Authority, Head, end_of_head, proxy_token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else {
        return;
    };
    let cut = usize::from(*cut).min(bytes.len());
    let end = end_of_head(bytes, 0);
    let in_pieces = end_of_head(&bytes[..cut], 0).or_else(|| end_of_head(bytes, cut));
    assert_eq!(in_pieces, end);
    check_authority(std::str::from_utf8(bytes).unwrap_or_default());
    let Some(end) = end else {
        return;
    };
    let text = &bytes[end];
    let Ok(head) = Head::parse(text) else {
        return;
    };
    // Whoever else reads it, reads the same lines.
    assert!(text.ends_with(b"\r\n\r\n") && !text.contains(&0));
    let (line_feeds, returns) = (count(text, b'\n'), count(text, b'\r'));
    assert_eq!(line_feeds, returns);
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let has = |name: &str| {
        let named = |line: &&&[u8]| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes());
        lines.iter().filter(named).count()
    };
    assert!(has("host:") <= 1 && has("proxy-authorization:") <= 1);
    assert_eq!(head.credential.is_some(), has("proxy-authorization:") == 1);
    if head.is_connect() {
        assert_eq!(has("content-length:") + has("transfer-encoding:"), 0);
        assert!(head.closes || !head.is_http10);
    }
    check_authority(head.target);
    if let Some(Err(invalid)) = head.credential.map(proxy_token) {
        assert!(!invalid.to_string().contains("cdr_"));
    }
});

fn count(text: &[u8], wanted: u8) -> usize {
    text.iter().filter(|byte| **byte == wanted).count()
}

/// What is accepted has one form, which is read as the same.
fn check_authority(text: &str) {
    let Ok(authority) = text.parse::<Authority>() else {
        return;
    };
    let normal = authority.to_string();
    assert!(normal.is_ascii() && authority.port != 0);
    assert!(!normal.contains(['@', '/', '%', '?', '#', '\\', ' ']) && !normal.contains(char::is_uppercase));
    assert_eq!(normal.parse::<Authority>().as_ref(), Ok(&authority));
    assert_eq!(Authority::parse_with_default(text, 1), Ok(authority));
}
