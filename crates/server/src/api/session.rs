//! Signing in and out, and the first user.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gateway_api_types::login::AuthMethod;
use gateway_api_types::{
    AuthMethods, CodeLoginRequest, ErrorReply, FirstUserReply, FirstUserRequest, LoginReply, LoginRequest,
    MessageReply, SecretText,
};

use super::extract::{AppJson, Caller, Client};
use super::{ApiError, ApiState};
use crate::service::error::ServiceError;
use crate::service::sessions::FirstUser;

/// Whether the deployment is set up.
#[utoipa::path(get, path = "/api/v2/users/first", tag = "sessions", responses(
    (status = 200, body = MessageReply, description = "There is a user"),
    (status = 404, body = ErrorReply, description = "There is none yet"),
))]
pub(super) async fn first(State(state): State<ApiState>) -> Result<Json<MessageReply>, ApiError> {
    if state.services.is_set_up().await? {
        return Ok(Json(MessageReply {
            message: "the first user exists".to_owned(),
        }));
    }
    Err(ServiceError::NotFound("first user").into())
}

/// Makes the first user, who is an owner.
#[utoipa::path(post, path = "/api/v2/users/first", tag = "sessions", request_body = FirstUserRequest, responses(
    (status = 201, body = FirstUserReply),
    (status = 400, body = ErrorReply),
    (status = 403, body = ErrorReply, description = "The set-up code is missing or wrong"),
    (status = 409, body = ErrorReply, description = "There is a user already"),
))]
pub(super) async fn create_first(
    State(state): State<ApiState>,
    client: Client,
    AppJson(body): AppJson<FirstUserRequest>,
) -> Result<(StatusCode, Json<FirstUserReply>), ApiError> {
    let first = FirstUser {
        username: body.username,
        email: body.email,
        name: body.name.unwrap_or_default(),
        password: body.password.into_secret(),
        setup_code: body.setup_code.map(|code| code.expose().to_owned()),
    };
    let user = state
        .services
        .create_first_user(first, client.origin, &client.source)
        .await?;
    let reply = FirstUserReply {
        user_id: user.id.as_uuid(),
        organization_id: uuid::Uuid::nil(),
    };
    Ok((StatusCode::CREATED, Json(reply)))
}

/// How one can sign in.
#[utoipa::path(get, path = "/api/v2/users/authmethods", tag = "sessions", responses((status = 200, body = AuthMethods)))]
pub(super) async fn auth_methods() -> Json<AuthMethods> {
    Json(AuthMethods {
        password: AuthMethod { enabled: true },
        ..AuthMethods::default()
    })
}

/// Signs in with e-mail address and password.
#[utoipa::path(post, path = "/api/v2/users/login", tag = "sessions", request_body = LoginRequest, responses(
    (status = 201, body = LoginReply),
    (status = 401, body = ErrorReply),
    (status = 429, body = ErrorReply, description = "Too many attempts"),
))]
pub(super) async fn login(
    State(state): State<ApiState>,
    client: Client,
    AppJson(body): AppJson<LoginRequest>,
) -> Result<(StatusCode, Json<LoginReply>), ApiError> {
    let token = state
        .services
        .login(&body.email, body.password.into_secret(), &client.source)
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(LoginReply {
            session_token: SecretText::from(&token),
        }),
    ))
}

/// Signs in a command line with the code that somebody has confirmed in a browser.
#[utoipa::path(post, path = "/api/v2/users/login/code", tag = "sessions", request_body = CodeLoginRequest, responses(
    (status = 201, body = LoginReply),
    (status = 401, body = ErrorReply, description = "Not confirmed, used already, or confirmed over a minute ago"),
))]
pub(super) async fn login_with_code(
    State(state): State<ApiState>,
    client: Client,
    AppJson(body): AppJson<CodeLoginRequest>,
) -> Result<(StatusCode, Json<LoginReply>), ApiError> {
    let token = state
        .services
        .redeem_session(body.code.expose(), body.verifier.expose(), &client.source)
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(LoginReply {
            session_token: SecretText::from(&token),
        }),
    ))
}

/// Ends the session, or removes the token, that the call is made with.
#[utoipa::path(post, path = "/api/v2/users/logout", tag = "sessions", security(("token" = [])), responses(
    (status = 200, body = MessageReply),
    (status = 401, body = ErrorReply),
))]
pub(super) async fn logout(
    State(state): State<ApiState>,
    mut caller: Caller,
) -> Result<Json<MessageReply>, ApiError> {
    caller.release();
    state.services.logout(&caller.requester).await?;
    Ok(Json(MessageReply {
        message: "signed out".to_owned(),
    }))
}
