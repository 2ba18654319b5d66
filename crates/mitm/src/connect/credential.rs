//! The value of a `Proxy-Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use gateway_core::ApiToken;
use gateway_core::token::InvalidToken;

/// Why a credential is none. Says nothing of what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    #[error("the proxy's credential must be Basic or Bearer")]
    Scheme,
    #[error("the proxy's Basic credential cannot be decoded")]
    Basic,
    #[error("the proxy's password is no gateway token: {0}")]
    Token(#[from] InvalidToken),
}

/// The gateway token in a proxy credential: the password of `Basic`, whatever the user's name is (RFC 7617), or the
/// whole of `Bearer` (RFC 6750). Form and checksum of the token are checked, nothing is looked up.
pub fn proxy_token(value: &[u8]) -> Result<ApiToken, InvalidCredential> {
    let value = std::str::from_utf8(value).map_err(|_| InvalidCredential::Scheme)?;
    let (scheme, credential) = value.split_once(' ').ok_or(InvalidCredential::Scheme)?;
    // One or more spaces stand between them (RFC 9110, section 11.4).
    let credential = credential.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(ApiToken::parse(credential)?);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(InvalidCredential::Scheme);
    }
    let decoded = if credential.ends_with('=') {
        STANDARD.decode(credential)
    } else {
        // Some clients leave the padding out.
        STANDARD_NO_PAD.decode(credential)
    };
    let decoded = decoded.map_err(|_| InvalidCredential::Basic)?;
    let decoded = std::str::from_utf8(&decoded).map_err(|_| InvalidCredential::Basic)?;
    let (_, password) = decoded.split_once(':').ok_or(InvalidCredential::Basic)?;
    Ok(ApiToken::parse(password)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn the_password_counts_and_the_user_does_not() {
        let token = ApiToken::generate(&mut rand::rng());
        let token = token.expose();
        for value in [
            basic(&format!("coder:{token}")),
            basic(&format!(":{token}")),
            basic(&format!("Ünal:{token}")),
            basic(&format!("coder:{token}")).replace("Basic", "bAsIc"),
            basic(&format!("coder:{token}")).replace("Basic ", "Basic   "),
            basic(&format!("coder:{token}")).replace('=', ""),
            format!("Bearer {token}"),
            format!("bearer  {token}"),
        ] {
            assert_eq!(proxy_token(value.as_bytes()).unwrap().expose(), token, "{value}");
        }
    }

    #[test]
    fn what_holds_no_token_is_refused_with_the_reason() {
        let token = ApiToken::generate(&mut rand::rng());
        let token = token.expose();
        let mut wrong = token.to_owned();
        let last = if wrong.pop() == Some('a') { 'b' } else { 'a' };
        wrong.push(last);
        for (value, reason) in [
            (String::new(), InvalidCredential::Scheme),
            ("Basic".into(), InvalidCredential::Scheme),
            (token.into(), InvalidCredential::Scheme),
            (format!("Digest {token}"), InvalidCredential::Scheme),
            ("Basic !!!".into(), InvalidCredential::Basic),
            (basic(token), InvalidCredential::Basic),
            (
                format!("Basic {}", STANDARD.encode([0xff, b':'])),
                InvalidCredential::Basic,
            ),
            (basic("coder:"), InvalidCredential::Token(InvalidToken::Form)),
            (
                basic("coder:hunter2"),
                InvalidCredential::Token(InvalidToken::Form),
            ),
            (
                basic(&format!("{token}:")),
                InvalidCredential::Token(InvalidToken::Form),
            ),
            (
                basic(&format!("coder:{wrong}")),
                InvalidCredential::Token(InvalidToken::Checksum),
            ),
            (
                format!("Bearer {wrong}"),
                InvalidCredential::Token(InvalidToken::Checksum),
            ),
        ] {
            let refused = proxy_token(value.as_bytes()).unwrap_err();
            assert_eq!(refused, reason, "{value}");
            assert!(!refused.to_string().contains("cdr_"));
        }
    }
}
