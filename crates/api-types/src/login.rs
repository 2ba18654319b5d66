//! Setting up the first user, signing in, and how one may sign in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::secret::SecretText;

/// Body of `POST /api/v2/users/first`: makes the first owner, once in the life of a deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstUserRequest {
    pub email: String,
    pub username: String,
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub password: SecretText,
    /// Taken and ignored: there is no trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<bool>,
    /// Taken and ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub trial_info: Option<serde_json::Value>,
    /// The code that the server printed at start. Needed from any address but its own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_code: Option<SecretText>,
}

/// Reply of `POST /api/v2/users/first`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstUserReply {
    pub user_id: Uuid,
    /// Always nil: there is one organisation and it has no id.
    #[serde(default)]
    pub organization_id: Uuid,
}

/// Body of `POST /api/v2/users/login`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub email: String,
    pub password: SecretText,
}

/// Body of `POST /api/v2/users/login/code`: what a browser has brought back from `/cli-auth`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeLoginRequest {
    pub code: SecretText,
    /// The text whose SHA-256, in lower-case hexadecimal digits, was the challenge.
    pub verifier: SecretText,
}

/// Reply of `POST /api/v2/users/login` and `/login/code`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LoginReply {
    pub session_token: SecretText,
}

/// Reply of `GET /api/v2/users/authmethods`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthMethods {
    pub password: AuthMethod,
    #[serde(default)]
    pub github: GithubMethod,
    #[serde(default)]
    pub oidc: OidcMethod,
    /// Empty if there are no terms to agree to.
    #[serde(default)]
    pub terms_of_service_url: String,
}

/// Whether one way of signing in is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthMethod {
    pub enabled: bool,
}

/// Signing in through GitHub. Always off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GithubMethod {
    pub enabled: bool,
    #[serde(default)]
    pub default_provider_configured: bool,
}

/// Signing in through `OpenID` Connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcMethod {
    pub enabled: bool,
    /// What the button says.
    #[serde(default)]
    pub sign_in_text: String,
    #[serde(default)]
    pub icon_url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_request_takes_the_old_fields_and_no_unknown_ones() {
        let text = r#"{"email":"a@b","username":"a","password":"p","trial":false,
            "trial_info":{"first_name":"A"},"setup_code":"c"}"#;
        let request: FirstUserRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request.setup_code.unwrap().expose(), "c");
        let error = serde_json::from_str::<FirstUserRequest>(
            r#"{"email":"a@b","username":"a","password":"p","setupcode":"c"}"#,
        )
        .unwrap_err();
        assert!(error.to_string().contains("setupcode"), "{error}");
    }

    #[test]
    fn debug_shows_no_password() {
        let request: LoginRequest = serde_json::from_str(r#"{"email":"a@b","password":"hunter2"}"#).unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
    }

    #[test]
    fn the_ways_to_sign_in_have_their_names() {
        let text = serde_json::to_string(&AuthMethods::default()).unwrap();
        assert!(
            text.contains(r#""oidc":{"enabled":false,"signInText":"","iconUrl":""}"#),
            "{text}"
        );
    }
}
