//! The service of an intercepted connection: checks where each request is meant to go, and pins it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either};
use gateway_relay::listen::Serve;
use gateway_relay::{Pinned, RequestBody, ResponseBody};
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use tower::Service;

use crate::connect::Authority;
use crate::proxy::ProxyCounters;

const HTTPS_PORT: u16 = 443;
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// The SDKs' word for an error that will not heal.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The body of a refused request is read and thrown away up to here, so that the answer arrives.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Puts the pin on each request that is meant for the host of the connection, and refuses the others.
#[derive(Clone)]
pub(super) struct Pinning<S> {
    inner: S,
    pinned: Pinned,
    authority: Arc<Authority>,
    counters: Arc<ProxyCounters>,
}

/// What is wrong with where a request is meant to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Connect,
    /// Missing (RFC 9112, section 3.2), there more than once, or none.
    Host,
    /// RFC 9110, section 15.5.20.
    Misdirected,
}

// === impl Pinning ===

impl<S> Pinning<S> {
    pub(super) fn new(inner: S, pinned: Pinned, authority: Authority, counters: Arc<ProxyCounters>) -> Self {
        Self {
            inner,
            pinned,
            authority: Arc::new(authority),
            counters,
        }
    }
}

impl<S: Serve> Service<Request<RequestBody>> for Pinning<S> {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<ResponseBody>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        if let Err(misfit) = check(&request, &self.authority) {
            self.counters.count_misdirected();
            tracing::debug!(authority = %self.authority, ?misfit, "a decrypted request was refused");
            return Either::Right(refuse(misfit, request.into_body()));
        }
        let headers = request.headers_mut();
        headers.remove(PROXY_AUTHORIZATION);
        headers.remove(PROXY_CONNECTION);
        request.extensions_mut().insert(self.pinned.clone());
        Either::Left(self.inner.call(request))
    }
}

/// Whether everything that a request says of its host is the host of the connection.
///
/// HTTP/1.0 may say nothing: its `Host` is optional, and the connection's name stands. HTTP/2 says it in `:authority`,
/// or like HTTP/1.1 in `Host`; a request that has both must mean the same.
fn check<B>(request: &Request<B>, authority: &Authority) -> Result<(), Misfit> {
    if request.method() == Method::CONNECT {
        return Err(Misfit::Connect);
    }
    let uri = request.uri();
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) {
        return Err(Misfit::Misdirected);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts
        .next()
        .map(HeaderValue::to_str)
        .transpose()
        .map_err(|_| Misfit::Host)?;
    if hosts.next().is_some() {
        return Err(Misfit::Host);
    }
    let in_uri = uri.authority().map(http::uri::Authority::as_str);
    if host.is_none() && in_uri.is_none() && request.version() > Version::HTTP_10 {
        return Err(Misfit::Host);
    }
    for name in [host, in_uri].into_iter().flatten() {
        let name = Authority::parse_with_default(name, HTTPS_PORT).map_err(|_| Misfit::Host)?;
        if name != *authority {
            return Err(Misfit::Misdirected);
        }
    }
    Ok(())
}

fn refuse(
    misfit: Misfit,
    body: RequestBody,
) -> BoxFuture<'static, Result<Response<ResponseBody>, Infallible>> {
    async move {
        // However it went, the answer is the same.
        let _ = tokio::time::timeout(DRAIN_TIME, throw_away(body)).await;
        Ok(misfit.into_response())
    }
    .boxed()
}

/// Keeps none of what it reads: the bodies of refused requests are in no budget.
async fn throw_away(mut body: RequestBody) {
    let mut total = 0;
    while total < DRAIN_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        total += frame.data_ref().map_or(0, Bytes::len);
    }
}

// === impl Misfit ===

impl Misfit {
    fn status(self) -> StatusCode {
        match self {
            Self::Connect | Self::Host => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT has no place in an intercepted connection",
            Self::Host => "the request does not say in one way which host it is meant for",
            Self::Misdirected => {
                "the request is meant for another host than the one that the proxy was asked to connect"
            }
        }
    }

    /// In a form that the SDKs of both families understand.
    fn into_response(self) -> Response<ResponseBody> {
        let message = self.message();
        let body = format!(
            r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}","param":null,"code":null}}}}"#
        );
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        response
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// Counted by its owner.
    struct Piece(Arc<[u8; 1024]>);

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            &*self.0
        }
    }

    fn verdict(version: Version, uri: &str, hosts: &[&str]) -> Result<(), Misfit> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let authority = "api.anthropic.com:443".parse().unwrap();
        check(&request.body(()).unwrap(), &authority)
    }

    #[test]
    fn every_name_must_be_that_of_the_connection() {
        use Misfit::{Host, Misdirected};
        let (http10, http11, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        let right = "api.anthropic.com";
        for (version, uri, hosts, expected) in [
            (http11, "/v1/messages", &[right][..], Ok(())),
            (http11, "/v1/messages", &["API.Anthropic.com.:443"], Ok(())),
            (http11, "https://api.anthropic.com/v1/messages", &[right], Ok(())),
            (http2, "https://api.anthropic.com/v1/messages", &[], Ok(())),
            (
                http2,
                "https://api.anthropic.com:443/v1/messages",
                &[right],
                Ok(()),
            ),
            (http2, "/v1/messages", &[right], Ok(())),
            (http10, "/v1/messages", &[], Ok(())),
            (http11, "/v1/messages", &[], Err(Host)),
            (http2, "/v1/messages", &[], Err(Host)),
            (http11, "/v1/messages", &[""], Err(Host)),
            (http11, "/v1/messages", &["a b"], Err(Host)),
            (http11, "/v1/messages", &["user@api.anthropic.com"], Err(Host)),
            (http11, "/v1/messages", &[right, right], Err(Host)),
            (http11, "/v1/messages", &["api.openai.com"], Err(Misdirected)),
            (
                http11,
                "/v1/messages",
                &["api.anthropic.com:8443"],
                Err(Misdirected),
            ),
            (http10, "/v1/messages", &["api.openai.com"], Err(Misdirected)),
            (http11, "https://api.openai.com/v1", &[right], Err(Misdirected)),
            (http11, "http://api.anthropic.com/v1", &[right], Err(Misdirected)),
            (
                http2,
                "https://api.anthropic.com/v1",
                &["api.openai.com"],
                Err(Misdirected),
            ),
        ] {
            assert_eq!(
                verdict(version, uri, hosts),
                expected,
                "{version:?} {uri} {hosts:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_body_of_a_refused_request_is_kept_nowhere() {
        let piece = Arc::new([0; 1024]);
        let (made, mut most) = (Arc::clone(&piece), 0);
        let frames = futures_util::stream::iter(0..).map(move |_| {
            most = most.max(Arc::strong_count(&made) - 2);
            assert!(most <= 2, "{most} pieces are kept");
            Ok::<_, Infallible>(Frame::data(Bytes::from_owner(Piece(Arc::clone(&made)))))
        });
        let body = RequestBody::new(StreamBody::new(frames));
        let response = refuse(Misfit::Misdirected, body).await.unwrap();
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(Arc::strong_count(&piece), 1);
    }

    #[test]
    fn a_refusal_is_json_and_final() {
        for misfit in [Misfit::Connect, Misfit::Host, Misfit::Misdirected] {
            let response = misfit.into_response();
            assert_eq!(response.status(), misfit.status());
            assert_eq!(response.headers()[SHOULD_RETRY], "false");
            assert!(!misfit.message().contains(['"', '\\']));
        }
    }
}
