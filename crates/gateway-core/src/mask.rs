//! Masked hints of provider credentials, for logs and records.

/// A hint that lets a person recognise a credential without being able to use it: the ends of long values,
/// less of shorter ones, nothing of very short ones. Counted in characters.
pub fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    let shown = match length {
        0 => return String::new(),
        1..=4 => 0,
        5..=9 => 1,
        10..=19 => 2,
        _ => 4,
    };
    let start: String = secret.chars().take(shown).collect();
    let end: String = secret.chars().skip(length - shown).collect();
    format!("{start}...{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_ends_by_length() {
        for (secret, hint) in [
            ("", ""),
            ("abcd", "..."),
            ("abcde", "a...e"),
            ("abcdefghij", "ab...ij"),
            ("sk-ant-api03-abcdefgh", "sk-a...efgh"),
            ("ééééé", "é...é"),
        ] {
            assert_eq!(mask(secret), hint);
        }
    }
}
