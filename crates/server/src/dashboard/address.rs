//! The variable parts of addresses. What cannot be read leads nowhere.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::PageError;
use crate::api::ApiState;

/// What stands behind the question mark.
pub(super) struct Query<T>(pub(super) T);

/// The variable parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Query<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, PageError> {
        let AxumQuery(query) = AxumQuery::from_request_parts(parts, state)
            .await
            .map_err(|_: QueryRejection| PageError::not_found())?;
        Ok(Self(query))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Path<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, PageError> {
        let AxumPath(path) = AxumPath::from_request_parts(parts, state)
            .await
            .map_err(|_: PathRejection| PageError::not_found())?;
        Ok(Self(path))
    }
}
