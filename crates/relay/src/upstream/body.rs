//! The body of a request to a provider.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::InFlight;

/// The most that is handed over between two looks at the revocation flag.
const CHUNK: usize = 64 * 1024;

/// A body that is whole in memory, handed over in pieces, and stops when the right to send it is taken away.
/// Its share of the memory bound is given back when it has been taken.
pub(crate) struct UpstreamBody {
    /// Pieces of the body still to be sent.
    rest: VecDeque<Bytes>,
    in_flight: InFlight,
    /// Held for its drop.
    share: Option<Vec<OwnedSemaphorePermit>>,
}

/// The right to send was taken away.
#[derive(Debug, thiserror::Error)]
#[error("the token was revoked while the request was being sent")]
pub(crate) struct Revoked;

// === impl UpstreamBody ===

impl UpstreamBody {
    pub(crate) fn new(pieces: Vec<Bytes>, in_flight: InFlight, share: Vec<OwnedSemaphorePermit>) -> Self {
        Self {
            rest: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            in_flight,
            share: Some(share),
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Revoked;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Revoked>>> {
        if self.in_flight.is_cut() {
            return Poll::Ready(Some(Err(Revoked)));
        }
        let Some(first) = self.rest.front_mut() else {
            self.share = None;
            return Poll::Ready(None);
        };
        let chunk = first.split_to(first.len().min(CHUNK));
        if first.is_empty() {
            self.rest.pop_front();
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.iter().map(|piece| piece.len() as u64).sum())
    }
}
