//! Which header says who asks, and whose provider credential a request uses.
//!
//! Pure text in, plan out. The plan names the gateway tokens to verify and the caller's own credential, if any;
//! whether a token is alive is for the caller to find out. What of a credential header is not in the plan is
//! never forwarded.

use crate::mask::mask;
use crate::secret::Secret;
use crate::token::{ApiToken, hides_token};

/// The credential headers of a request, as text. A header that is not there, or empty, is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// `X-Coder-AI-Governance-Token`
    pub governance: Option<&'a str>,
    /// `Authorization`
    pub authorization: Option<&'a str>,
    /// `X-Api-Key`
    pub x_api_key: Option<&'a str>,
}

/// What to do with them.
#[derive(Debug)]
pub struct Plan {
    /// The gateway tokens that may say who asks: one is enough, but two of different users are refused.
    /// Empty: nobody can be authenticated.
    pub candidates: Vec<ApiToken>,
    /// The caller's own provider credential; none means the organisation's key.
    pub own: Option<OwnCredential>,
}

/// A provider credential that the caller brought, to be sent in the header it came in, unchanged.
#[derive(Clone, Debug)]
pub struct OwnCredential {
    pub header: CredentialHeader,
    pub value: Secret,
}

/// The headers in which providers take a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialHeader {
    Authorization,
    XApiKey,
}

/// The header that carries the gateway token when the caller brings a credential of its own.
pub const GOVERNANCE_HEADER: &str = "x-coder-ai-governance-token";

// === impl Plan ===

impl Plan {
    /// The governance header, if present, alone decides who asks; only then can there be an own credential.
    /// Otherwise `Authorization` and `X-Api-Key` are looked at, and what is in them goes nowhere.
    pub fn new(presented: Presented<'_>) -> Self {
        if let Some(governance) = presented.governance {
            return Self {
                candidates: parse(governance).into_iter().collect(),
                own: own_credential(presented),
            };
        }
        let mut candidates: Vec<ApiToken> = Vec::with_capacity(2);
        let bearer_token = presented.authorization.and_then(bearer).and_then(parse);
        let key_token = presented.x_api_key.and_then(parse);
        for token in [bearer_token, key_token].into_iter().flatten() {
            if candidates.iter().all(|known| known.expose() != token.expose()) {
                candidates.push(token);
            }
        }
        Self {
            candidates,
            own: None,
        }
    }
}

impl OwnCredential {
    /// The credential masked, without its scheme.
    pub fn hint(&self) -> String {
        let value = self.value.expose();
        mask(bearer(value).unwrap_or(value))
    }
}

impl CredentialHeader {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::XApiKey => "x-api-key",
        }
    }
}

/// `X-Api-Key` wins over `Authorization`. Anything that holds a text of token shape, dead or alive, is no
/// credential of a provider and must not reach one.
fn own_credential(presented: Presented<'_>) -> Option<OwnCredential> {
    let own = |header, value: Option<&str>| {
        value
            .filter(|value| !value.trim().is_empty() && !hides_token(value.as_bytes()))
            .map(|value| OwnCredential {
                header,
                value: Secret::new(value),
            })
    };
    own(CredentialHeader::XApiKey, presented.x_api_key)
        .or_else(|| own(CredentialHeader::Authorization, presented.authorization))
}

/// The token of a `Bearer` credential: two words, the scheme in any case (RFC 6750, section 2.1).
fn bearer(value: &str) -> Option<&str> {
    let mut words = value.split_ascii_whitespace();
    let (scheme, token) = (words.next()?, words.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && words.next().is_none()).then_some(token)
}

fn parse(text: &str) -> Option<ApiToken> {
    ApiToken::parse(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn token(seed: u64) -> String {
        ApiToken::generate(&mut StdRng::seed_from_u64(seed))
            .expose()
            .to_owned()
    }

    fn plan(
        governance: Option<&str>,
        authorization: Option<&str>,
        x_api_key: Option<&str>,
    ) -> (Vec<String>, String) {
        let plan = Plan::new(Presented {
            governance,
            authorization,
            x_api_key,
        });
        let own = plan.own.map_or_else(String::new, |own| {
            format!("{}={}", own.header.as_str(), own.value.expose())
        });
        (
            plan.candidates
                .iter()
                .map(|token| token.expose().to_owned())
                .collect(),
            own,
        )
    }

    #[test]
    fn central_requests() {
        let (a, b) = (token(1), token(2));
        let bearer = format!("bEaReR  {a}");
        assert_eq!(plan(None, Some(&bearer), None), (vec![a.clone()], String::new()));
        assert_eq!(plan(None, None, Some(&a)), (vec![a.clone()], String::new()));
        assert_eq!(
            plan(None, Some(&bearer), Some(&a)),
            (vec![a.clone()], String::new()),
            "the same twice"
        );
        assert_eq!(
            plan(None, Some(&bearer), Some(&b)),
            (vec![a.clone(), b], String::new())
        );
        assert_eq!(
            plan(None, Some("Bearer sk-1"), Some(&a)),
            (vec![a], String::new()),
            "the other is dropped"
        );
        assert_eq!(
            plan(None, Some("Bearer sk-1"), Some("sk-ant-1")),
            (vec![], String::new())
        );
        assert_eq!(plan(None, None, None), (vec![], String::new()));
    }

    #[test]
    fn the_governance_header_alone_decides() {
        let (a, b) = (token(1), token(2));
        assert_eq!(plan(Some("wrong"), None, Some(&a)), (vec![], String::new()));
        assert_eq!(
            plan(Some(""), None, Some(&a)),
            (vec![], String::new()),
            "empty is present, and wrong"
        );
        assert_eq!(
            plan(Some(&a), None, Some("sk-ant-1")),
            (vec![a.clone()], "x-api-key=sk-ant-1".into())
        );
        assert_eq!(
            plan(Some(&a), Some("Bearer x"), None),
            (vec![a.clone()], "authorization=Bearer x".into())
        );
        assert_eq!(
            plan(Some(&a), Some("Bearer x"), Some("k")),
            (vec![a.clone()], "x-api-key=k".into())
        );
        assert_eq!(
            plan(Some(&a), None, None),
            (vec![a.clone()], String::new()),
            "no own one: central"
        );
        assert_eq!(
            plan(Some(&a), Some("Bearer x"), Some(&b)),
            (vec![a], "authorization=Bearer x".into())
        );
    }

    #[test]
    fn nothing_of_token_shape_is_an_own_credential() {
        use base64::Engine as _;
        let (a, b) = (token(1), token(2));
        let mut dead = b.clone();
        dead.replace_range(42..43, if b.ends_with('0') { "1" } else { "0" });
        let basic = format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(format!("coder:{b}"))
        );
        for value in [
            b.clone(),
            format!("Bearer {b}"),
            dead,
            basic,
            format!("Bearer {}", b.replace('_', "%5F")),
        ] {
            assert_eq!(
                plan(Some(&a), Some(&value), None),
                (vec![a.clone()], String::new()),
                "{value}"
            );
            assert_eq!(
                plan(Some(&a), None, Some(&value)),
                (vec![a.clone()], String::new()),
                "{value}"
            );
        }
    }
}
