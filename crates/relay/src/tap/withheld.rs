//! Frames that have arrived and may not go out yet, by their offsets in the answer.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Buf as _, Bytes};
use http_body::Frame;

/// What a frame takes beside its bytes, roughly.
const FRAME_BYTES: usize = 128;

/// Trailers count as bytes at the end of the answer: they go out with the last of it.
#[derive(Default)]
pub(super) struct Withheld {
    frames: VecDeque<Frame<Bytes>>,
    /// The offset of the first byte that is withheld.
    from: u64,
    len: usize,
    /// What is not to go out at all, in order.
    drops: VecDeque<Range<u64>>,
}

// === impl Withheld ===

impl Withheld {
    /// How many bytes are withheld.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What is withheld takes in memory.
    pub(super) fn weight(&self) -> usize {
        self.len + FRAME_BYTES * self.frames.len()
    }

    pub(super) fn push(&mut self, frame: Frame<Bytes>) {
        if frame.data_ref().is_some_and(Bytes::is_empty) {
            return;
        }
        self.len += frame.data_ref().map_or(0, Bytes::len);
        self.frames.push_back(frame);
    }

    /// Takes a range out of what has not been released.
    pub(super) fn drop_range(&mut self, range: Range<u64>) {
        self.drops.push_back(range);
    }

    /// Keeps the last frame that has bytes, and trailers behind it. HTTP/2 may end a body with an empty frame: if that
    /// were kept instead, a client that knows the length would have all of it.
    pub(super) fn push_and_release_rest(&mut self, frame: Frame<Bytes>, ready: &mut VecDeque<Frame<Bytes>>) {
        if frame.data_ref().is_some_and(|data| !data.is_empty()) {
            self.release_all(ready);
        }
        self.push(frame);
    }

    /// Releases all bytes before an offset.
    pub(super) fn release_to(&mut self, offset: u64, ready: &mut VecDeque<Frame<Bytes>>) {
        while let Some(mut data) = self.pop_data() {
            let may_go = usize::try_from(offset.saturating_sub(self.from)).unwrap_or(usize::MAX);
            if may_go < data.len() {
                let rest = data.split_off(may_go);
                self.emit(data, ready);
                self.len += rest.len();
                self.frames.push_front(Frame::data(rest));
                return;
            }
            self.emit(data, ready);
        }
    }

    pub(super) fn release_all(&mut self, ready: &mut VecDeque<Frame<Bytes>>) {
        while !self.frames.is_empty() {
            match self.pop_data() {
                Some(data) => self.emit(data, ready),
                None => ready.extend(self.frames.pop_front()),
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.len = 0;
    }

    /// The first frame, if it is of data.
    fn pop_data(&mut self) -> Option<Bytes> {
        let data = self.frames.pop_front_if(|frame| frame.is_data())?;
        let data = data.into_data().ok()?;
        self.len -= data.len();
        Some(data)
    }

    /// Passes on what of `data`, which begins at the first withheld byte, is not to be dropped.
    fn emit(&mut self, mut data: Bytes, ready: &mut VecDeque<Frame<Bytes>>) {
        while let Some(range) = self.drops.front() {
            let before = usize::try_from(range.start.saturating_sub(self.from)).unwrap_or(usize::MAX);
            if before >= data.len() {
                break;
            }
            push(data.split_to(before), ready);
            self.from += before as u64;
            let dropped = usize::try_from(range.end.saturating_sub(self.from)).unwrap_or(usize::MAX);
            let is_over = dropped <= data.len();
            let dropped = dropped.min(data.len());
            data.advance(dropped);
            self.from += dropped as u64;
            if !is_over {
                break;
            }
            self.drops.pop_front();
        }
        self.from += data.len() as u64;
        push(data, ready);
    }
}

/// What a frame takes in memory.
pub(super) fn weight(frame: &Frame<Bytes>) -> usize {
    FRAME_BYTES + frame.data_ref().map_or(0, Bytes::len)
}

fn push(data: Bytes, ready: &mut VecDeque<Frame<Bytes>>) {
    if !data.is_empty() {
        ready.push_back(Frame::data(data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ready: &mut VecDeque<Frame<Bytes>>) -> String {
        let bytes: Vec<u8> = ready
            .drain(..)
            .flat_map(|frame| frame.into_data().unwrap_or_default().to_vec())
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn bytes_go_out_up_to_an_offset() {
        let (mut withheld, mut ready) = (Withheld::default(), VecDeque::new());
        for piece in ["abc", "def", "ghi"] {
            withheld.push(Frame::data(Bytes::from(piece)));
        }
        withheld.release_to(0, &mut ready);
        assert_eq!((text(&mut ready).as_str(), withheld.len()), ("", 9));
        withheld.release_to(4, &mut ready);
        assert_eq!((text(&mut ready).as_str(), withheld.len()), ("abcd", 5));
        withheld.push_and_release_rest(Frame::data(Bytes::from("j")), &mut ready);
        assert_eq!((text(&mut ready).as_str(), withheld.len()), ("efghi", 1));
        withheld.release_all(&mut ready);
        assert_eq!((text(&mut ready).as_str(), withheld.len()), ("j", 0));
    }

    #[test]
    fn the_last_bytes_stay_whatever_follows_them() {
        let (mut withheld, mut ready) = (Withheld::default(), VecDeque::new());
        for frame in [
            Frame::data(Bytes::from("a")),
            Frame::data(Bytes::from("b")),
            Frame::data(Bytes::new()),
            Frame::trailers(http::HeaderMap::new()),
        ] {
            withheld.push_and_release_rest(frame, &mut ready);
        }
        assert_eq!((text(&mut ready).as_str(), withheld.len()), ("a", 1));
        withheld.release_all(&mut ready);
        assert!(ready.pop_back().is_some_and(|frame| frame.is_trailers()));
        assert_eq!(text(&mut ready), "b");
    }

    #[test]
    fn dropped_ranges_may_lie_anywhere() {
        let whole = "abcdefghijkl";
        for size in 1..=whole.len() {
            for (start, end) in (0..12).flat_map(|start| (start..=12).map(move |end| (start, end))) {
                let (mut withheld, mut ready) = (Withheld::default(), VecDeque::new());
                for piece in whole.as_bytes().chunks(size) {
                    withheld.push(Frame::data(Bytes::copy_from_slice(piece)));
                }
                withheld.drop_range(start as u64..end as u64);
                withheld.release_to(7, &mut ready);
                withheld.release_all(&mut ready);
                assert_eq!(
                    text(&mut ready),
                    format!("{}{}", &whole[..start], &whole[end..]),
                    "{start}..{end} in pieces of {size}"
                );
            }
        }
    }
}
