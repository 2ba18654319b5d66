//! Who may make the first user.
//!
//! From the server's own machine anybody may who calls it by a local name. From elsewhere, through a proxy, or by
//! another name (as a web page does whose name was made to lead here), the code is needed that the server printed when
//! it started: on a fresh deployment that is reachable from outside, the first to come must not win.

use std::net::IpAddr;

use gateway_core::Secret;
use rand::distr::{Alphanumeric, SampleString as _};
use subtle::ConstantTimeEq as _;

use super::error::ServiceError;

const CODE_LENGTH: usize = 24;

pub struct Setup {
    code: Secret,
    is_made: bool,
}

/// How a request for set-up came in.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The other end of the TCP connection.
    pub peer: Option<IpAddr>,
    /// A proxy in front has left its mark.
    pub is_forwarded: bool,
    /// The client meant this machine by `localhost` or a loopback address.
    pub is_local_name: bool,
}

// === impl Setup ===

impl Setup {
    /// With the configured code, or one made now.
    pub fn new(configured: Option<Secret>) -> Self {
        let is_made = configured.is_none();
        let code = configured
            .unwrap_or_else(|| Secret::new(Alphanumeric.sample_string(&mut rand::rng(), CODE_LENGTH)));
        Self { code, is_made }
    }

    /// The code that was made here, for the one line that tells it to the operator; a configured one is known.
    pub fn made_code(&self) -> Option<&Secret> {
        self.is_made.then_some(&self.code)
    }

    pub fn check(&self, origin: Origin, code: Option<&str>) -> Result<(), ServiceError> {
        let is_loopback = origin.peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        let is_local = is_loopback && origin.is_local_name && !origin.is_forwarded;
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
            let peer = peer.map(|peer| peer.parse().unwrap());
            setup
                .check(
                    Origin {
                        peer,
                        is_forwarded,
                        is_local_name: true,
                    },
                    code,
                )
                .is_ok()
        };
        let named = Origin {
            peer: "127.0.0.1".parse().ok(),
            is_forwarded: false,
            is_local_name: false,
        };
        assert!(setup.check(named, None).is_err(), "by another name");
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
        let made = || Setup::new(None).made_code().map(|code| code.expose().to_owned());
        assert!(made().is_some() && made() != made());
        assert!(setup.made_code().is_none());
    }
}
