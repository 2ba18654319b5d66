//! Watching an answer that came encoded although plain text was asked for: a bounded copy is kept and read at the end.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway_llm::decode::decode_bounded;
use gateway_llm::observe::{BodyObserver, End, ObserveOptions, StreamObserver};
use gateway_llm::route::Api;
use tokio::sync::Semaphore;

use super::watch::Findings;
use crate::budget::Share;

/// The largest copy, encoded and decoded.
const COPY_MAX: usize = 32 * 1024 * 1024;

/// The answer so far, as it came.
pub(super) struct Copy {
    pub(super) encoding: String,
    pub(super) is_events: bool,
    pub(super) api: Api,
    pub(super) options: ObserveOptions,
    /// How many are read at once, so that what they decode to is bounded.
    pub(super) decoders: Arc<Semaphore>,
    pub(super) bytes: BytesMut,
    /// There was more than could be kept.
    pub(super) is_cut: bool,
}

/// The copy is being read, beside the tasks that serve requests.
pub(super) struct Decoding(BoxFuture<'static, Findings>);

// === impl Copy ===

impl Copy {
    pub(super) fn feed(&mut self, data: &[u8], share: &mut Share) {
        let length = self.bytes.len() + data.len();
        if self.is_cut || length > COPY_MAX || share.cover(length).is_err() {
            self.is_cut = true;
            self.bytes = BytesMut::new();
            return;
        }
        self.bytes.extend_from_slice(data);
    }

    /// Begins to read; none if there is nothing that could be read.
    pub(super) fn decode(self, end: End) -> Option<Decoding> {
        if self.is_cut {
            return None;
        }
        let reading = async move {
            let permit = Arc::clone(&self.decoders).acquire_owned().await;
            let reading = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                self.read(end)
            });
            reading.await.unwrap_or_else(|_| Findings::unread())
        };
        Some(Decoding(reading.boxed()))
    }

    fn read(self, end: End) -> Findings {
        match decode_bounded(&self.encoding, &self.bytes, COPY_MAX) {
            Ok(plain) if self.is_events => {
                let mut observer = StreamObserver::new(self.api, self.options);
                observer.feed(&plain);
                Findings::of_stream(observer, end)
            }
            Ok(plain) => {
                let mut observer = BodyObserver::new(self.api, self.options);
                observer.feed(&plain);
                Findings::of_body(observer, end)
            }
            Err(error) => {
                tracing::debug!(%error, "an answer could not be decoded to be observed");
                Findings::unread()
            }
        }
    }
}

// === impl Decoding ===

impl Decoding {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Findings> {
        self.0.poll_unpin(cx)
    }
}
