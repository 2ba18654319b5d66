//! The one form in which a secret is written into JSON on purpose.

use std::fmt;

use gateway_core::{ApiToken, Secret};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use utoipa::ToSchema;

/// A password or token on its way between client and server.
///
/// `gateway_core::Secret` cannot be serialised, so that none slips into a log or a record. A request with a
/// password and a reply with a new token must be; a field of this type is that decision, visible in the type.
/// `Debug` says nothing, and an error about a value of the wrong type does not repeat the value.
#[derive(Clone, ToSchema)]
#[schema(value_type = String, format = Password)]
pub struct SecretText(Secret);

struct SecretVisitor;

// === impl SecretText ===

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// The secret itself. The caller answers for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_secret(&self) -> &Secret {
        &self.0
    }

    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<Secret> for SecretText {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

impl From<&ApiToken> for SecretText {
    fn from(token: &ApiToken) -> Self {
        Self::new(token.expose())
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// serde's own message for a wrong type quotes the value; a password written as a number would be in it.
const NOT_TEXT: &str = "must be a string";

impl Visitor<'_> for SecretVisitor {
    type Value = SecretText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretText, E> {
        Ok(SecretText::new(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<SecretText, E> {
        Ok(SecretText::new(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SecretText, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretText, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretText, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretText, E> {
        Err(E::custom(NOT_TEXT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_through_json_and_not_through_debug() {
        let secret: SecretText = serde_json::from_str(r#""corr\u0065ct""#).unwrap();
        assert_eq!(secret.expose(), "correct");
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""correct""#);
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    #[test]
    fn a_wrong_type_is_refused_without_its_value() {
        for bad in ["73519", "-73519", "73519.5", "true", "[73519]", r#"{"a":73519}"#] {
            let error = serde_json::from_str::<SecretText>(bad).unwrap_err().to_string();
            assert!(!error.contains("73519"), "{error}");
        }
        assert!(
            serde_json::from_str::<Option<SecretText>>("null")
                .unwrap()
                .is_none()
        );
    }
}
