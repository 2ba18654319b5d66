//! Signing in a command line through a browser.
//!
//! The command line makes up a secret, the verifier, and puts its digest, the challenge, into the address that it opens.
//! Whoever is signed in there confirms, and the browser carries a code to the port on which the command line waits. The
//! code is good for one exchange within a minute, together with the verifier (as in RFC 7636), so that whoever else
//! comes to see it cannot use it. The session that is made for it is the work of the browser's session, which the
//! store finds gone if it has ended meanwhile.

use std::fmt::Write as _;
use std::time::Duration;

use gateway_core::audit::Source;
use gateway_core::{ApiToken, Timestamp};
use parking_lot::Mutex;
use rand::distr::{Alphanumeric, SampleString as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::ServiceError;
use super::{Requester, Services};

/// How long a code can be used.
const LIFETIME: Duration = Duration::from_mins(1);

/// How many may wait at once, each from a session of its own; so many people do not sign in within a minute.
const WAITING: usize = 1000;

/// 190 bits.
const CODE_LENGTH: usize = 32;

/// The codes that are waiting to be exchanged.
#[derive(Default)]
pub struct SignInCodes(Mutex<Vec<Waiting>>);

struct Waiting {
    code: [u8; 32],
    challenge: Challenge,
    approver: Requester,
    expires_at: Timestamp,
}

/// The digest of a verifier: SHA-256 in 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

// === impl Challenge ===

impl Challenge {
    pub fn parse(text: &str) -> Option<Self> {
        let is_digest = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_digest.then(|| Self(text.to_owned()))
    }

    fn of(verifier: &str) -> Self {
        let digest = Sha256::digest(verifier.as_bytes());
        Self(digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        }))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl SignInCodes ===

impl SignInCodes {
    fn add(&self, approver: Requester, challenge: Challenge, now: Timestamp) -> Result<String, ServiceError> {
        let code = Alphanumeric.sample_string(&mut rand::rng(), CODE_LENGTH);
        let mut waiting = self.0.lock();
        // Who confirms once more has lost the first one, and nobody fills the table alone.
        waiting.retain(|other| other.expires_at > now && other.approver.token_id != approver.token_id);
        if waiting.len() >= WAITING {
            return Err(ServiceError::Busy);
        }
        waiting.push(Waiting {
            code: Sha256::digest(code.as_bytes()).into(),
            challenge,
            approver,
            expires_at: now.plus(LIFETIME),
        });
        Ok(code)
    }

    /// Whoever confirmed. The code is gone, also if the verifier is wrong.
    fn take(&self, code: &str, verifier: &str, now: Timestamp) -> Option<Requester> {
        let code: [u8; 32] = Sha256::digest(code.as_bytes()).into();
        let found = {
            let mut waiting = self.0.lock();
            let position = waiting.iter().position(|other| other.code == code)?;
            waiting.swap_remove(position)
        };
        let given = Challenge::of(verifier);
        let is_right: bool = given.0.as_bytes().ct_eq(found.challenge.0.as_bytes()).into();
        (is_right && found.expires_at > now).then_some(found.approver)
    }
}

// === impl Services ===

impl Services {
    /// A code for the command line whose challenge this is, by the word of the caller.
    pub fn offer_session(&self, caller: &Requester, challenge: Challenge) -> Result<String, ServiceError> {
        self.sign_in_codes
            .add(caller.clone(), challenge, self.clock.now())
    }

    /// The session that a code was given for.
    pub async fn redeem_session(
        &self,
        code: &str,
        verifier: &str,
        source: &Source,
    ) -> Result<ApiToken, ServiceError> {
        let approver = self
            .sign_in_codes
            .take(code, verifier, self.clock.now())
            .ok_or_else(|| {
                ServiceError::Unauthenticated(
                    "this sign-in was not confirmed, has been used, or was confirmed too long ago; start again"
                        .to_owned(),
                )
            })?;
        // The command line signs in, not the browser.
        let caller = Requester {
            principal: approver.principal,
            source: source.clone(),
        };
        self.create_session(&caller, "me").await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gateway_core::{Principal, Roles, Scopes, TokenKind, UserId};

    use super::*;

    fn requester() -> Requester {
        let token = ApiToken::generate(&mut rand::rng());
        Requester {
            principal: Arc::new(Principal {
                token_id: token.id(),
                token_kind: TokenKind::Session,
                scopes: Scopes::all(),
                expires_at: Timestamp::MAX,
                user_id: UserId::generate(),
                username: "alice".to_owned(),
                roles: Roles::new([]),
                is_service_account: false,
            }),
            source: Source::new(None, None),
        }
    }

    #[test]
    fn a_code_is_good_once_for_a_minute_and_with_its_verifier() {
        let codes = SignInCodes::default();
        let start = Timestamp::from_micros(0);
        let (in_time, too_late) = (start.plus(Duration::from_secs(59)), start.plus(LIFETIME));
        let add = || codes.add(requester(), Challenge::of("v"), start).unwrap();
        let code = add();
        assert!(codes.take(&code, "v", in_time).is_some());
        assert!(codes.take(&code, "v", in_time).is_none(), "once");
        let code = add();
        assert!(codes.take(&code, "w", in_time).is_none());
        assert!(
            codes.take(&code, "v", in_time).is_none(),
            "a wrong guess is the last"
        );
        assert!(codes.take(&add(), "v", too_late).is_none());
        assert!(codes.take("", "v", in_time).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let codes = SignInCodes::default();
        let start = Timestamp::from_micros(0);
        let alice = requester();
        let first = codes.add(alice.clone(), Challenge::of("v"), start).unwrap();
        codes.add(alice, Challenge::of("v"), start).unwrap();
        assert!(codes.take(&first, "v", start).is_none(), "one a session");
        for _ in 1..WAITING {
            codes.add(requester(), Challenge::of("v"), start).unwrap();
        }
        assert!(codes.add(requester(), Challenge::of("v"), start).is_err());
        assert!(
            codes
                .add(requester(), Challenge::of("v"), start.plus(LIFETIME))
                .is_ok()
        );
        assert_eq!(codes.0.lock().len(), 1);
    }

    #[test]
    fn challenges() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Challenge::of("").as_str(), empty);
        assert_eq!(Challenge::parse(empty), Some(Challenge::of("")));
        for bad in ["", &empty[1..], &empty.to_uppercase(), &"g".repeat(64)] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }
}
