//! Answers of any length: CSV or a JSON object a line, streamed page by page.
//!
//! A page is read when the client has taken what came before, so an export takes the same memory however long it is.
//! It has no time limit, but few run at once, and one whose client takes nothing is ended. The caller's right is
//! looked at for every chunk; an export that cannot be finished, for whatever reason, loses its connection, so that it
//! never looks complete.

mod body;
mod csv;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use gateway_relay::listen::Downstream;
use serde::Serialize;

pub(super) use self::csv::{Columns, Line};
use super::extract::Caller;
use super::{ApiError, ApiState};
use crate::service::error::ServiceError;
use crate::service::places::{Limits, Place, Places};
use body::Exported;

/// What the client wants to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A page.
    Json,
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// Where the rows of an export come from.
pub(super) trait Pages: Send + 'static {
    type Row: Columns + Serialize + Send;

    /// The next rows, at most as many; none at the end.
    fn next(&mut self, at_most: u64) -> impl Future<Output = Result<Vec<Self::Row>, ServiceError>> + Send;
}

/// Where an export goes to.
pub(crate) struct Outlet {
    exports: Exports,
    /// Absent in tests of the router alone.
    downstream: Option<Downstream>,
    state: ApiState,
}

/// The exports that are going on, of the REST API and of the dashboard together.
#[derive(Clone, Debug)]
pub(crate) struct Exports {
    streamed: Arc<Places>,
    whole: Arc<Places>,
}

/// Each holds a page in memory, which is up to a few times 16 MiB.
const EXPORTS: Limits = Limits {
    in_all: 8,
    per_user: 2,
    refusal: "you have two exports going on already; wait for one to end",
};

/// Answers that are longer than [`SHORT`], which are in memory until their clients have taken them.
const LONG: Limits = Limits {
    in_all: 8,
    per_user: 2,
    refusal: "you are reading two long texts already; wait for one to end",
};

/// What an answer may have in memory without a place, in bytes.
const SHORT: u64 = 256 * 1024;

/// As much as is handed to the connection at once.
const CHUNK: usize = 64 * 1024;

// === impl Form ===

impl Form {
    /// The first of the types that are known here; an order of preference by `q` is not looked at.
    fn of(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(header::ACCEPT).iter();
        lists
            .flat_map(|list| list.to_str().unwrap_or_default().split(','))
            .find_map(|media_type| {
                let essence = media_type.split(';').next().unwrap_or_default().trim();
                match essence.to_ascii_lowercase().as_str() {
                    "text/csv" => Some(Self::Csv),
                    "application/x-ndjson" => Some(Self::JsonLines),
                    "application/json" | "*/*" => Some(Self::Json),
                    _ => None,
                }
            })
            .unwrap_or(Self::Json)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::JsonLines => "application/x-ndjson",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::JsonLines => "ndjson",
        }
    }

    /// What stands before the first row.
    fn begin<R: Columns>(self, bytes: &mut Vec<u8>) {
        if self == Self::Csv {
            csv::write_header::<R>(bytes);
        }
    }

    fn write<R: Columns + Serialize>(self, bytes: &mut Vec<u8>, row: &R) -> Result<(), ServiceError> {
        if self == Self::Csv {
            csv::write_row(bytes, row);
        } else {
            serde_json::to_writer(&mut *bytes, row).map_err(ServiceError::internal)?;
            bytes.push(b'\n');
        }
        Ok(())
    }
}

impl FromRequestParts<ApiState> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

// === impl Exports ===

impl Default for Exports {
    fn default() -> Self {
        Self {
            streamed: Places::new(EXPORTS),
            whole: Places::new(LONG),
        }
    }
}

// === impl Outlet ===

impl Outlet {
    /// Streams at most `limit` rows. The first page is read before the answer begins, so that what fails at once is
    /// refused in the usual form.
    pub(super) async fn stream<P: Pages>(
        self,
        form: Form,
        pages: P,
        limit: u64,
        caller: Caller,
    ) -> Result<Response, ServiceError> {
        let place = self.exports.streamed.enter(caller.requester.user_id)?;
        let mut rows = Rows {
            form,
            pages,
            page: Vec::new().into_iter(),
            left: limit,
            begun: false,
        };
        rows.load().await?;
        caller.still()?;
        tracing::debug!(token = %caller.requester.token_id, rows = P::Row::NAME, "an export begins");
        let chunks = stream::try_unfold(rows, |mut rows| async move {
            let chunk = rows.chunk().await?;
            Ok(chunk.map(|chunk| (chunk, rows)))
        });
        Ok(answer::<P::Row>(form, self.body(chunks.boxed(), caller, place)?))
    }

    /// An answer that is there as a whole. A long one takes a place and has the end of an export, so that clients who
    /// take nothing do not fill the memory.
    pub(crate) async fn hold(self, response: Response, caller: Caller) -> Result<Response, ServiceError> {
        caller.still()?;
        if response
            .body()
            .size_hint()
            .exact()
            .is_some_and(|size| size <= SHORT)
        {
            return Ok(response);
        }
        let place = self.exports.whole.enter(caller.requester.user_id)?;
        let (mut parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.map_err(ServiceError::internal)?;
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        let chunks = stream::unfold(bytes, |mut left| async move {
            let chunk = left.split_to(left.len().min(CHUNK));
            (!chunk.is_empty()).then(|| (Ok(chunk.to_vec()), left))
        });
        let body = self.body(chunks.boxed(), caller, place)?;
        Ok(Response::from_parts(parts, body))
    }

    /// What goes on for as long as the caller may have it.
    fn body(
        self,
        chunks: BoxStream<'static, Result<Vec<u8>, ServiceError>>,
        caller: Caller,
        place: Place,
    ) -> Result<Body, ServiceError> {
        let (_, admission) = caller.into_parts();
        let admission = admission.ok_or_else(|| ServiceError::internal("an export without a right"))?;
        let tasks = &self.state.services.tasks;
        let exported = Exported::new(chunks, admission, self.downstream, place, tasks);
        Ok(Body::from_stream(exported))
    }
}

impl FromRequestParts<ApiState> for Outlet {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self {
            exports: state.exports.clone(),
            downstream: parts.extensions.get::<Downstream>().cloned(),
            state: state.clone(),
        })
    }
}

/// An answer of few rows that are there already.
pub(super) fn whole<R: Columns + Serialize>(form: Form, rows: &[R]) -> Response {
    let mut bytes = Vec::new();
    form.begin::<R>(&mut bytes);
    for row in rows {
        if let Err(error) = form.write(&mut bytes, row) {
            return axum::response::IntoResponse::into_response(ApiError::from(error));
        }
    }
    answer::<R>(form, Body::from(bytes))
}

fn answer<R: Columns>(form: Form, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(form.content_type()),
    );
    let disposition = format!("attachment; filename=\"{}.{}\"", R::NAME, form.extension());
    if let Ok(value) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Rows on their way into chunks.
struct Rows<P: Pages> {
    form: Form,
    pages: P,
    page: std::vec::IntoIter<P::Row>,
    /// How many may still be read.
    left: u64,
    begun: bool,
}

// === impl Rows ===

impl<P: Pages> Rows<P> {
    /// Reads a page if there is nothing left of the last one.
    async fn load(&mut self) -> Result<(), ServiceError> {
        if self.page.len() == 0 && self.left > 0 {
            let page = self.pages.next(self.left).await?;
            self.left = if page.is_empty() {
                0
            } else {
                self.left.saturating_sub(page.len() as u64)
            };
            self.page = page.into_iter();
        }
        Ok(())
    }

    /// None at the end.
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        let mut bytes = Vec::with_capacity(CHUNK);
        if !self.begun {
            self.begun = true;
            self.form.begin::<P::Row>(&mut bytes);
        }
        while bytes.len() < CHUNK {
            self.load().await?;
            let Some(row) = self.page.next() else {
                break;
            };
            self.form.write(&mut bytes, &row)?;
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_type_counts() {
        for (accept, form) in [
            ("text/csv", Form::Csv),
            ("TEXT/CSV; charset=utf-8", Form::Csv),
            ("text/html, application/x-ndjson;q=0.5, text/csv", Form::JsonLines),
            ("application/json, text/csv", Form::Json),
            ("*/*", Form::Json),
            ("image/png", Form::Json),
            ("", Form::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Form::of(&headers), form, "{accept}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), Form::Json);
    }
}
