//! API tokens and sessions.

use gateway_core::{TokenKind, TokenRecord};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::secret::SecretText;
use crate::time::Time;

/// Body of `POST /api/v2/users/{user}/keys/tokens`. All fields are optional; `{}` makes a token with a name that
/// the server picks and the default lifetime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTokenRequest {
    /// Nanoseconds. Absent or 0: the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<i64>,
    /// 1 to 64 characters, unique among the user's tokens. Absent or empty: the server picks one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
    /// `all` or `aibridge`. Absent or empty: `scope` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// One scope, as older clients send it. Absent or empty: `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// On which resources the token may act. Only "all of them" (`*:*`) can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_list: Option<Vec<AllowEntry>>,
}

/// Reply of the calls that make a token or a session: the only time that its secret is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyReply {
    pub key: SecretText,
}

/// Reply of `GET /api/v2/users/{user}/keys/tokens/tokenconfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenConfig {
    /// The longest lifetime that a token of this user may be given, in nanoseconds.
    pub max_token_lifetime: i64,
}

/// A token or session, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// The public part of the token.
    pub id: String,
    pub user_id: Uuid,
    /// The owner's username. In lists always; elsewhere where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `0001-01-01T00:00:00.000000Z` if it was never used.
    pub last_used: Time,
    pub expires_at: Time,
    pub created_at: Time,
    pub updated_at: Time,
    pub login_type: KeyLoginType,
    /// The first of `scopes`, for older clients.
    pub scope: String,
    pub scopes: Vec<String>,
    /// Empty for a session.
    pub token_name: String,
    /// Rounded up to whole seconds.
    pub lifetime_seconds: i64,
    /// On which resources it may act: always all of them.
    #[serde(default)]
    pub allow_list: Vec<AllowEntry>,
}

/// How a token came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyLoginType {
    /// An API token.
    Token,
    /// A session.
    Password,
}

/// An entry of an allow list. Read from an object or from the text `type:id`, written as an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AllowEntry {
    /// A type of resource, or `*`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of a resource, or `*`.
    pub id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AllowEntryForm {
    Text(String),
    Object {
        #[serde(rename = "type")]
        kind: String,
        id: String,
    },
}

// === impl ApiKey ===

impl ApiKey {
    /// What is shown of a token. `username` is the owner's.
    pub fn new(record: &TokenRecord, username: Option<&str>) -> Self {
        let scopes: Vec<String> = record
            .scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect();
        Self {
            id: record.id.as_str().to_owned(),
            user_id: record.user_id.as_uuid(),
            username: username.map(str::to_owned),
            last_used: record.last_used_at.into(),
            expires_at: record.expires_at.into(),
            created_at: record.created_at.into(),
            updated_at: record.updated_at.into(),
            login_type: match record.kind {
                TokenKind::Api => KeyLoginType::Token,
                TokenKind::Session => KeyLoginType::Password,
            },
            scope: scopes.first().cloned().unwrap_or_default(),
            scopes,
            token_name: record.name.clone(),
            lifetime_seconds: record.lifetime.as_secs_ceil(),
            allow_list: vec![AllowEntry::everything()],
        }
    }
}

// === impl AllowEntry ===

impl AllowEntry {
    /// All resources of all types.
    pub fn everything() -> Self {
        Self {
            kind: "*".to_owned(),
            id: "*".to_owned(),
        }
    }

    pub fn is_everything(&self) -> bool {
        self.kind == "*" && self.id == "*"
    }
}

impl std::fmt::Display for AllowEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl<'de> Deserialize<'de> for AllowEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match AllowEntryForm::deserialize(deserializer)? {
            AllowEntryForm::Object { kind, id } => Ok(Self { kind, id }),
            AllowEntryForm::Text(text) => match text.split_once(':') {
                Some((kind, id)) => Ok(Self {
                    kind: kind.trim().to_owned(),
                    id: id.trim().to_owned(),
                }),
                None => Err(D::Error::custom("must be of the form type:id")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::{ApiToken, Lifetime, Scope, Scopes, SecretHash, Timestamp, UserId};

    use super::*;

    fn record() -> TokenRecord {
        let id = ApiToken::parse("cdr_0123456789_0123456789ABCDEFGHIJKL0IkVvR")
            .unwrap()
            .id();
        TokenRecord {
            id,
            user_id: UserId::from_uuid(Uuid::nil()),
            secret_hash: SecretHash::from_bytes([7; 32]),
            kind: TokenKind::Api,
            name: "ci".to_owned(),
            scopes: Scopes::new([Scope::Aibridge]),
            lifetime: Lifetime::from_days(30).unwrap(),
            created_at: Timestamp::from_micros(1_000_000),
            updated_at: Timestamp::from_micros(1_000_000),
            expires_at: Timestamp::from_micros(2_592_001_000_000),
            last_used_at: None,
        }
    }

    #[test]
    fn a_token_is_shown_without_its_secret_or_its_hash() {
        let key = ApiKey::new(&record(), Some("alice"));
        let value = serde_json::to_value(&key).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "id": "0123456789",
                "user_id": "00000000-0000-0000-0000-000000000000",
                "username": "alice",
                "last_used": "0001-01-01T00:00:00.000000Z",
                "expires_at": "1970-01-31T00:00:01.000000Z",
                "created_at": "1970-01-01T00:00:01.000000Z",
                "updated_at": "1970-01-01T00:00:01.000000Z",
                "login_type": "token",
                "scope": "aibridge",
                "scopes": ["aibridge"],
                "token_name": "ci",
                "lifetime_seconds": 2_592_000,
                "allow_list": [{"type": "*", "id": "*"}],
            })
        );
        assert_eq!(serde_json::from_value::<ApiKey>(value).unwrap(), key);
    }

    #[test]
    fn sessions_are_told_apart_by_their_login_type() {
        let session = TokenRecord {
            kind: TokenKind::Session,
            ..record()
        };
        assert_eq!(ApiKey::new(&session, None).login_type, KeyLoginType::Password);
    }

    #[test]
    fn allow_lists_are_read_in_both_forms() {
        let request: CreateTokenRequest =
            serde_json::from_str(r#"{"allow_list":["*:*",{"type":"*","id":"*"}]}"#).unwrap();
        assert!(request.allow_list.unwrap().iter().all(AllowEntry::is_everything));
        assert!(serde_json::from_str::<CreateTokenRequest>(r#"{"allow_list":["x"]}"#).is_err());
    }

    #[test]
    fn a_mistyped_field_is_refused() {
        let error = serde_json::from_str::<CreateTokenRequest>(r#"{"lifetim":1}"#).unwrap_err();
        assert!(error.to_string().contains("lifetim"), "{error}");
        assert!(serde_json::from_str::<CreateTokenRequest>(r#"{"lifetime":1.5}"#).is_err());
        let empty: CreateTokenRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, CreateTokenRequest::default());
    }
}
