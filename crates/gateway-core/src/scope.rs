//! What a token may be used for, whatever its owner may do.

use std::fmt;
use std::str::FromStr;

/// One scope of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything that the owner may do.
    All,
    /// Calling models through the gateway, and nothing else.
    Aibridge,
}

/// The scopes of a token: at least one, in a fixed order, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(Vec<Scope>);

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope {name:?}; scopes are all and aibridge")]
pub struct UnknownScope {
    pub name: String,
}

// === impl Scope ===

impl Scope {
    pub const ALL: [Self; 2] = [Self::All, Self::Aibridge];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Aibridge => "aibridge",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    /// Takes the plain names and, as older clients send them, the ones with the prefix `coder:`.
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        match text.strip_prefix("coder:").unwrap_or(text) {
            "all" => Ok(Self::All),
            "aibridge" => Ok(Self::Aibridge),
            _ => Err(UnknownScope {
                name: text.chars().take(64).collect(),
            }),
        }
    }
}

// === impl Scopes ===

impl Scopes {
    pub fn all() -> Self {
        Self(vec![Scope::All])
    }

    /// From any list; an empty one means everything, as in a request that names none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut list: Vec<Scope> = scopes.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        if list.is_empty() { Self::all() } else { Self(list) }
    }

    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// May call models.
    pub fn allows_models(&self) -> bool {
        self.0
            .iter()
            .any(|scope| matches!(scope, Scope::All | Scope::Aibridge))
    }

    /// May use the REST API and the dashboard.
    pub fn allows_management(&self) -> bool {
        self.0.contains(&Scope::All)
    }
}

impl fmt::Display for Scopes {
    /// The names with commas, as the store keeps them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    /// An empty text is refused: what the store holds always names a scope.
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split(',')
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_round_trip() {
        let scopes: Scopes = "aibridge,coder:all,aibridge".parse().unwrap();
        assert_eq!(scopes.to_string(), "all,aibridge");
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
        assert_eq!(Scopes::new([]), Scopes::all());
        for bad in ["", "workspace:read", "all,", "ALL"] {
            assert!(bad.parse::<Scopes>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_aibridge_token_can_call_models_and_nothing_else() {
        let scopes = Scopes::new([Scope::Aibridge]);
        assert!(scopes.allows_models());
        assert!(!scopes.allows_management());
    }
}
