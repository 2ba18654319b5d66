//! Answers that are too long to be held.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response};

use super::{Client, ClientError, location};

/// How long the server may be silent within an answer.
const SILENCE: Duration = Duration::from_mins(1);

/// The whole takes as long as it takes.
const UNLIMITED: Duration = Duration::from_hours(24 * 365);

/// More than any chain of certificates.
const LONGEST_TEXT: usize = 1024 * 1024;

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

    /// A short text of this media type.
    pub(crate) async fn text(&self, path: &[&str], media_type: &str) -> Result<String, ClientError> {
        let mut download = self.download(path, &[], media_type).await?;
        let mut text = Vec::new();
        while let Some(piece) = download.piece().await? {
            text.extend_from_slice(piece.as_ref());
            if text.len() > LONGEST_TEXT {
                return Err(ClientError::NotOurs {
                    url: self.base().to_string(),
                    what: "with a text longer than any of its own".to_owned(),
                });
            }
        }
        String::from_utf8(text).map_err(|_| ClientError::NotOurs {
            url: self.base().to_string(),
            what: "with something that is not text".to_owned(),
        })
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
