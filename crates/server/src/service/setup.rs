//! Who may make the first user.
//!
//! From the server's own machine anybody may. From elsewhere, or through a proxy, the code is needed that the server
//! printed when it started: on a fresh deployment that is reachable from outside, the first to come must not win.

use std::net::IpAddr;

use gateway_core::Secret;
use rand::distr::{Alphanumeric, SampleString as _};
use subtle::ConstantTimeEq as _;

use super::error::ServiceError;

const CODE_LENGTH: usize = 24;

pub struct Setup {
    code: Secret,
}

/// How a request for set-up came in.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The other end of the TCP connection.
    pub peer: Option<IpAddr>,
    /// A proxy in front has left its mark.
    pub is_forwarded: bool,
}

// === impl Setup ===

impl Setup {
    /// With the configured code, or one made now.
    pub fn new(configured: Option<Secret>) -> Self {
        let code = configured
            .unwrap_or_else(|| Secret::new(Alphanumeric.sample_string(&mut rand::rng(), CODE_LENGTH)));
        Self { code }
    }

    /// For the one line that tells the operator.
    pub fn code(&self) -> &Secret {
        &self.code
    }

    pub fn check(&self, origin: Origin, code: Option<&str>) -> Result<(), ServiceError> {
        let is_local =
            origin.peer.is_some_and(|peer| peer.to_canonical().is_loopback()) && !origin.is_forwarded;
        let is_right =
            code.is_some_and(|code| bool::from(code.as_bytes().ct_eq(self.code.expose().as_bytes())));
        if is_local && code.is_none() || is_right {
            return Ok(());
        }
        Err(ServiceError::Forbidden(
            "setting up from another machine needs the set-up code that the server printed when it started \
             (--first-user-code, CODER_FIRST_USER_CODE, field setup_code)"
                .to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_machine_needs_no_code_and_others_do() {
        let setup = Setup::new(Some(Secret::new("right")));
        let check = |peer: Option<&str>, is_forwarded, code| {
            setup
                .check(
                    Origin {
                        peer: peer.map(|peer| peer.parse().unwrap()),
                        is_forwarded,
                    },
                    code,
                )
                .is_ok()
        };
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(check(Some(local), false, None), "{local}");
            assert!(!check(Some(local), true, None), "{local} through a proxy");
            assert!(
                !check(Some(local), false, Some("wrong")),
                "{local}: a wrong code is never right"
            );
        }
        for (peer, code, allowed) in [
            (Some("192.0.2.1"), None, false),
            (Some("192.0.2.1"), Some("wrong"), false),
            (Some("192.0.2.1"), Some("right"), true),
            (None, None, false),
            (None, Some("right"), true),
        ] {
            assert_eq!(check(peer, false, code), allowed);
        }
        assert_ne!(Setup::new(None).code().expose(), Setup::new(None).code().expose());
    }
}
