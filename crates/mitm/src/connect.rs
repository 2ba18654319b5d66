//! What a CONNECT request asks for, and with which credential.

use url::Host;

/// The host and port that a client wants to reach, in the one form in which they are compared: names in lower case and
/// without a last dot, addresses parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host<String>,
    pub port: u16,
}
