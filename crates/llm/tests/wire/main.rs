//! The wire formats seen from outside, through what the crate offers to others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod decode;
mod error;
mod headers;
mod observe;
mod peek;
mod route;
mod sse;
