//! Typed ids. A user is a UUID; a token is ten base62 characters that may be shown to anyone.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::token::is_base62;

/// The id of a user: UUID of version 7, so that id order is creation order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Uuid);

/// The public part of a token: found in every log line, never enough to authenticate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; TokenId::LENGTH]);

/// Text that is not an id of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    kind: &'static str,
}

/// What an id that is a UUID can do, but for how a new one is made.
macro_rules! uuid_id {
    ($name:ident, $kind:literal) => {
        impl $name {
            pub const fn from_uuid(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }

            pub const fn as_uuid(self) -> uuid::Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::id::InvalidId;

            /// Takes the hyphenated form only, so that one id has one spelling.
            fn from_str(text: &str) -> Result<Self, $crate::id::InvalidId> {
                let refused = $crate::id::InvalidId::new($kind);
                if text.len() != 36 {
                    return Err(refused);
                }
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| refused)
            }
        }
    };
}
pub(crate) use uuid_id;

// === impl InvalidId ===

impl InvalidId {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self { kind }
    }
}

// === impl UserId ===

impl UserId {
    /// A new id, ordered by the current time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

uuid_id!(UserId, "user");

// === impl TokenId ===

impl TokenId {
    pub const LENGTH: usize = 10;

    pub(crate) fn from_ascii(bytes: &[u8]) -> Option<Self> {
        let id = <[u8; Self::LENGTH]>::try_from(bytes).ok()?;
        id.iter().copied().all(is_base62).then_some(Self(id))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only base62 gets in")
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({})", self.as_str())
    }
}

impl FromStr for TokenId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::from_ascii(text.as_bytes()).ok_or(InvalidId { kind: "token" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_have_one_spelling() {
        let id = UserId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.as_uuid().simple().to_string().parse::<UserId>().is_err());
        assert!("me".parse::<UserId>().is_err());
    }

    #[test]
    fn token_ids_are_ten_base62_characters() {
        assert_eq!("0123456789".parse::<TokenId>().unwrap().as_str(), "0123456789");
        for bad in ["", "012345678", "01234567890", "012345678-", "012345678é"] {
            assert!(bad.parse::<TokenId>().is_err(), "{bad:?}");
        }
    }
}
