//! Journeys through the real binaries: `coder server` in a process of its own, real sockets, real databases, and the
//! simulated provider in place of the vendors' servers.
//!
//! `cargo xtask test e2e` builds the binary, starts PostgreSQL and runs this with `CODER_BIN` and
//! `TEST_POSTGRES_URL` set.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod client;
mod cluster;
mod corpus;
mod disk;
mod durability;
mod fidelity;
mod fixtures;
mod hostile;
mod journey;
mod lifecycle;
mod lineage;
mod link;
mod load;
mod provider;
mod proxy;
mod recording;
mod records;
mod records_fault;
mod records_killed;
mod revocation;
mod rows;
mod support;
mod upstream;
