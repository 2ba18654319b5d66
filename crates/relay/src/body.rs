//! The two body types that requests come in with and answers go out with.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request from a client.
pub struct RequestBody(UnsyncBoxBody<Bytes, BoxError>);

/// The body of an answer to a client.
pub struct ResponseBody(UnsyncBoxBody<Bytes, BoxError>);

macro_rules! boxed_body {
    ($name:ident) => {
        impl $name {
            pub fn new<B>(body: B) -> Self
            where
                B: Body<Data = Bytes> + Send + 'static,
                B::Error: Into<BoxError>,
            {
                Self(body.map_err(Into::into).boxed_unsync())
            }

            pub fn empty() -> Self {
                Self::new(Empty::<Bytes>::new().map_err(|never: Infallible| match never {}))
            }

            pub fn full(bytes: impl Into<Bytes>) -> Self {
                Self::new(Full::new(bytes.into()).map_err(|never: Infallible| match never {}))
            }
        }

        impl Body for $name {
            type Data = Bytes;
            type Error = BoxError;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
                Pin::new(&mut self.0).poll_frame(cx)
            }

            fn is_end_stream(&self) -> bool {
                self.0.is_end_stream()
            }

            fn size_hint(&self) -> SizeHint {
                self.0.size_hint()
            }
        }
    };
}

boxed_body!(RequestBody);
boxed_body!(ResponseBody);
