//! What tests and demonstrations need around the gateway: a simulated provider.
//!
//! Nothing here is part of the product; no product crate depends on it.

pub mod sim;
