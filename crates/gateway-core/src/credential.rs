//! Which header says who asks, and whose provider credential a request uses.
//!
//! Pure text in, plan out. The plan names the gateway tokens to verify and the caller's own credential, if any;
//! whether a token is alive is for the caller to find out. What of a credential header is not in the plan is
//! never forwarded.

use crate::mask::mask;
use crate::provider::ProviderKind;
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
    pub asker: Asker,
    /// The caller's own provider credential; none means the organisation's key.
    pub own: Option<OwnCredential>,
}

/// Which gateway tokens say who asks.
#[derive(Debug)]
pub enum Asker {
    /// One living token of these is enough, but two of different users are refused. Empty: nobody can be authenticated.
    AnyOf(Vec<ApiToken>),
    /// The owner of `token`, which must be alive. Of the others, which stand in the request itself, dead ones mean
    /// nothing, and a living one of another user is refused.
    Proxy { token: ApiToken, others: Vec<ApiToken> },
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

/// What a client may have for its provider's key in order to use the organisation's: as `Bearer coder-aibridge` or in
/// `X-Api-Key`. Claude Code and the SDKs insist on some key being set before they send anything, and through the proxy
/// they authenticate by the proxy's address, so that there has to be a value that means nothing.
pub const PLACEHOLDER_KEY: &str = "coder-aibridge";

// === impl Plan ===

impl Plan {
    /// For a request to a path of the gateway. The governance header, if present, alone decides who asks; only then can
    /// there be an own credential. Otherwise `Authorization` and `X-Api-Key` are looked at, and what is in them goes
    /// nowhere.
    pub fn new(kind: ProviderKind, presented: Presented<'_>) -> Self {
        if let Some(governance) = presented.governance {
            return Self {
                asker: Asker::AnyOf(parse(governance).into_iter().collect()),
                own: own_credential(kind, presented),
            };
        }
        Self {
            asker: Asker::AnyOf(presented.tokens()),
            own: None,
        }
    }

    /// For a request to the provider's own address that came through the proxy, which was given `token`. A client is
    /// set up there as it would be without a gateway, so whatever can be its own credential is.
    pub fn through_proxy(kind: ProviderKind, presented: Presented<'_>, token: &ApiToken) -> Self {
        let mut others = presented.tokens();
        others.retain(|other| other.expose() != token.expose());
        Self {
            asker: Asker::Proxy {
                token: token.clone(),
                others,
            },
            own: own_credential(kind, presented),
        }
    }
}

impl Presented<'_> {
    /// The gateway tokens in the headers, each once.
    fn tokens(self) -> Vec<ApiToken> {
        let mut tokens: Vec<ApiToken> = Vec::with_capacity(3);
        let found = [
            self.governance.and_then(parse),
            self.authorization.and_then(bearer).and_then(parse),
            self.x_api_key.and_then(parse),
        ];
        for token in found.into_iter().flatten() {
            if tokens.iter().all(|known| known.expose() != token.expose()) {
                tokens.push(token);
            }
        }
        tokens
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
/// credential of a provider and must not reach one; nor does the placeholder, or a scheme with nothing behind it.
fn own_credential(kind: ProviderKind, presented: Presented<'_>) -> Option<OwnCredential> {
    let key = presented
        .x_api_key
        .filter(|key| kind.takes(CredentialHeader::XApiKey) && key.trim() != PLACEHOLDER_KEY);
    let authorization = presented.authorization.filter(|value| {
        !value.trim().eq_ignore_ascii_case("bearer") && bearer(value) != Some(PLACEHOLDER_KEY)
    });
    let own = |header, value: Option<&str>| {
        value
            .filter(|value| !value.trim().is_empty() && !hides_token(value.as_bytes()))
            .map(|value| OwnCredential {
                header,
                value: Secret::new(value),
            })
    };
    own(CredentialHeader::XApiKey, key).or_else(|| own(CredentialHeader::Authorization, authorization))
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
        let plan = Plan::new(
            ProviderKind::Anthropic,
            Presented {
                governance,
                authorization,
                x_api_key,
            },
        );
        let Asker::AnyOf(candidates) = &plan.asker else {
            panic!("no proxy was involved");
        };
        (texts(candidates), own(&plan))
    }

    fn texts(tokens: &[ApiToken]) -> Vec<String> {
        tokens.iter().map(|token| token.expose().to_owned()).collect()
    }

    fn own(plan: &Plan) -> String {
        plan.own.as_ref().map_or_else(String::new, |own| {
            format!("{}={}", own.header.as_str(), own.value.expose())
        })
    }

    /// The tokens beside that of the proxy, which is `token(1)`, and the own credential.
    fn proxied(
        kind: ProviderKind,
        governance: Option<&str>,
        authorization: Option<&str>,
        x_api_key: Option<&str>,
    ) -> (Vec<String>, String) {
        let presented = Presented {
            governance,
            authorization,
            x_api_key,
        };
        let proxy = ApiToken::parse(&token(1)).unwrap();
        let plan = Plan::through_proxy(kind, presented, &proxy);
        let Asker::Proxy { token, others } = &plan.asker else {
            panic!("the proxy says who asks");
        };
        assert_eq!(token.expose(), proxy.expose());
        (texts(others), own(&plan))
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
    fn through_the_proxy_whatever_can_be_a_credential_is_the_callers_own() {
        use ProviderKind::{Anthropic, OpenAi};
        let a = token(1);
        let bearer = format!("Bearer {a}");
        let none = (vec![], String::new());
        let central: [(Option<&str>, Option<&str>); 11] = [
            (None, None),
            (Some(""), Some(" ")),
            (Some("Bearer"), None),
            (Some("bearer "), None),
            (Some(&bearer), None),
            (None, Some(&a)),
            (Some("Bearer coder-aibridge"), None),
            (Some("bearer  coder-aibridge"), None),
            (None, Some("coder-aibridge")),
            (Some("Bearer coder-aibridge"), Some("coder-aibridge")),
            (Some(&bearer), Some("coder-aibridge")),
        ];
        for (authorization, key) in central {
            let found = proxied(Anthropic, None, authorization, key);
            assert_eq!(found, none, "{authorization:?} {key:?}");
        }
        for (authorization, key, own) in [
            (None, Some("sk-ant-1"), "x-api-key=sk-ant-1"),
            (Some("Bearer sk-1"), None, "authorization=Bearer sk-1"),
            (Some("Bearer sk-1"), Some("sk-ant-1"), "x-api-key=sk-ant-1"),
            (Some(bearer.as_str()), Some("sk-ant-1"), "x-api-key=sk-ant-1"),
            (Some("Bearer coder-aibridge"), Some("k"), "x-api-key=k"),
            (
                Some("Bearer sk-1"),
                Some("coder-aibridge"),
                "authorization=Bearer sk-1",
            ),
            (Some("Bearer sk-1"), Some(a.as_str()), "authorization=Bearer sk-1"),
            // Not exactly the placeholder.
            (Some("coder-aibridge"), None, "authorization=coder-aibridge"),
            (
                Some("Bearer Coder-AIBridge"),
                None,
                "authorization=Bearer Coder-AIBridge",
            ),
            (None, Some("coder-aibridge2"), "x-api-key=coder-aibridge2"),
            (
                None,
                Some("Bearer coder-aibridge"),
                "x-api-key=Bearer coder-aibridge",
            ),
            (
                Some("Basic Zm9vOmJhcg=="),
                None,
                "authorization=Basic Zm9vOmJhcg==",
            ),
        ] {
            let found = proxied(OpenAi, None, authorization, key);
            assert_eq!(found, (vec![], own.to_owned()), "{authorization:?} {key:?}");
        }
    }

    #[test]
    fn through_the_proxy_tokens_in_the_request_are_there_to_be_compared() {
        let kind = ProviderKind::Anthropic;
        let (a, b, c, d) = (token(1), token(2), token(3), token(4));
        let bearer = format!("Bearer {b}");
        assert_eq!(
            proxied(kind, Some(&d), Some(&bearer), Some(&c)),
            (vec![d.clone(), b.clone(), c], String::new())
        );
        assert_eq!(
            proxied(kind, Some(&b), Some(&bearer), Some(&b)),
            (vec![b.clone()], String::new()),
            "the same three times"
        );
        assert_eq!(
            proxied(kind, Some(&a), Some("Bearer sk-1"), Some(&a)),
            (vec![], "authorization=Bearer sk-1".into()),
            "the proxy's own token is not looked at twice"
        );
        assert_eq!(
            proxied(kind, Some("nonsense"), None, Some("sk-ant-1")),
            (vec![], "x-api-key=sk-ant-1".into()),
            "the header is dropped, and decides nothing"
        );
    }

    #[test]
    fn copilot_takes_a_bearer_only() {
        let a = token(1);
        let presented = Presented {
            governance: Some(&a),
            authorization: Some("Bearer gho_1"),
            x_api_key: Some("dummy"),
        };
        let plan = Plan::new(ProviderKind::Copilot, presented);
        assert_eq!(own(&plan), "authorization=Bearer gho_1");
        let found = proxied(ProviderKind::Copilot, None, Some("Bearer gho_1"), Some("dummy"));
        assert_eq!(found, (vec![], "authorization=Bearer gho_1".into()));
        let found = proxied(ProviderKind::Copilot, None, None, Some("dummy"));
        assert_eq!(found, (vec![], String::new()));
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
            for (authorization, key) in [(Some(&*value), None), (None, Some(&*value))] {
                let (_, own) = proxied(ProviderKind::Anthropic, None, authorization, key);
                assert_eq!(own, "", "{value}");
            }
        }
    }
}
