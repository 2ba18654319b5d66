//! The proxy over real sockets, with a service in place of the relay and targets on the loopback interface.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by panicking; clippy recognises only the test functions"
)]

mod accounts;
mod bounds;
mod ending;
mod intercept;
mod refusals;
mod revocation;
mod support;
mod tunnels;
