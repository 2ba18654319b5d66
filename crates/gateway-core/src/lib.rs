//! The vocabulary of the gateway: ids, time, users, roles, tokens, lifetimes, passwords, providers,
//! interceptions, the audit log, and the rule that says which credential a request uses.
//!
//! Nothing here does I/O, knows a wire format or holds a lock. Every other crate speaks in these types.

pub mod audit;
pub mod clock;
pub mod credential;
pub mod id;
pub mod interception;
pub mod lifetime;
pub mod mask;
pub mod password;
pub mod principal;
pub mod provider;
pub mod role;
pub mod scope;
pub mod secret;
pub mod token;
pub mod user;
pub mod words;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use id::{TokenId, UserId};
pub use interception::{InterceptionId, RunId};
pub use lifetime::Lifetime;
pub use principal::Principal;
pub use provider::{ProviderKind, ProviderName};
pub use role::{Permission, Role, Roles};
pub use scope::{Scope, Scopes};
pub use secret::Secret;
pub use token::{ApiToken, SecretHash, TokenDigest, TokenKind, TokenRecord};
pub use user::{User, UserStatus};
