//! Answers that are too long to be held.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response};

use super::{Client, ClientError, location};

/// How long the server may be silent within an answer.
const SILENCE: Duration = Duration::from_mins(1);

/// The whole takes as long as it takes.
const UNLIMITED: Duration = Duration::from_hours(24 * 365);

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Download {
    response: Response,
}

// === impl Client ===

impl Client {
    /// Asks for an answer of this media type, piece by piece.
    pub(crate) async fn download(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        media_type: &str,
    ) -> Result<Download, ClientError> {
        let (url, request) = self.request(Method::GET, path, query)?;
        let sent = request.header(ACCEPT, media_type).timeout(UNLIMITED).send();
        let response = match tokio::time::timeout(SILENCE, sent).await {
            Ok(sent) => sent.map_err(|error| ClientError::unreachable(self.base(), error))?,
            Err(_) => return Err(ClientError::BrokenOff(None)),
        };
        let is_wanted = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(media_type));
        if response.status().is_success() && is_wanted {
            return Ok(Download { response });
        }
        let location = location(&response);
        let answer = self.answer(Method::GET, url, response).await?;
        if answer.status.is_success() {
            return Err(answer.not_ours());
        }
        Err(self.refusal(&answer, location))
    }
}

// === impl Download ===

impl Download {
    /// None at the end of what is whole.
    pub(crate) async fn piece(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, ClientError> {
        match tokio::time::timeout(SILENCE, self.response.chunk()).await {
            Ok(piece) => piece.map_err(|error| ClientError::BrokenOff(Some(error.without_url()))),
            Err(_) => Err(ClientError::BrokenOff(None)),
        }
    }
}
