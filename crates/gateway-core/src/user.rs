//! Users and service accounts, and the rules for what they may be called.

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::role::Roles;

/// Somebody, or something, that can hold tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub username: String,
    /// None for a service account, which has no password either.
    pub email: Option<String>,
    /// The full name, possibly empty.
    pub name: String,
    pub roles: Roles,
    pub status: UserStatus,
    pub is_service_account: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
}

/// Whether the tokens of a user are honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserStatus {
    Active,
    /// Every token is refused until the user is activated again.
    Suspended,
}

/// Why a name is refused. The message says which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a username has 1 to 32 letters and digits, with single hyphens between them")]
    Username,
    #[error("this username is reserved")]
    ReservedUsername,
    #[error("not an e-mail address")]
    Email,
    #[error("a full name has at most 128 characters, none of them a control character")]
    FullName,
    #[error("a token name has 1 to 64 characters, no control character and no slash")]
    TokenName,
    #[error("this token name is reserved")]
    ReservedTokenName,
    #[error("no name or address can have characters that change the direction of writing")]
    Direction,
}

/// Names that stand for something else where a username can stand in a path.
const RESERVED_USERNAMES: [&str; 9] = [
    "me",
    "new",
    "create",
    "first",
    "login",
    "logout",
    "roles",
    "authmethods",
    "otp",
];

/// Path segments beside token names in the REST API, and what would change the meaning of a path.
const RESERVED_TOKEN_NAMES: [&str; 3] = ["tokenconfig", ".", ".."];

/// The longest address that SMTP can deliver to (RFC 5321, section 4.5.3.1.3).
const EMAIL_MAX: usize = 254;

// === impl UserStatus ===

impl UserStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl fmt::Display for UserStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UserStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            other => Err(format!("unknown user status {other:?}")),
        }
    }
}

/// 1 to 32 ASCII letters and digits with single inner hyphens; not a word that the API's paths use.
pub fn check_username(name: &str) -> Result<(), InvalidName> {
    let well_formed = (1..=32).contains(&name.len())
        && name
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if !well_formed {
        return Err(InvalidName::Username);
    }
    if RESERVED_USERNAMES.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(InvalidName::ReservedUsername);
    }
    Ok(())
}

/// One `@` with something on both sides, no blank or control character, and none for the direction of writing. Whether
/// mail arrives is not ours to know.
pub fn check_email(email: &str) -> Result<(), InvalidName> {
    if !can_be_email(email) {
        return Err(InvalidName::Email);
    }
    check_direction(email)
}

/// Whether an address can be anybody's, also of those that were taken before there were more rules.
pub fn can_be_email(email: &str) -> bool {
    let plain = email.len() <= EMAIL_MAX && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    email.rsplit_once('@').is_some_and(|(local, domain)| {
        plain && !local.is_empty() && !domain.is_empty() && !local.contains('@')
    })
}

pub fn check_full_name(name: &str) -> Result<(), InvalidName> {
    if name.chars().count() > 128 || name.chars().any(char::is_control) {
        return Err(InvalidName::FullName);
    }
    check_direction(name)
}

/// The marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX #9, section 2): with them a
/// name can be shown as another, and what stands after it, too.
fn check_direction(name: &str) -> Result<(), InvalidName> {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.contains(turns) {
        return Err(InvalidName::Direction);
    }
    Ok(())
}

pub fn check_token_name(name: &str) -> Result<(), InvalidName> {
    let length = name.chars().count();
    if !(1..=64).contains(&length) || name.chars().any(|c| c.is_control() || c == '/') {
        return Err(InvalidName::TokenName);
    }
    if RESERVED_TOKEN_NAMES.contains(&name) {
        return Err(InvalidName::ReservedTokenName);
    }
    check_direction(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        for good in ["a", "Alice", "ci-bot-2", &"x".repeat(32)] {
            assert_eq!(check_username(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "a b",
            "a_b",
            "é",
            &"x".repeat(33),
            "me",
            "New",
            "LOGIN",
        ] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn emails() {
        for good in ["a@b", "first.last+tag@example.com", "ünï@exämple.com"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a @b",
            "a@b\n",
            &format!("{}@b", "x".repeat(260)),
        ] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn token_names() {
        for good in ["my-ai-token", "with blank", "ключ", &"x".repeat(64)] {
            assert_eq!(check_token_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a/b", "a\tb", "\u{7f}", &"x".repeat(65), "tokenconfig", ".."] {
            assert!(check_token_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_name_turns_the_writing_round() {
        for c in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
                .chars()
        {
            let name = format!("a{c}b");
            assert_eq!(check_full_name(&name), Err(InvalidName::Direction), "{c:?}");
            assert_eq!(check_token_name(&name), Err(InvalidName::Direction), "{c:?}");
            let email = format!("{name}@example.com");
            assert_eq!(check_email(&email), Err(InvalidName::Direction), "{c:?}");
            assert!(can_be_email(&email), "{c:?}");
        }
        // Written from right to left by their letters.
        assert_eq!(check_full_name("דנה كريم"), Ok(()));
    }
}
