//! The body of a request to a provider.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::registry::Sever;
use crate::access::{InFlight, Side};
use crate::listen::io::Line;

/// The most that is handed over between two looks at the revocation flag.
const CHUNK: usize = 64 * 1024;

/// A body that is whole in memory, handed over in pieces, and stops when the right to send it is taken away.
/// Its share of the memory bound is given back when it has been taken.
pub(crate) struct UpstreamBody {
    /// Pieces of the body still to be sent.
    rest: VecDeque<Bytes>,
    in_flight: InFlight,
    upload: Upload,
    /// Held for its drop.
    share: Option<Vec<OwnedSemaphorePermit>>,
}

/// Where a request goes, known to its body and to whoever sends it.
#[derive(Clone, Default)]
pub(super) struct Upload(Arc<Mutex<Progress>>);

#[derive(Default)]
struct Progress {
    line: Option<Arc<Line>>,
    /// The client library has taken all of the body.
    is_taken: bool,
}

/// Takes the connection back from the registry when dropped.
struct Detach(InFlight);

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
            upload: Upload::default(),
            share: Some(share),
        }
    }

    pub(super) fn upload(&self) -> Upload {
        self.upload.clone()
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

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        self.upload.taken(&self.in_flight);
    }
}

// === impl Upload ===

impl Upload {
    /// Puts the connection in the registry's hands until all of the request has been handed to the kernel. It carries
    /// nobody else's request before that.
    pub(super) fn goes_over(&self, line: Arc<Line>, in_flight: &InFlight) {
        let mut progress = self.0.lock();
        if progress
            .line
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &line))
        {
            return;
        }
        in_flight.attach(Side::Upstream, Arc::clone(&line) as Arc<dyn Sever>);
        if progress.is_taken {
            line.linger(Box::new(Detach(in_flight.clone())));
        }
        progress.line = Some(line);
    }

    fn taken(&self, in_flight: &InFlight) {
        let mut progress = self.0.lock();
        progress.is_taken = true;
        if let Some(line) = &progress.line {
            line.linger(Box::new(Detach(in_flight.clone())));
        }
    }
}

// === impl Detach ===

impl Drop for Detach {
    fn drop(&mut self) {
        self.0.detach(Side::Upstream);
    }
}
