//! The data plane: from a client's connection to a provider's streamed answer.
//!
//! [`access`] says who may pass and takes rights away, [`listen`] accepts connections that can be cut, [`Relay`]
//! routes, authenticates, sends upstream and streams back, [`recorder`] has each exchange written down before its answer
//! is released. Bytes are passed on, not rebuilt. There is no SQL, no REST API and no configuration parsing here.

pub mod access;
mod answer;
pub mod body;
mod budget;
mod causes;
pub mod listen;
mod options;
mod pinned;
mod prepare;
mod provider;
mod receive;
pub mod recorder;
mod recording;
mod refuse;
mod relay;
mod tap;
pub mod target;
mod upstream;

pub use body::{BoxError, RequestBody, ResponseBody};
pub use gateway_llm::route::SideCall;
pub use options::{
    LeakedTokens, RecordingOptions, RelayCounters, RelayError, RelayOptions, SideCallCounts, SideCalls,
    TokenInBody,
};
pub use pinned::Pinned;
pub use provider::ProviderConfig;
pub use relay::Relay;
pub use upstream::{ClientError, ProxySettings, client_tls};
