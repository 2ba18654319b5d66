//! Wire formats of the providers, without sockets.
//!
//! Which routes are relayed, what of a request must be known, how headers travel, how events are framed in a stream,
//! and how errors look to each provider's clients. Everything here is a function of bytes and text.

pub mod client;
pub mod decode;
pub mod error;
pub mod headers;
mod json;
pub mod observe;
pub mod peek;
pub mod route;
pub mod splice;
pub mod sse;
