//! What a CONNECT request asks for, and with which credential.
//!
//! Pure parsers of what a stranger sends, strict where leniency could make two readers see two things: [`Head`] of a
//! request as a whole, [`Authority`] of its target, [`proxy_token`] of its credential. No I/O, no decisions.

mod authority;
mod credential;
mod head;

pub use authority::{Authority, InvalidAuthority};
pub use credential::{InvalidCredential, proxy_token};
pub use head::{Head, InvalidHead, PREFACE, end_of_head};
