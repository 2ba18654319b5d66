//! Reading the head of a request, within bounds.

use std::io;
use std::ops::Range;

use gateway_relay::listen::io::Sniffed;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::connect::end_of_head;

const MAX_HEAD: usize = 16 * 1024;
const READ: usize = 2 * 1024;

/// A client that has not been led anywhere yet.
pub(super) struct Asking<I> {
    pub(super) io: I,
    pub(super) read: Vec<u8>,
}

/// Why no head was read.
pub(super) enum NoHead {
    TooLarge,
    NotHttp,
    Gone(io::Error),
}

// === impl Asking ===

impl<I: AsyncRead + Unpin> Asking<I> {
    pub(super) fn new(io: I) -> Self {
        Self { io, read: Vec::new() }
    }

    /// The connection from `at` on.
    pub(super) fn into_rest(mut self, at: usize) -> Sniffed<I> {
        Sniffed::new(self.io, self.read.split_off(at))
    }

    /// Reads on until there is a whole head. Keeps what was read when it is dropped before.
    pub(super) async fn read_head(&mut self) -> Result<Range<usize>, NoHead> {
        let mut searched = 0;
        loop {
            if let Some(head) = end_of_head(&self.read, searched) {
                return if head.end > MAX_HEAD {
                    Err(NoHead::TooLarge)
                } else {
                    Ok(head)
                };
            }
            if self.read.len() >= MAX_HEAD {
                return Err(NoHead::TooLarge);
            }
            // A method begins with a letter; an empty line may stand before it.
            if self
                .read
                .first()
                .is_some_and(|byte| !matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'\r'))
            {
                return Err(NoHead::NotHttp);
            }
            searched = self.read.len();
            self.read.reserve_exact(READ);
            match self.io.read_buf(&mut self.read).await {
                Ok(0) => return Err(NoHead::Gone(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(NoHead::Gone(error)),
            }
        }
    }
}
