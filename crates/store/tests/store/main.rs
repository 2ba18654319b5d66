//! The conformance suite: what the store promises, on SQLite and on PostgreSQL.
//!
//! `TEST_POSTGRES_URL` names a PostgreSQL server and a database on it from which others can be made; the user must
//! be a superuser. Without it the suite fails. `cargo xtask test store` starts one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod audit_list;
mod authors;
mod cancellation;
mod interceptions_lanes;
mod interceptions_read;
mod interceptions_sessions;
mod interceptions_support;
mod interceptions_walk;
mod interceptions_write;
mod opening;
mod owners;
mod races;
mod support;
mod text;
mod tokens;
mod trouble;
mod users;
mod uses;
