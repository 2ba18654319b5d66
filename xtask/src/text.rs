//! Small shapes of text.

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits =
        |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('?'));
    bytes.iter().flat_map(|byte| digits(*byte)).collect()
}

/// Each line with two blanks before it.
pub(crate) fn indent(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::{hex, indent};

    #[test]
    fn shapes() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert_eq!(indent("a\n\nb"), "  a\n  \n  b\n");
    }
}
