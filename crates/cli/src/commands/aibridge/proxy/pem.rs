//! Certificates in PEM form (RFC 7468), as text: what is between the marks is copied, not read.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a text one below the other, without whatever stands around them. None if there is none.
pub(super) fn certificates(text: &str) -> Option<String> {
    let blocks: Vec<String> = blocks(text).collect();
    (!blocks.is_empty()).then(|| blocks.concat())
}

/// `first`, and those certificates of `others` that are not in it.
pub(super) fn bundle(first: &str, others: &str) -> String {
    let firsts: Vec<String> = blocks(first).collect();
    let others = blocks(others).filter(|block| !firsts.contains(block));
    firsts.iter().cloned().chain(others).collect()
}

/// Each certificate with its marks, in one form whatever the ends of lines. A block that holds anything but base64, or
/// does not end, is left out.
fn blocks(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.lines().map(str::trim);
    std::iter::from_fn(move || {
        lines.find(|line| *line == BEGIN)?;
        let mut block = format!("{BEGIN}\n");
        for line in lines.by_ref() {
            if line == END {
                block.push_str(END);
                block.push('\n');
                return Some(block);
            }
            block.push_str(line);
            block.push('\n');
        }
        None
    })
    .filter(|block| {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\n');
        block
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix('\n')?.strip_suffix(END))
            .is_some_and(|body| body.bytes().all(is_base64) && !body.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    #[test]
    fn only_certificates_are_taken() {
        let text = format!(
            "# a comment\r\n{BEGIN}\r\nYQ==\r\n{END}\r\n-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----\n{}",
            block("Yw==\nZA==")
        );
        assert_eq!(certificates(&text).unwrap(), block("YQ==") + &block("Yw==\nZA=="));
        for nothing in [
            "",
            "YQ==",
            &format!("{BEGIN}\nYQ=="),
            &block(""),
            &block("\u{1b}[2J"),
        ] {
            assert!(certificates(nothing).is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn a_bundle_has_nothing_twice() {
        let others = block("Yg==") + &block("YQ==") + "rest";
        assert_eq!(bundle(&block("YQ=="), &others), block("YQ==") + &block("Yg=="));
    }
}
