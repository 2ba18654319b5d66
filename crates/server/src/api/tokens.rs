//! Sessions and API tokens, which the API calls keys.

#![expect(unused_qualifications, reason = "the macro of utoipa writes its paths whole")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gateway_api_types::{
    AllowEntry, ApiKey, CreateTokenRequest, ErrorReply, KeyReply, SecretText, TokenConfig,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{AppJson, AppPath, AppQuery, Caller};
use super::{ApiError, ApiState};
use crate::service::tokens::{TokenListing, TokenRequest};

/// Which tokens to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Everybody's, as far as the caller may see them.
    #[serde(default)]
    include_all: bool,
    #[serde(default)]
    include_expired: bool,
    /// Only tokens after this one.
    after_id: Option<String>,
    /// 1 to 1000; 1000 unless given.
    limit: Option<u32>,
}

/// A further session, for a client that is to have one of its own.
#[utoipa::path(post, path = "/api/v2/users/{user}/keys", tag = "tokens", params(("user" = String, Path)),
    security(("token" = [])), responses((status = 201, body = KeyReply), (status = 404, body = ErrorReply)))]
pub(super) async fn create_session(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<(StatusCode, Json<KeyReply>), ApiError> {
    let token = state.services.create_session(&caller.requester, &user).await?;
    caller.still()?;
    Ok((
        StatusCode::CREATED,
        Json(KeyReply {
            key: SecretText::from(&token),
        }),
    ))
}

/// A user's API tokens in the order of their ids, without their secrets.
#[utoipa::path(get, path = "/api/v2/users/{user}/keys/tokens", tag = "tokens", params(("user" = String, Path), ListQuery),
    security(("token" = [])), responses((status = 200, body = Vec<ApiKey>), (status = 404, body = ErrorReply)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
    AppQuery(query): AppQuery<ListQuery>,
) -> Result<Json<Vec<ApiKey>>, ApiError> {
    let after = query.after_id.map(|id| id.parse()).transpose();
    let listing = TokenListing {
        all: query.include_all,
        include_expired: query.include_expired,
        after: after.map_err(|_| ApiError::field("after_id", "not a token id"))?,
        limit: query.limit,
        newest_first: false,
    };
    let tokens = state
        .services
        .list_tokens(&caller.requester, &user, listing)
        .await?;
    caller.still()?;
    Ok(Json(
        tokens
            .iter()
            .map(|token| ApiKey::new(&token.record, Some(&token.username)))
            .collect(),
    ))
}

/// Makes an API token. Its secret is in this reply and never again.
#[utoipa::path(post, path = "/api/v2/users/{user}/keys/tokens", tag = "tokens", params(("user" = String, Path)),
    request_body = CreateTokenRequest, security(("token" = [])), responses(
        (status = 201, body = KeyReply),
        (status = 400, body = ErrorReply),
        (status = 404, body = ErrorReply),
        (status = 409, body = ErrorReply, description = "The name is taken"),
    ))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
    AppJson(body): AppJson<CreateTokenRequest>,
) -> Result<(StatusCode, Json<KeyReply>), ApiError> {
    if !body
        .allow_list
        .unwrap_or_default()
        .iter()
        .all(AllowEntry::is_everything)
    {
        return Err(ApiError::field("allow_list", "only *:* can be asked for"));
    }
    let request = TokenRequest {
        lifetime: body.lifetime,
        name: body.token_name,
        scopes: match body.scopes.filter(|scopes| !scopes.is_empty()) {
            Some(scopes) => scopes,
            None => body.scope.filter(|scope| !scope.is_empty()).into_iter().collect(),
        },
    };
    let (token, _) = state
        .services
        .create_token(&caller.requester, &user, request)
        .await?;
    caller.still()?;
    Ok((
        StatusCode::CREATED,
        Json(KeyReply {
            key: SecretText::from(&token),
        }),
    ))
}

/// What a token of this user may be.
#[utoipa::path(get, path = "/api/v2/users/{user}/keys/tokens/tokenconfig", tag = "tokens",
    params(("user" = String, Path)), security(("token" = [])),
    responses((status = 200, body = TokenConfig), (status = 404, body = ErrorReply)))]
pub(super) async fn config(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath(user): AppPath<String>,
) -> Result<Json<TokenConfig>, ApiError> {
    let max = state.services.token_config(&caller.requester, &user).await?;
    caller.still()?;
    Ok(Json(TokenConfig {
        max_token_lifetime: max.as_nanos(),
    }))
}

/// An API token by its name.
#[utoipa::path(get, path = "/api/v2/users/{user}/keys/tokens/{name}", tag = "tokens",
    params(("user" = String, Path), ("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = ApiKey), (status = 404, body = ErrorReply)))]
pub(super) async fn by_name(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath((user, name)): AppPath<(String, String)>,
) -> Result<Json<ApiKey>, ApiError> {
    let record = state
        .services
        .token_by_name(&caller.requester, &user, &name)
        .await?;
    caller.still()?;
    Ok(Json(ApiKey::new(&record, None)))
}

/// A session or API token by its id.
#[utoipa::path(get, path = "/api/v2/users/{user}/keys/{id}", tag = "tokens",
    params(("user" = String, Path), ("id" = String, Path)), security(("token" = [])),
    responses((status = 200, body = ApiKey), (status = 404, body = ErrorReply)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    AppPath((_user, id)): AppPath<(String, String)>,
) -> Result<Json<ApiKey>, ApiError> {
    let record = state.services.token(&caller.requester, &id).await?;
    caller.still()?;
    Ok(Json(ApiKey::new(&record, None)))
}

/// Removes a session or API token. When this returns, nobody accepts it any more, and what was in flight is cut.
#[utoipa::path(delete, path = "/api/v2/users/{user}/keys/{id}", tag = "tokens",
    params(("user" = String, Path), ("id" = String, Path)), security(("token" = [])),
    responses((status = 204), (status = 404, body = ErrorReply)))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    mut caller: Caller,
    AppPath((_user, id)): AppPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.release_if_own(&id);
    state.services.remove_token(&caller.requester, &id).await?;
    caller.still()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a session or API token expire now.
#[utoipa::path(put, path = "/api/v2/users/{user}/keys/{id}/expire", tag = "tokens",
    params(("user" = String, Path), ("id" = String, Path)), security(("token" = [])),
    responses((status = 204), (status = 404, body = ErrorReply)))]
pub(super) async fn expire(
    State(state): State<ApiState>,
    mut caller: Caller,
    AppPath((_user, id)): AppPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.release_if_own(&id);
    state.services.expire_token(&caller.requester, &id).await?;
    caller.still()?;
    Ok(StatusCode::NO_CONTENT)
}
