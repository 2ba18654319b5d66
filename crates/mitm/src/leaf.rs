//! Certificates for intercepted hosts, made on demand and kept.
