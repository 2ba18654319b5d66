//! The store: users, tokens, the fact that set-up is done, the audit log, and what was asked of the providers, on SQLite
//! or PostgreSQL.
//!
//! One concrete [`Store`], cheap to clone. Each query is one SQL text with `$n` placeholders that runs on both
//! engines; the conformance suite in `tests/store` holds them to the same behaviour. Who may do what is decided
//! by the caller; what is decided here is what only a transaction can decide: that names are unique, that one
//! active owner is left, and that the author of a write still is who it was when the request was let in.
//!
//! The recipe for a new entity:
//! 1. one migration of the same name in `migrations/sqlite` and `migrations/postgres` (rules in its README);
//! 2. a private row struct that derives `FromRow`, and `TryFrom` of it for the domain type, in `rows.rs`;
//! 3. a module with a struct that borrows the database, returned by a method of [`Store`]. Reads go through
//!    `Db::read`, writes through `Db::write` and `Db::begin`, which checks the author;
//! 4. an entry in the audit log for each write that somebody asks for, with `Tx::audit` inside its transaction;
//! 5. tests in `tests/store`, each of which runs on both engines.
//!
//! What everybody may rely on:
//! * Every read and write returns within [`OPERATION_TIMEOUT`], whatever the database does.
//! * A write whose future is dropped has happened whole or not at all, and leaves no connection inside a
//!   transaction.
//! * All writes of accounts (users, tokens, set-up) are in one order: SQLite has one writer at a time, and on
//!   PostgreSQL each such write holds one advisory lock to its commit. So a write sees everything that was committed
//!   before it, and there are no deadlocks.
//! * Writes of records (interceptions and what belongs to them, runs) have connections of their own and are in no
//!   order with those of accounts, which they never touch. On SQLite they let those go first. On PostgreSQL they take
//!   no lock beside those of their rows, in the order of the keys; a deadlock among replicas all the same is tried
//!   again, and so is a write that PostgreSQL leaves without an answer for seconds. All may be repeated.
//! * Nothing checkpoints SQLite's write-ahead log but [`Store::checkpoint`], which the server has to call.

mod audit;
mod author;
mod db;
mod embedded;
mod error;
mod fault;
mod gate;
mod interceptions;
mod lock;
mod migrate;
mod open;
mod rows;
mod search;
mod store;
mod target;
mod text;
mod tokens;
mod users;

pub use audit::{Audit, AuditFilter};
pub use author::Author;
pub use db::OPERATION_TIMEOUT;
pub use error::{Field, OpenError, StoreError, TextFault};
pub use fault::DatabaseError;
pub use interceptions::{
    Found, Interception, InterceptionFilter, Interceptions, LAST_PROMPT_CHARS, MAX_PAGE_BYTES,
    MAX_THREAD_INTERCEPTIONS, MAX_USAGE_ROWS, SessionSummary, Steps, Thought, Thread, ThreadPage, TokenSums,
    UsageKey, UsageQuery, UsageRow,
};
pub use store::Store;
pub use target::{DEFAULT_FILE_NAME, Engine, InvalidTarget, Purpose, StoreOptions, Synchronous, Target};
pub use tokens::{
    MAX_API_TOKENS, MAX_SESSIONS, NewToken, TokenCreated, TokenFilter, TokenUse, TokenWithOwner, Tokens,
};
pub use users::{Deleted, NewUser, UserFilter, UserPage, Users};
