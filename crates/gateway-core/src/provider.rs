//! Which providers there can be and what an instance may be called.

use std::fmt;
use std::str::FromStr;

use crate::credential::CredentialHeader;

/// What an upstream speaks and how it is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// The Messages API; the base URL has no version.
    Anthropic,
    /// Chat Completions and Responses; the base URL ends in the version.
    OpenAi,
    /// The same wire format from somebody else.
    OpenAiCompat,
    /// GitHub Copilot, for its users' own credentials only: the OpenAI formats without a version, and the Messages API.
    Copilot,
}

/// The name of a provider instance, which is a segment of every client's base URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderName(String);

/// Why a provider's kind or name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    #[error("unknown provider type {0:?}; types are anthropic, openai, openai-compat and copilot")]
    Kind(String),
    #[error("{0:?} is not a provider name: lower-case letters and digits with single hyphens, 64 at most")]
    Name(String),
    #[error("the provider name {0:?} is taken by a management route")]
    Reserved(String),
}

/// Routes beside the providers under the same prefix.
const RESERVED_NAMES: [&str; 9] = [
    "interceptions",
    "sessions",
    "models",
    "clients",
    "providers",
    "proxy",
    "usage",
    "serve",
    "keys",
];

/// Whether a first segment under the prefix belongs to the REST API, so that no provider can have it for a name.
pub fn is_reserved(segment: &str) -> bool {
    RESERVED_NAMES.contains(&segment)
}

// === impl ProviderKind ===

impl ProviderKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::OpenAiCompat => "openai-compat",
            Self::Copilot => "copilot",
        }
    }

    /// Where requests go when no base URL is configured; a compatible provider has no such place.
    pub const fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("https://api.anthropic.com/"),
            Self::OpenAi => Some("https://api.openai.com/v1/"),
            Self::OpenAiCompat => None,
            // Of GitHub's three addresses the one for personal plans; the others are
            // https://api.business.githubcopilot.com/ and https://api.enterprise.githubcopilot.com/.
            Self::Copilot => Some("https://api.individual.githubcopilot.com/"),
        }
    }

    /// Whether the organisation can have a key for it, which all users share.
    pub const fn has_central_key(self) -> bool {
        !matches!(self, Self::Copilot)
    }

    /// Whether a credential of the caller's own is taken from this header. GitHub's tokens are bearer tokens, whatever
    /// else an SDK that speaks Messages sends along.
    pub const fn takes(self, header: CredentialHeader) -> bool {
        match header {
            CredentialHeader::Authorization => true,
            CredentialHeader::XApiKey => !matches!(self, Self::Copilot),
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ProviderKind {
    type Err = InvalidProvider;

    fn from_str(text: &str) -> Result<Self, InvalidProvider> {
        [Self::Anthropic, Self::OpenAi, Self::OpenAiCompat, Self::Copilot]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| InvalidProvider::Kind(text.to_owned()))
    }
}

// === impl ProviderName ===

impl ProviderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProviderName {
    type Err = InvalidProvider;

    fn from_str(text: &str) -> Result<Self, InvalidProvider> {
        let well_formed = text.len() <= 64
            && text.split('-').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
        if !well_formed {
            return Err(InvalidProvider::Name(text.to_owned()));
        }
        if is_reserved(text) {
            return Err(InvalidProvider::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["anthropic", "openai-eu-2", "a", "0"] {
            assert!(good.parse::<ProviderName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "a--b",
            "-a",
            "a-",
            "a/b",
            "a.b",
            "é",
            "models",
            "proxy",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<ProviderName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_round_trip() {
        for kind in ["anthropic", "openai", "openai-compat", "copilot"] {
            assert_eq!(kind.parse::<ProviderKind>().unwrap().as_str(), kind);
        }
        assert!("bedrock".parse::<ProviderKind>().is_err());
    }
}
