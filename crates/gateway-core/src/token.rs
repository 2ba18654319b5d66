//! API tokens: their form, their checksum, what is stored of them, and how to find one in a text.
//!
//! A token is `cdr_<id>_<secret><checksum>`: ten characters of public id, twenty-two of secret (131 bits), six
//! of CRC32 over all that stands before it. All three are base62, so a double click selects a token whole, a
//! scanner can recognise a leaked one, and garbage is refused before anything is looked up. The checksum is no
//! security: the secret's SHA-256 is compared in constant time by whoever holds the stored hash.

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use rand::distr::{Alphanumeric, SampleString as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::lifetime::Lifetime;
use crate::scope::Scopes;
use crate::secret::Secret;

const PREFIX: &str = "cdr_";
const SECRET_LENGTH: usize = 22;
const CHECKSUM_LENGTH: usize = 6;
const ID_START: usize = PREFIX.len();
const ID_END: usize = ID_START + TokenId::LENGTH;
const SECRET_START: usize = ID_END + 1;
const SECRET_END: usize = SECRET_START + SECRET_LENGTH;

/// The length of every token in bytes.
pub const TOKEN_LENGTH: usize = SECRET_END + CHECKSUM_LENGTH;

/// How often percent-encoding is taken off when looking for a token.
const DECODE_ROUNDS: usize = 4;

/// A token whose form and checksum are right. Whether it is alive only the store knows.
#[derive(Clone)]
pub struct ApiToken {
    text: Secret,
    id: TokenId,
}

/// SHA-256 of a token's secret part: what the store keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

/// SHA-256 of the whole token: the key of every cache, so that two tokens never share an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

/// A text that is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("not of the form of a gateway token")]
    Form,
    #[error("the checksum of the token is wrong; was it copied whole?")]
    Checksum,
}

/// What a token is for. Both kinds have one form and live in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Made by signing in; its expiry slides while it is used.
    Session,
    /// Made by name for a client; its expiry is fixed.
    Api,
}

/// A token as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    pub id: TokenId,
    pub user_id: UserId,
    pub secret_hash: SecretHash,
    pub kind: TokenKind,
    /// Unique among a user's API tokens; empty for sessions.
    pub name: String,
    pub scopes: Scopes,
    pub lifetime: Lifetime,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

// === impl ApiToken ===

impl ApiToken {
    /// A new token from the given generator, which must be cryptographically secure.
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut text = String::with_capacity(TOKEN_LENGTH);
        text.push_str(PREFIX);
        Alphanumeric.append_string(rng, &mut text, TokenId::LENGTH);
        text.push('_');
        Alphanumeric.append_string(rng, &mut text, SECRET_LENGTH);
        let sum = checksum(text.as_bytes());
        text.push_str(std::str::from_utf8(&sum).expect("base62 is ASCII"));
        let id = TokenId::from_ascii(&text.as_bytes()[ID_START..ID_END]).expect("base62 was put there");
        Self {
            text: Secret::new(text),
            id,
        }
    }

    /// Checks form and checksum; looks nothing up.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let bytes = text.as_bytes();
        if bytes.len() != TOKEN_LENGTH || !is_shape(bytes) {
            return Err(InvalidToken::Form);
        }
        if checksum(&bytes[..SECRET_END]) != bytes[SECRET_END..] {
            return Err(InvalidToken::Checksum);
        }
        let id = TokenId::from_ascii(&bytes[ID_START..ID_END]).ok_or(InvalidToken::Form)?;
        Ok(Self {
            text: Secret::new(text),
            id,
        })
    }

    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The whole token, for the one who is to receive it.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    pub fn secret_hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(&self.expose().as_bytes()[SECRET_START..SECRET_END]).into())
    }

    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.expose().as_bytes()).into())
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({PREFIX}{}_...)", self.id)
    }
}

// === impl SecretHash ===

impl SecretHash {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, presented: &Self) -> bool {
        self.0.ct_eq(&presented.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash([redacted])")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest([redacted])")
    }
}

// === impl TokenKind ===

impl TokenKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Api => "api",
        }
    }
}

impl std::str::FromStr for TokenKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "session" => Ok(Self::Session),
            "api" => Ok(Self::Api),
            other => Err(format!("unknown kind of token {other:?}")),
        }
    }
}

// === Finding tokens in other text ===

/// Where the first text of token shape stands, whatever its checksum.
pub fn find_shape(text: &[u8]) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&text[from..], PREFIX.as_bytes()) {
        let start = from + at;
        let end = start + TOKEN_LENGTH;
        if end > text.len() {
            return None;
        }
        if is_shape(&text[start..end]) {
            return Some(start..end);
        }
        from = start + 1;
    }
    None
}

/// The tokens with a right checksum in `text`, at most `limit` of them.
pub fn find_tokens(text: &[u8], limit: usize) -> Vec<ApiToken> {
    let mut tokens = Vec::new();
    let mut from = 0;
    while tokens.len() < limit
        && let Some(found) = find_shape(&text[from..])
    {
        let candidate = &text[from + found.start..from + found.end];
        tokens.extend(
            std::str::from_utf8(candidate)
                .ok()
                .and_then(|text| ApiToken::parse(text).ok()),
        );
        from += found.start + 1;
    }
    tokens
}

/// Whether a header value, path or query holds something of token shape: as it stands, percent-encoded (also
/// more than once), or inside the Base64 of a Basic credential.
pub fn hides_token(value: &[u8]) -> bool {
    contains_shape_decoded(value)
        || basic_credentials(value).is_some_and(|inner| contains_shape_decoded(&inner))
}

/// Replaces everything of token shape by `cdr_<id>_...`, for what is stored or logged.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = find_shape(rest.as_bytes()) {
        out.push_str(&rest[..found.start + SECRET_START]);
        out.push_str("...");
        rest = &rest[found.end..];
    }
    match torn_shape(rest) {
        Some(start) => {
            out.push_str(&rest[..start + SECRET_START]);
            out.push_str("...");
        }
        None => out.push_str(rest),
    }
    out
}

/// Where the text was cut within a token, behind the beginning of its secret.
fn torn_shape(text: &str) -> Option<usize> {
    let start = text.rfind(PREFIX)?;
    let tail = &text.as_bytes()[start..];
    let is_torn = tail.len() > SECRET_START
        && tail.len() < TOKEN_LENGTH
        && tail[ID_START..ID_END].iter().copied().all(is_base62)
        && tail[ID_END] == b'_'
        && tail[SECRET_START..].iter().copied().all(is_base62);
    is_torn.then_some(start)
}

fn contains_shape_decoded(value: &[u8]) -> bool {
    if find_shape(value).is_some() {
        return true;
    }
    let mut current = value.to_vec();
    for _ in 0..DECODE_ROUNDS {
        if !current.contains(&b'%') {
            return false;
        }
        let decoded: Vec<u8> = percent_encoding::percent_decode(&current).collect();
        if decoded == current {
            return false;
        }
        if find_shape(&decoded).is_some() {
            return true;
        }
        current = decoded;
    }
    false
}

/// What a `Basic` credential holds, if the value is one. Padding and the URL alphabet are taken as they come.
fn basic_credentials(value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (scheme, encoded) = text.split_once([' ', '\t'])?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain: String = encoded
        .chars()
        .filter(|c| !matches!(c, '=' | ' ' | '\t'))
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(plain)
        .ok()
}

pub(crate) fn is_base62(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// `text` has exactly the length of a token.
fn is_shape(text: &[u8]) -> bool {
    text.starts_with(PREFIX.as_bytes())
        && text[ID_START..ID_END].iter().copied().all(is_base62)
        && text[ID_END] == b'_'
        && text[SECRET_START..].iter().copied().all(is_base62)
}

/// CRC32 (IEEE) in base62, the most significant digit first. Six digits hold any 32-bit value.
fn checksum(text: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut value = crc32fast::hash(text);
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn token(seed: u64) -> ApiToken {
        ApiToken::generate(&mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn the_form_is_as_documented() {
        let token = token(1);
        let text = token.expose();
        assert_eq!(text.len(), 43);
        assert!(text.starts_with("cdr_"));
        assert_eq!(&text[4..14], token.id().as_str());
        assert_eq!(&text[14..15], "_");
        assert_eq!(format!("{token:?}"), format!("ApiToken(cdr_{}_...)", token.id()));
    }

    /// The checksum is part of the public form (scanners compute it), so it must never change.
    #[test]
    fn the_checksum_is_fixed() {
        assert_eq!(&checksum(b"cdr_0123456789_0123456789ABCDEFGHIJKL"), b"0IkVvR");
        assert_eq!(&checksum(b"123456789"), b"3jZRME");
    }

    #[test]
    fn tokens_are_found_wherever_they_hide() {
        let token = token(2);
        let text = token.expose();
        let encoded = percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
        let twice = percent_encode(encoded.as_bytes(), NON_ALPHANUMERIC).to_string();
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("coder:{text}"));
        let urlsafe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("coder:{text}"));
        for value in [
            text.to_owned(),
            format!("x{text}y"),
            format!("cdr_{text}"),
            format!("key={encoded}"),
            twice,
            format!("%63dr{}", &text[3..]),
            format!("Basic {basic}"),
            format!("bASIC  {urlsafe}"),
        ] {
            assert!(hides_token(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "cdr_",
            &text[..42],
            "Basic !!!",
            "Bearer sk-ant-api03",
            "%",
            "%zz",
        ] {
            assert!(!hides_token(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn redaction_keeps_the_id_and_drops_the_secret() {
        let token = token(3);
        let line = format!("a {} b {}", token.expose(), token.expose());
        let shown = format!("cdr_{}_...", token.id());
        assert_eq!(redact(&line), format!("a {shown} b {shown}"));
        assert_eq!(redact("nothing here"), "nothing here");
        // A text that was cut may end within a token.
        for length in SECRET_START..token.expose().len() {
            let beginning = &token.expose()[..length];
            let expected = if length == SECRET_START { beginning } else { &shown };
            assert_eq!(redact(&format!("a {beginning}")), format!("a {expected}"));
        }
        assert_eq!(redact("cdr_0123456789_abc d"), "cdr_0123456789_abc d");
    }

    proptest! {
        #[test]
        fn what_is_made_parses(seed: u64) {
            let made = token(seed);
            let parsed = ApiToken::parse(made.expose()).unwrap();
            prop_assert_eq!(parsed.id(), made.id());
            prop_assert!(parsed.secret_hash().matches(&made.secret_hash()));
            prop_assert_eq!(parsed.digest(), made.digest());
        }

        /// CRC32 finds every change of one character.
        #[test]
        fn one_wrong_character_is_refused(seed: u64, at in 0..TOKEN_LENGTH, with in "[0-9A-Za-z_]") {
            let text = token(seed).expose().to_owned();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(ApiToken::parse(&changed).is_ok(), changed == text);
        }

        #[test]
        fn anything_else_is_refused_without_panic(text in "\\PC{0,64}") {
            prop_assert!(ApiToken::parse(&text).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = hides_token(&bytes);
            let _ = find_tokens(&bytes, 4);
        }

        #[test]
        fn redaction_leaves_no_token(before in "\\PC{0,20}", after in "\\PC{0,20}", seed: u64) {
            let text = format!("{before}{}{after}", token(seed).expose());
            prop_assert!(find_shape(redact(&text).as_bytes()).is_none());
        }

        #[test]
        fn a_token_in_a_body_is_found(before in prop::collection::vec(any::<u8>(), 0..100), seed: u64) {
            let token = token(seed);
            let mut body = before;
            body.extend_from_slice(token.expose().as_bytes());
            body.extend_from_slice(b"tail");
            let found: Vec<TokenId> = find_tokens(&body, 4).iter().map(ApiToken::id).collect();
            prop_assert_eq!(found, vec![token.id()]);
        }
    }
}
