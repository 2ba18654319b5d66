//! What queries have in common.

use gateway_api_types::Time;
use gateway_core::Timestamp;

use super::ApiError;

/// An empty value is as good as none.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn time(field: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let parsed = given(text).map(|text| text.parse::<Time>()).transpose();
    let time = parsed.map_err(|error| ApiError::field(field, error.to_string()))?;
    Ok(time.map(Timestamp::from))
}
