//! The certificate authority whose certificates intercepted clients trust.
