//! Text on its way into the database: what can be stored on both engines, and how it is folded and searched.

use crate::error::{Field, StoreError, TextFault};

/// The longest text in bytes. PostgreSQL cannot index more than about 2700 bytes, and no rule for names comes near.
pub(crate) const MAX_BYTES: usize = 1024;

/// Refuses text that one of the engines could not keep: PostgreSQL has no U+0000 in text.
pub(crate) fn check(field: Field, text: &str) -> Result<(), StoreError> {
    let fault = if text.contains('\0') {
        TextFault::NulCharacter
    } else if text.len() > MAX_BYTES || fold(text).len() > MAX_BYTES {
        TextFault::TooLong
    } else {
        return Ok(());
    };
    Err(StoreError::UnstorableText { field, fault })
}

/// Whether a row with this text in it can exist. A lookup by any other text finds nothing.
pub(crate) fn is_storable(text: &str) -> bool {
    text.len() <= MAX_BYTES && !text.contains('\0')
}

/// The text as both engines can keep it: without U+0000, and cut to [`MAX_BYTES`].
pub(crate) fn mended(text: &str) -> String {
    let mut mended = text.replace('\0', "\u{fffd}");
    mended.truncate(mended.floor_char_boundary(MAX_BYTES));
    mended
}

/// The form in which text is compared whatever the case of its letters.
pub(crate) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// A LIKE pattern (with `ESCAPE '\'`) that finds `part` anywhere, taken literally.
pub(crate) fn containing(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unstorable_text_is_refused_by_name() {
        let error = check(Field::Email, "a\0b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the e-mail address holds the character U+0000, which cannot be stored"
        );
        let error = check(Field::TokenName, &"x".repeat(MAX_BYTES + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the token name is longer than 1024 bytes");
        assert!(check(Field::Name, &"x".repeat(MAX_BYTES)).is_ok());
    }

    #[test]
    fn mended_text_is_storable() {
        for text in ["", "a", "a\0b", &"\0".repeat(MAX_BYTES), &"ä".repeat(MAX_BYTES)] {
            assert!(is_storable(&mended(text)), "{text:?}");
        }
        assert_eq!(mended("a\0b"), "a\u{fffd}b");
    }

    #[test]
    fn patterns_are_literal() {
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }
}
