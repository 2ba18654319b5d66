//! Users and service accounts.

#![expect(unused_qualifications, reason = "the macro of utoipa writes its paths whole")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gateway_api_types::{
    AssignableRole, CreateUserRequest, ErrorReply, MessageReply, PasswordRequest, ProfileRequest, RolesReply,
    RolesRequest, User, UserLoginType, UserStatus, UsersPage,
};
use gateway_core::{Permission, Role};
use gateway_store::UserFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{AppJson, AppPath, AppQuery, Caller};
use super::{ApiError, ApiState};
use crate::service::error::ServiceError;
use crate::service::users::UserRequest;

/// The most users that one call lists, and how many it lists unless asked.
const PAGE_MAX: u32 = 1000;
const PAGE: u32 = 100;

/// Which users to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Words to find in names and addresses, and `status:active|suspended` and `role:<name>`.
    q: Option<String>,
    /// 1 to 1000; 100 unless given.
    limit: Option<u32>,
    offset: Option<u32>,
    /// Only users after this one.
    after_id: Option<uuid::Uuid>,
}

/// Lists users in the order in which they were made.
#[utoipa::path(get, path = "/api/v2/users", tag = "users", params(ListQuery), security(("token" = [])), responses(
    (status = 200, body = UsersPage),
    (status = 400, body = ErrorReply),
    (status = 401, body = ErrorReply),
    (status = 403, body = ErrorReply),
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    AppQuery(query): AppQuery<ListQuery>,
) -> Result<Json<UsersPage>, ApiError> {
    let filter = filter(&query)?;
    let page = state.services.list_users(&caller.requester, filter).await?;
    caller.still()?;
    Ok(Json(UsersPage {
        users: page.users.iter().map(User::from).collect(),
        count: page.count,
    }))
}

fn filter(query: &ListQuery) -> Result<UserFilter, ApiError> {
    let mut filter = UserFilter {
        limit: match query.limit.unwrap_or(PAGE) {
            limit @ 1..=PAGE_MAX => limit,
            _ => return Err(ApiError::field("limit", "must be 1 to 1000")),
        },
        offset: query.offset.unwrap_or(0),
        after: query.after_id.map(gateway_core::UserId::from_uuid),
        ..UserFilter::default()
    };
    let mut words = Vec::new();
    for term in query.q.as_deref().unwrap_or_default().split_whitespace() {
        match term.split_once(':') {
            Some(("status", status)) => {
                filter.status = Some(
                    status
                        .parse()
                        .map_err(|_| ApiError::field("q", "status is active or suspended"))?,
                );
            }
            Some(("role", role)) => {
                filter.role = Some(
                    role.parse::<Role>()
                        .map_err(|unknown| ApiError::field("q", unknown.to_string()))?,
                );
            }
            Some((key, _)) => return Err(ApiError::field("q", format!("unknown key {key:?}"))),
            None => words.push(term),
        }
    }
    filter.search = (!words.is_empty()).then(|| words.join(" "));
    Ok(filter)
}

/// Makes a user or a service account.
#[utoipa::path(post, path = "/api/v2/users", tag = "users", request_body = CreateUserRequest, security(("token" = [])),
    responses(
        (status = 201, body = User),
        (status = 400, body = ErrorReply),
        (status = 403, body = ErrorReply),
        (status = 409, body = ErrorReply, description = "The name or address is taken"),
    ))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    AppJson(body): AppJson<CreateUserRequest>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    if body.user_status == Some(UserStatus::Suspended) {
        return Err(ApiError::field(
            "user_status",
            "a new user is active; suspend it afterwards",
        ));
    }
    let is_service_account = body.is_service_account.unwrap_or(false);
    let request = UserRequest {
        username: body.username,
        email: body.email.filter(|email| !email.is_empty()),
        name: body.name.unwrap_or_default(),
        password: body
            .password
            .filter(|password| !password.is_empty())
            .map(gateway_api_types::SecretText::into_secret),
        roles: body.roles.unwrap_or_default(),
        is_service_account,
        without_password: body.login_type == Some(UserLoginType::None),
    };
    let user = state.services.create_user(&caller.requester, request).await?;
    caller.still()?;
    Ok((StatusCode::CREATED, Json(User::from(&user))))
}

/// The roles there are.
#[utoipa::path(get, path = "/api/v2/users/roles", tag = "users", security(("token" = [])), responses(
    (status = 200, body = Vec<AssignableRole>),
    (status = 401, body = ErrorReply),
))]
pub(super) async fn assignable_roles(caller: Caller) -> Result<Json<Vec<AssignableRole>>, ApiError> {
    let may = caller.requester.roles.allow(Permission::ManageRoles);
    caller.still()?;
    Ok(Json(
        Role::ALL
            .into_iter()
            .map(|role| AssignableRole::new(role, may && role != Role::Member))
            .collect(),
    ))
}

/// One user, by id, username or `me`.
#[utoipa::path(get, path = "/api/v2/users/{user}", tag = "users", params(("user" = String, Path)),
    security(("token" = [])), responses((status = 200, body = User), (status = 404, body = ErrorReply)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<User>, ApiError> {
    let user = state.services.find_user(&caller.requester, &user).await?;
    caller.still()?;
    Ok(Json(User::from(&user)))
}

/// Removes a user and every token of theirs. When this returns, none is accepted any more.
#[utoipa::path(delete, path = "/api/v2/users/{user}", tag = "users", params(("user" = String, Path)),
    security(("token" = [])), responses(
        (status = 200, body = MessageReply),
        (status = 400, body = ErrorReply, description = "The last active owner"),
        (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
    ))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<MessageReply>, ApiError> {
    let tokens = state.services.delete_user(&caller.requester, &user).await?;
    caller.still()?;
    Ok(Json(MessageReply {
        message: format!("the user was deleted, with {tokens} tokens and sessions"),
    }))
}

/// Changes username and full name.
#[utoipa::path(put, path = "/api/v2/users/{user}/profile", tag = "users", params(("user" = String, Path)),
    request_body = ProfileRequest, security(("token" = [])), responses(
        (status = 200, body = User), (status = 400, body = ErrorReply), (status = 404, body = ErrorReply),
        (status = 409, body = ErrorReply),
    ))]
pub(super) async fn set_profile(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
    AppJson(body): AppJson<ProfileRequest>,
) -> Result<Json<User>, ApiError> {
    let user = state
        .services
        .set_profile(&caller.requester, &user, body.username, body.name)
        .await?;
    caller.still()?;
    Ok(Json(User::from(&user)))
}

/// Refuses every token of a user until they are activated again.
#[utoipa::path(put, path = "/api/v2/users/{user}/status/suspend", tag = "users", params(("user" = String, Path)),
    security(("token" = [])), responses(
        (status = 200, body = User), (status = 400, body = ErrorReply), (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
    ))]
pub(super) async fn suspend(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<User>, ApiError> {
    let user = state
        .services
        .set_status(&caller.requester, &user, gateway_core::UserStatus::Suspended)
        .await?;
    caller.still()?;
    Ok(Json(User::from(&user)))
}

/// Ends a suspension; the user's tokens live again.
#[utoipa::path(put, path = "/api/v2/users/{user}/status/activate", tag = "users", params(("user" = String, Path)),
    security(("token" = [])), responses(
        (status = 200, body = User), (status = 400, body = ErrorReply), (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
    ))]
pub(super) async fn activate(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<User>, ApiError> {
    let user = state
        .services
        .set_status(&caller.requester, &user, gateway_core::UserStatus::Active)
        .await?;
    caller.still()?;
    Ok(Json(User::from(&user)))
}

/// Sets a password. All sessions of the user end, and the API tokens too unless they are to be kept.
#[utoipa::path(put, path = "/api/v2/users/{user}/password", tag = "users", params(("user" = String, Path)),
    request_body = PasswordRequest, security(("token" = [])), responses(
        (status = 204), (status = 400, body = ErrorReply), (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
    ))]
pub(super) async fn set_password(
    State(state): State<ApiState>,
    mut caller: Caller,
    AppPath(user): AppPath<String>,
    AppJson(body): AppJson<PasswordRequest>,
) -> Result<StatusCode, ApiError> {
    // It may well take away the right that it is made with.
    caller.release();
    let old = body.old_password.map(gateway_api_types::SecretText::into_secret);
    let new = body.password.into_secret();
    state
        .services
        .set_password(&caller.requester, &user, old, new, body.keep_api_tokens)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The roles of a user.
#[utoipa::path(get, path = "/api/v2/users/{user}/roles", tag = "users", params(("user" = String, Path)),
    security(("token" = [])), responses((status = 200, body = RolesReply), (status = 404, body = ErrorReply)))]
pub(super) async fn roles(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<RolesReply>, ApiError> {
    let user = state.services.find_user(&caller.requester, &user).await?;
    caller.still()?;
    Ok(Json(RolesReply::from(&user.roles)))
}

/// Replaces the roles of a user. What is in flight with the user's tokens is cut.
#[utoipa::path(put, path = "/api/v2/users/{user}/roles", tag = "users", params(("user" = String, Path)),
    request_body = RolesRequest, security(("token" = [])), responses(
        (status = 200, body = User), (status = 400, body = ErrorReply), (status = 403, body = ErrorReply),
        (status = 404, body = ErrorReply),
    ))]
pub(super) async fn set_roles(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
    AppJson(body): AppJson<RolesRequest>,
) -> Result<Json<User>, ApiError> {
    let user = state
        .services
        .set_roles(&caller.requester, &user, &body.roles)
        .await?;
    caller.still()?;
    Ok(Json(User::from(&user)))
}

/// How a user signs in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoginTypeReply {
    login_type: UserLoginType,
}

/// How the caller signs in.
#[utoipa::path(get, path = "/api/v2/users/{user}/login-type", tag = "users", params(("user" = String, Path)),
    security(("token" = [])), responses((status = 200, body = LoginTypeReply), (status = 404, body = ErrorReply)))]
pub(super) async fn login_type(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<LoginTypeReply>, ApiError> {
    let user = state.services.find_user(&caller.requester, &user).await?;
    if user.id != caller.requester.user_id {
        return Err(ServiceError::Forbidden("only one's own can be asked for".to_owned()).into());
    }
    caller.still()?;
    Ok(Json(LoginTypeReply {
        login_type: User::from(&user).login_type,
    }))
}
