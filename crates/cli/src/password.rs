//! Passwords that the command line makes itself.

use gateway_core::Secret;
use rand::RngExt as _;

/// Without characters that look alike.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 20 of 56 characters are 116 bits.
const LENGTH: usize = 20;

/// A new random password that is easy to read and hard to guess.
pub(crate) fn generate() -> Secret {
    let mut rng = rand::rng();
    let text: String = (0..LENGTH)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect();
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_accepted_and_differ() {
        let (one, other) = (generate(), generate());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(gateway_core::password::check_strength(&one, &[]), Ok(()));
        assert!(one.expose().bytes().all(|b| ALPHABET.contains(&b)));
    }
}
