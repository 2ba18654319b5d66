//! As much of DER (ITU-T X.690) as is missed in the libraries: putting values together and taking a sequence apart.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const BIT_STRING: u8 = 0x03;

/// In the first byte of a length: this many bytes with the length follow.
const LONG_LENGTH: u8 = 0x80;

/// One value: tag, length, content.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut encoded = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < LONG_LENGTH => encoded.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let used = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            encoded.push(LONG_LENGTH | u8::try_from(used.len()).expect("a length has eight bytes at most"));
            encoded.extend_from_slice(used);
        }
    }
    encoded.extend_from_slice(content);
    encoded
}

/// The values inside a value, each with its tag and length. None: not well-formed, or with tags of many bytes.
pub(super) fn parts(outer: &[u8]) -> Option<Vec<&[u8]>> {
    let (head, length) = measure(outer)?;
    let mut rest = outer.get(head..head.checked_add(length)?)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (head, length) = measure(rest)?;
        let (part, after) = rest.split_at_checked(head.checked_add(length)?)?;
        parts.push(part);
        rest = after;
    }
    Some(parts)
}

/// How long the tag and length of a value are together, and how long its content is.
fn measure(encoded: &[u8]) -> Option<(usize, usize)> {
    let [_tag, first, rest @ ..] = encoded else {
        return None;
    };
    if *first < LONG_LENGTH {
        return Some((2, usize::from(*first)));
    }
    let count = usize::from(*first - LONG_LENGTH);
    let length = rest.get(..count).filter(|_| count <= size_of::<u32>())?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Some((2 + count, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_together_comes_apart(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..6)) {
            let encoded: Vec<_> = parts.iter().map(|part| value(BIT_STRING, part)).collect();
            let outer = value(SEQUENCE, &encoded.concat());
            prop_assert_eq!(super::parts(&outer).unwrap(), encoded);
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parts(&bytes);
        }
    }

    #[test]
    fn lengths_are_the_shortest() {
        assert_eq!(value(SEQUENCE, &[0; 0x7f])[..2], [0x30, 0x7f]);
        assert_eq!(value(SEQUENCE, &[0; 0x80])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(value(SEQUENCE, &[0; 0x100])[..4], [0x30, 0x82, 0x01, 0x00]);
    }
}
