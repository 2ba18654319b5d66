//! Text that must not be seen: provider keys, passwords, whole tokens.
//!
//! There is no `Serialize`, no `Display`, and `Debug` says nothing but that a value is there. The memory is
//! overwritten when the value is dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text. Read it with [`Secret::expose`], which is easy to search for.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

// === impl Secret ===

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself. The caller answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk-ant-api03")), "[redacted]");
    }
}
