//! The wire formats seen from outside, through what the crate offers to others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod client;
mod decode;
mod error;
mod headers;
mod peek;
mod prompt;
mod route;
mod splice;
mod sse;
