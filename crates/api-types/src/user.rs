//! Users and service accounts.

use std::collections::BTreeMap;

use gateway_core::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::secret::SecretText;
use crate::time::Time;

/// A user or service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub id: Uuid,
    pub username: String,
    /// The full name, possibly empty.
    #[serde(default)]
    pub name: String,
    /// Empty for a service account.
    #[serde(default)]
    pub email: String,
    /// Always empty: there are no pictures.
    #[serde(default)]
    pub avatar_url: String,
    pub created_at: Time,
    pub updated_at: Time,
    /// `0001-01-01T00:00:00.000000Z` if never.
    pub last_seen_at: Time,
    pub status: UserStatus,
    pub login_type: UserLoginType,
    /// Always empty: the client decides.
    #[serde(default)]
    pub theme_preference: String,
    /// Always empty: there is one organisation and it has no id.
    #[serde(default)]
    pub organization_ids: Vec<Uuid>,
    /// Without `member`, which everyone is.
    pub roles: Vec<RoleReply>,
    #[serde(default)]
    pub is_service_account: bool,
    /// Always true: everyone may call models.
    #[serde(default)]
    pub has_ai_seat: bool,
}

/// A role that a user holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleReply {
    /// `owner`, `user-admin`, `auditor` or `member`.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub display_name: String,
    /// Always empty: roles hold everywhere.
    #[serde(default)]
    pub organization_id: String,
}

/// A role in the reply of `GET /api/v2/users/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignableRole {
    #[serde(flatten)]
    pub role: RoleReply,
    /// Whether the caller may give it.
    pub assignable: bool,
    /// Always true: roles cannot be made.
    pub built_in: bool,
}

/// Whether the tokens of a user are honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    Active,
    Suspended,
}

/// How a user signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserLoginType {
    Password,
    /// Not at all; only tokens that an owner makes work.
    None,
}

/// Reply of `GET /api/v2/users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsersPage {
    pub users: Vec<User>,
    /// How many match in all, on this page or not.
    pub count: u64,
}

/// Body of `POST /api/v2/users`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUserRequest {
    /// Needed, but for a service account, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub username: String,
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Needed for login type `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
    /// Absent: `password`, or `none` for a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_type: Option<UserLoginType>,
    /// Absent: `active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_status: Option<UserStatus>,
    /// Taken and ignored: there is one organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organization_ids: Vec<Uuid>,
    #[serde(default, alias = "service_account", skip_serializing_if = "Option::is_none")]
    pub is_service_account: Option<bool>,
    /// Absent: none beyond `member`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
}

/// Body of `PUT /api/v2/users/{user}/roles`: the whole list, which replaces the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolesRequest {
    pub roles: Vec<String>,
}

/// Reply of `GET /api/v2/users/{user}/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolesReply {
    pub roles: Vec<String>,
    /// Always empty: roles hold everywhere.
    #[serde(default)]
    pub organization_roles: BTreeMap<String, Vec<String>>,
}

/// Body of `PUT /api/v2/users/{user}/password`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// Needed to change one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_password: Option<SecretText>,
    pub password: SecretText,
    /// Leaves the user's API tokens alive. Sessions end in any case. Absent: false.
    #[serde(default)]
    pub keep_api_tokens: bool,
}

/// Body of `PUT /api/v2/users/{user}/profile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileRequest {
    pub username: String,
    /// The full name. Absent: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

// === impl User ===

impl From<&gateway_core::User> for User {
    fn from(user: &gateway_core::User) -> Self {
        Self {
            id: user.id.as_uuid(),
            username: user.username.clone(),
            name: user.name.clone(),
            email: user.email.clone().unwrap_or_default(),
            avatar_url: String::new(),
            created_at: user.created_at.into(),
            updated_at: user.updated_at.into(),
            last_seen_at: user.last_seen_at.into(),
            status: user.status.into(),
            login_type: if user.is_service_account {
                UserLoginType::None
            } else {
                UserLoginType::Password
            },
            theme_preference: String::new(),
            organization_ids: Vec::new(),
            roles: user.roles.iter().map(RoleReply::from).collect(),
            is_service_account: user.is_service_account,
            has_ai_seat: true,
        }
    }
}

// === impl RoleReply ===

impl From<Role> for RoleReply {
    fn from(role: Role) -> Self {
        Self {
            name: role.as_str().to_owned(),
            display_name: role.display_name().to_owned(),
            organization_id: String::new(),
        }
    }
}

// === impl AssignableRole ===

impl AssignableRole {
    pub fn new(role: Role, assignable: bool) -> Self {
        Self {
            role: role.into(),
            assignable,
            built_in: true,
        }
    }
}

// === impl RolesReply ===

impl From<&gateway_core::Roles> for RolesReply {
    fn from(roles: &gateway_core::Roles) -> Self {
        Self {
            roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
            organization_roles: BTreeMap::new(),
        }
    }
}

// === impl UserStatus ===

impl UserStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl From<gateway_core::UserStatus> for UserStatus {
    fn from(status: gateway_core::UserStatus) -> Self {
        match status {
            gateway_core::UserStatus::Active => Self::Active,
            gateway_core::UserStatus::Suspended => Self::Suspended,
        }
    }
}

impl From<UserStatus> for gateway_core::UserStatus {
    fn from(status: UserStatus) -> Self {
        match status {
            UserStatus::Active => Self::Active,
            UserStatus::Suspended => Self::Suspended,
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::{Roles, Timestamp, UserId};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_has_the_fields_that_clients_read() {
        let user = gateway_core::User {
            id: UserId::from_uuid(Uuid::nil()),
            username: "alice".to_owned(),
            email: None,
            name: String::new(),
            roles: Roles::new([Role::Owner]),
            status: gateway_core::UserStatus::Active,
            is_service_account: true,
            created_at: Timestamp::from_micros(0),
            updated_at: Timestamp::from_micros(1),
            last_seen_at: None,
        };
        let value = serde_json::to_value(User::from(&user)).unwrap();
        assert_eq!(
            value,
            json!({
                "id": "00000000-0000-0000-0000-000000000000",
                "username": "alice",
                "name": "",
                "email": "",
                "avatar_url": "",
                "created_at": "1970-01-01T00:00:00.000000Z",
                "updated_at": "1970-01-01T00:00:00.000001Z",
                "last_seen_at": "0001-01-01T00:00:00.000000Z",
                "status": "active",
                "login_type": "none",
                "theme_preference": "",
                "organization_ids": [],
                "roles": [{"name": "owner", "display_name": "Owner", "organization_id": ""}],
                "is_service_account": true,
                "has_ai_seat": true,
            })
        );
    }

    #[test]
    fn a_user_request_takes_both_names_of_the_service_account_flag_and_no_others() {
        for field in ["is_service_account", "service_account"] {
            let text = format!(r#"{{"username":"bot","{field}":true}}"#);
            let request: CreateUserRequest = serde_json::from_str(&text).unwrap();
            assert_eq!(request.is_service_account, Some(true));
        }
        for bad in [
            r#"{"username":"bot","serviceaccount":true}"#,
            r#"{"username":"bot","login_type":"github"}"#,
            r#"{"username":"bot","user_status":"dormant"}"#,
            r#"{"email":"a@b"}"#,
        ] {
            assert!(serde_json::from_str::<CreateUserRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn assignable_roles_are_flat() {
        let value = serde_json::to_value(AssignableRole::new(Role::Auditor, false)).unwrap();
        assert_eq!(
            value,
            json!({
                "name": "auditor", "display_name": "Auditor", "organization_id": "",
                "assignable": false, "built_in": true,
            })
        );
    }

    #[test]
    fn api_tokens_are_kept_only_when_asked() {
        let request: PasswordRequest = serde_json::from_str(r#"{"password":"p"}"#).unwrap();
        assert!(!request.keep_api_tokens);
        assert!(serde_json::from_str::<PasswordRequest>(r#"{"password":"p","keep_tokens":true}"#).is_err());
    }
}
