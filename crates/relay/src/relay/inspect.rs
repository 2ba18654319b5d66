//! Looking into a request's body before it goes upstream: for what the record says of it, for gateway tokens, and for
//! references to what the provider stores for all users of one key. The body itself is not changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use gateway_core::ApiToken;
use gateway_core::interception::{Mark, Marks};
use gateway_core::token::find_tokens;
use gateway_llm::error::ErrorKind;
use gateway_llm::peek::RequestView;
use gateway_llm::route::Api;
use gateway_llm::{decode, peek};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::Relay;
use super::allow::Allowed;
use crate::options::TokenInBody;
use crate::refuse::Refusal;

/// The largest copy of an encoded body that is decoded to be understood.
const DECODED_LIMIT: usize = 32 * 1024 * 1024;

/// Bodies up to this size are looked into on the spot.
const INLINE: usize = 256 * 1024;

/// How many tokens in one body are looked at.
const TOKENS_IN_BODY: usize = 16;

/// What is known of a request that may go upstream.
#[derive(Default)]
pub(super) struct Inspected {
    pub(super) view: RequestView,
    pub(super) marks: Marks,
}

/// What a look into a body has shown.
struct Seen {
    tokens: Vec<ApiToken>,
    view: RequestView,
    /// Its content encoding could be taken off, or there was none.
    is_readable: bool,
}

fn look_into(api: Api, with_content: bool, body: &[u8]) -> Seen {
    Seen {
        tokens: find_tokens(body, TOKENS_IN_BODY),
        view: if with_content {
            peek::peek(api, body)
        } else {
            peek::peek_without_content(api, body)
        },
        is_readable: true,
    }
}

/// Of a body whose encoding cannot be taken off. A provider may not look at the encoding at all, so what the bytes say as
/// they are is what is recorded.
fn undecoded(api: Api, with_content: bool, body: &[u8]) -> Seen {
    let seen = look_into(api, with_content, body);
    let mut object_ids = RequestView::unreadable(api).object_ids;
    object_ids.extend(seen.view.object_ids);
    Seen {
        tokens: seen.tokens,
        view: RequestView {
            object_ids,
            ..seen.view
        },
        is_readable: false,
    }
}

/// The encodings of a body in the order in which they were applied. Several headers are one list (RFC 9110, section
/// 5.3); what is not text is an encoding that nobody knows.
pub(super) fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| value.to_str().unwrap_or("unknown"))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

impl Relay {
    /// What the gateway must know of a body before it goes upstream.
    pub(super) async fn inspect(
        &self,
        headers: &HeaderMap,
        allowed: &Allowed<'_>,
        bytes: &Bytes,
    ) -> Result<Inspected, Refusal> {
        if bytes.is_empty() {
            return Ok(Inspected::default());
        }
        let (api, with_content) = (allowed.api, self.options.recording.content);
        let encoding = content_encoding(headers);
        let Seen {
            tokens,
            view,
            is_readable,
        } = if encoding.is_none() && bytes.len() <= INLINE {
            look_into(api, with_content, bytes)
        } else {
            // Long enough to hold up other requests; and decoded copies are bounded by how many there are.
            let permit = Arc::clone(&self.decoders).acquire_owned().await;
            let bytes = bytes.clone();
            let looking = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                match encoding {
                    None => look_into(api, with_content, &bytes),
                    Some(encoding) => match decode::decode_bounded(&encoding, &bytes, DECODED_LIMIT) {
                        Ok(decoded) => look_into(api, with_content, &decoded),
                        Err(error) => {
                            tracing::debug!(%error, "a request body could not be decoded");
                            undecoded(api, with_content, &bytes)
                        }
                    },
                }
            });
            looking
                .await
                .map_err(|_| Refusal::new(ErrorKind::Internal, "the request could not be read"))?
        };
        if !is_readable && self.options.token_in_body != TokenInBody::Allow {
            return Err(Refusal::new(
                ErrorKind::InvalidRequest,
                "the content encoding of the request body cannot be read to see whether it holds a gateway token",
            ));
        }
        let marks = [
            (!view.is_json, Mark::BodyNotJson),
            (!tokens.is_empty(), Mark::TokenInBody),
        ];
        self.judge_tokens(tokens).await?;
        if allowed.own.is_none() {
            self.judge_objects(allowed, &view).await?;
        }
        Ok(Inspected {
            view,
            marks: marks
                .into_iter()
                .filter_map(|(is_so, mark)| is_so.then_some(mark))
                .collect(),
        })
    }

    /// What a request with the organisation's key may refer to: what was made for the same user.
    async fn judge_objects(&self, allowed: &Allowed<'_>, view: &RequestView) -> Result<(), Refusal> {
        if view.background {
            return Err(Refusal::new(
                ErrorKind::NotImplemented,
                "background answers are not served with the organisation's key",
            ));
        }
        let user = allowed.admission.principal().user_id;
        for object_id in &view.object_ids {
            if object_id.is_empty() {
                return Err(Refusal::new(
                    ErrorKind::NotFound,
                    "the request refers to an object that was not found, or cannot be read to see whether it does",
                ));
            }
            self.check_object(user, allowed.provider, object_id).await?;
        }
        Ok(())
    }

    async fn judge_tokens(&self, tokens: Vec<ApiToken>) -> Result<(), Refusal> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.counters.tokens_in_bodies.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(?tokens, "the body of a request holds a gateway token");
        match (self.options.token_in_body, &self.options.leaked_tokens) {
            (TokenInBody::Allow, _) => return Ok(()),
            (TokenInBody::Revoke, Some(leaked)) => {
                for token in tokens {
                    // Only who knows the secret may remove: the id alone can be seen in any log.
                    if self.access.admit(&token, None).await.is_ok() {
                        leaked.remove(token.id()).await;
                    }
                }
            }
            (TokenInBody::Refuse | TokenInBody::Revoke, _) => {}
        }
        Err(Refusal::new(
            ErrorKind::InvalidRequest,
            "the body of the request holds a gateway token",
        ))
    }
}
