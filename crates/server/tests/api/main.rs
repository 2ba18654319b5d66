//! The REST API and the dashboard of a whole server on a real socket and a real SQLite file: who may do what, what every
//! answer looks like, and that no input is answered with 500.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::too_many_lines, reason = "tables of cases")]

mod audit;
mod bad_input;
mod dashboard;
mod document;
mod exports;
mod permissions;
mod proxy;
mod recorded;
mod records;
mod records_shown;
mod scene;
mod sessions;
mod support;
mod tokens;
mod users;
