//! Ending a client's TLS towards a provider's host.
