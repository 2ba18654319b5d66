//! The AI Gateway Proxy: an HTTPS forward proxy for tools that cannot set a base URL.
//!
//! [`proxy`] accepts clients and answers CONNECT. A host of a provider is intercepted: [`intercept`] ends the client's
//! TLS with a certificate of [`leaf`], signed by the authority of [`ca`], and hands what it decrypts to the relay in this
//! process. Any other host is tunnelled without decryption: [`address`] says which addresses are out of bounds, [`dial`]
//! connects to one that was checked, [`tunnel`] copies. What a decrypted request may do is for the relay to say.

pub mod address;
pub mod ca;
pub mod connect;
pub mod dial;
pub mod intercept;
pub mod leaf;
mod pass;
mod places;
pub mod proxy;
pub mod tunnel;
