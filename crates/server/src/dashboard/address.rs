//! The variable parts of addresses. What cannot be read leads nowhere.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::error::PageError;
use crate::api::ApiState;

/// An address with these pairs behind its question mark, without those that are empty.
pub(super) fn with_pairs(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    format!("{path}?{}", query.finish())
}

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
