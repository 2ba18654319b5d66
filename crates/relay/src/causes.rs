//! Errors as they are logged.

/// An error and its causes, each in its own words. Not as `Debug` has them: a database tells there what stood in the row,
/// and so prompts.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
