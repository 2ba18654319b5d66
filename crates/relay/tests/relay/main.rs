//! The data plane over real sockets, with tokens and a provider that the tests hold in their hands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod admission;
mod chunking;
mod client;
mod copilot;
mod fidelity;
mod http2;
mod listen;
mod pinned;
mod races;
mod recording;
mod records;
mod refusals;
mod revocation;
mod side_calls;
mod support;
mod uploads;
