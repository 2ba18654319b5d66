//! Passwords: how strong they must be, how they are hashed and compared.
//!
//! Hashing takes tens of milliseconds and megabytes on purpose. Callers run it off the async threads with a
//! bound on how many run at once; nothing here does that for them.

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::RngExt as _;

use crate::secret::Secret;

/// Shortest and longest password, in characters.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Of passwords that are made here, without characters that look alike.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 20 of 56 characters are 116 bits.
const GENERATED_LENGTH: usize = 20;

/// Memory, passes and lanes: the first recommendation of OWASP's password storage page for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Why a new password is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("a password has 8 to 128 characters")]
    Length,
    #[error("this password is too easy to guess; use a longer one, for example several unrelated words")]
    Guessable,
}

/// A password could not be hashed, or a stored hash could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("password hashing failed: {0}")]
pub struct HashError(String);

/// Refuses passwords that are too short, too long, or score below 3 of 4 with zxcvbn, which is told the user's
/// own names so that they count as guessable.
pub fn check_strength(password: &Secret, own_names: &[&str]) -> Result<(), WeakPassword> {
    if !LENGTH.contains(&password.expose().chars().count()) {
        return Err(WeakPassword::Length);
    }
    if zxcvbn::zxcvbn(password.expose(), own_names).score() < zxcvbn::Score::Three {
        return Err(WeakPassword::Guessable);
    }
    Ok(())
}

/// A new random password that is easy to read and hard to guess.
pub fn generate(rng: &mut impl rand::CryptoRng) -> Secret {
    let text: String = (0..GENERATED_LENGTH)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect();
    Secret::new(text)
}

/// Hashes with Argon2id and a random salt, into the PHC text form that the store keeps.
pub fn hash(password: &Secret) -> Result<String, HashError> {
    hasher()
        .hash_password(password.expose().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| HashError(error.to_string()))
}

/// Compares a password with a stored hash. Without a stored hash (unknown user, service account) it does the same
/// work against a fixed one and says no, so that the time tells nothing.
pub fn verify(password: &Secret, stored: Option<&str>) -> Result<bool, HashError> {
    let text = stored.unwrap_or(NOBODY);
    let parsed = PasswordHash::new(text).map_err(|error| HashError(error.to_string()))?;
    let matches = hasher()
        .verify_password(password.expose().as_bytes(), &parsed)
        .is_ok();
    Ok(matches && stored.is_some())
}

/// The hash of a password that nobody knows, made with the parameters above.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$UmFuZG9tU2FsdFZhbHVl$\
                      u3pX2Nq0b1m9kJ7c5yQe8aVtR4wL6sZxF1oHnGdPiAk";

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_accepted_and_differ() {
        let (one, other) = (generate(&mut rand::rng()), generate(&mut rand::rng()));
        assert_ne!(one.expose(), other.expose());
        assert_eq!(check_strength(&one, &[]), Ok(()));
        assert!(one.expose().bytes().all(|b| ALPHABET.contains(&b)));
    }

    #[test]
    fn round_trip() {
        let password = Secret::new("correct horse battery staple");
        let stored = hash(&password).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&password, Some(&stored)).unwrap());
        assert!(!verify(&Secret::new("correct horse battery stable"), Some(&stored)).unwrap());
        assert_ne!(stored, hash(&password).unwrap(), "salts differ");
    }

    #[test]
    fn nobody_has_no_password_but_the_same_parameters() {
        assert!(!verify(&Secret::new("anything"), None).unwrap());
        let known = hash(&Secret::new("anything")).unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(NOBODY), parameters(&known));
        assert!(verify(&Secret::new("x"), Some("not a hash")).is_err());
    }

    #[test]
    fn strength() {
        let check = |password: &str| check_strength(&Secret::new(password), &["alice", "alice@example.com"]);
        assert_eq!(check("short"), Err(WeakPassword::Length));
        assert_eq!(check(&"x7#".repeat(50)), Err(WeakPassword::Length));
        assert_eq!(check("password1234"), Err(WeakPassword::Guessable));
        assert_eq!(check("alice@example.com"), Err(WeakPassword::Guessable));
        assert_eq!(check("correct horse battery staple"), Ok(()));
    }
}
