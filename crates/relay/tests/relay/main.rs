//! The data plane over real sockets, with tokens and a provider that the tests hold in their hands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod admission;
mod chunking;
mod fidelity;
mod http2;
mod listen;
mod races;
mod recording;
mod records;
mod refusals;
mod revocation;
mod support;
mod uploads;
