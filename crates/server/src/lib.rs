//! The server: configuration, what the REST API does, background jobs, assembly and lifecycle.
//!
//! `assemble` puts the parts together; `service` holds the rules; `api` and `dashboard` convert between HTTP and them;
//! `adapter` gives the data plane what it needs of the store; `proxy` sets the AI Gateway Proxy up; `config` is the only
//! place that reads flags, variables and files.

mod adapter;
mod api;
mod assemble;
pub mod config;
mod dashboard;
mod jobs;
pub mod lifecycle;
mod provider_facts;
mod proxy;
mod readiness;
mod run;
pub mod service;
pub mod telemetry;

pub use api::openapi;
pub use assemble::{AccountOptions, JobOptions, Parts, serve};
pub use proxy::{ProxyParts, Renewed, renew_authority};
pub use run::run;
