//! The command line as a program: what it prints, how it exits, what it sends to a server that replays canned replies.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop the test, as tests do")]

mod aibridge;
mod aibridge_export;
mod audit;
mod completion;
mod errors;
mod help;
mod login;
mod login_browser;
mod offline;
mod proxy;
mod server;
mod support;
mod tokens;
mod users;
