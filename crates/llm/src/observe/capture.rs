//! Texts that are collected piece by piece, up to a bound, and made storable at the end.

use super::PENDING_MAX;

/// The text of one field or of one open call or thought. Its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Capture {
    bytes: Vec<u8>,
    /// The field was there, if only as an empty text.
    is_set: bool,
    /// More came than was kept. Nothing is added any more, so that there is never a gap.
    is_cut: bool,
    was_mended: bool,
}

/// What became of the texts of one record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) is_cut: bool,
    pub(super) was_mended: bool,
}

/// What is left of [`PENDING_MAX`].
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

/// What an open call or thought costs besides its text.
const OVERHEAD: usize = 256;

/// A capture that once was larger than this gives its memory back.
const KEPT_MAX: usize = 4096;

// === impl Capture ===

impl Capture {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.is_set = false;
        self.is_cut = false;
        self.was_mended = false;
    }

    /// The field is there.
    pub(super) fn set(&mut self) {
        self.clear();
        self.is_set = true;
    }

    pub(super) fn push(&mut self, piece: &[u8], max: usize) {
        self.is_set = true;
        let room = if self.is_cut {
            0
        } else {
            max.saturating_sub(self.bytes.len())
        };
        self.is_cut |= piece.len() > room;
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Adds a separator, if there is something to separate.
    pub(super) fn separate(&mut self, separator: &[u8], max: usize) {
        if !self.bytes.is_empty() {
            self.push(separator, max);
        }
    }

    /// Adds what another capture holds, with its marks.
    pub(super) fn append(&mut self, other: &Self, max: usize, budget: &mut Budget) {
        if !other.is_set {
            return;
        }
        let before = self.bytes.len();
        self.push(&other.bytes, max.min(before + budget.left));
        budget.left -= self.bytes.len() - before;
        self.is_cut |= other.is_cut;
        self.was_mended |= other.was_mended;
    }

    /// Forgets its text and gives back what it cost.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        budget.left += self.bytes.len();
        self.clear();
    }

    pub(super) const fn mend(&mut self) {
        self.was_mended = true;
    }

    pub(super) const fn is_set(&self) -> bool {
        self.is_set
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, if the field was there: valid UTF-8 without U+0000, no longer than `max`.
    pub(super) fn text(&self, max: usize, marks: &mut Marks) -> Option<String> {
        if !self.is_set {
            return None;
        }
        let mut text = String::with_capacity(self.bytes.len());
        let mut was_mended = self.was_mended;
        let mut left = self.bytes.len();
        for chunk in self.bytes.utf8_chunks() {
            push_without_null(&mut text, chunk.valid(), &mut was_mended);
            left -= chunk.valid().len() + chunk.invalid().len();
            // What is invalid at the end of a cut text is a character that was cut apart.
            if !chunk.invalid().is_empty() && (left > 0 || !self.is_cut) {
                text.push(char::REPLACEMENT_CHARACTER);
                was_mended = true;
            }
        }
        marks.is_cut |= self.is_cut || text.len() > max;
        marks.was_mended |= was_mended;
        text.truncate(text.floor_char_boundary(max));
        Some(text)
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

fn push_without_null(text: &mut String, valid: &str, was_mended: &mut bool) {
    let mut parts = valid.split('\0');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        text.push(char::REPLACEMENT_CHARACTER);
        text.push_str(part);
        *was_mended = true;
    }
}

// === impl Budget ===

impl Budget {
    pub(super) const fn new() -> Self {
        Self { left: PENDING_MAX }
    }

    /// Takes what another open call or thought costs; false if it may not be opened.
    pub(super) const fn open(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(OVERHEAD) else {
            return false;
        };
        self.left = left;
        true
    }

    pub(super) const fn close(&mut self) {
        self.left += OVERHEAD;
    }

    /// Takes what a finished text costs that waits for the end of its event; false if there is no room.
    pub(super) const fn hold(&mut self, bytes: usize) -> bool {
        let Some(left) = self.left.checked_sub(bytes) else {
            return false;
        };
        self.left = left;
        true
    }

    pub(super) const fn give_back(&mut self, bytes: usize) {
        self.left += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[&[u8]], max: usize) -> (String, bool, bool) {
        let mut capture = Capture::default();
        for piece in pieces {
            capture.push(piece, max);
        }
        let mut marks = Marks::default();
        let text = capture.text(max, &mut marks).unwrap();
        (text, marks.is_cut, marks.was_mended)
    }

    #[test]
    fn texts_become_storable() {
        assert_eq!(text(&[b"a", "é".as_bytes()], 9), ("aé".into(), false, false));
        assert_eq!(text(&[b"\xc3", b"\xa9"], 9), ("é".into(), false, false));
        assert_eq!(text(&[b"a\0b"], 9), ("a\u{fffd}b".into(), false, true));
        assert_eq!(text(&[b"a\xff"], 9), ("a\u{fffd}".into(), false, true));
        assert_eq!(text(&[b""], 9), (String::new(), false, false));
    }

    #[test]
    fn cuts_fall_between_characters_and_leave_no_gap() {
        assert_eq!(text(&["aé".as_bytes()], 2), ("a".into(), true, false));
        assert_eq!(text(&["aé".as_bytes(), b"b"], 2), ("a".into(), true, false));
        // Replacing makes a text longer.
        assert_eq!(text(&[b"\0\0"], 5), ("\u{fffd}".into(), true, true));
        let mut budget = Budget { left: 3 };
        let (mut all, mut piece) = (Capture::default(), Capture::default());
        piece.push(b"ab", 9);
        all.append(&piece, 9, &mut budget);
        all.append(&piece, 9, &mut budget);
        assert_eq!((all.bytes(), all.is_cut, budget.left), (&b"aba"[..], true, 0));
        all.release(&mut budget);
        assert_eq!(budget.left, 3);
        all.append(&piece, 9, &mut budget);
        assert_eq!((all.bytes(), all.is_cut), (&b"ab"[..], false));
    }
}
