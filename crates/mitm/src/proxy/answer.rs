//! What the proxy itself says to a client: plain text for people, in answers that end the connection unless said
//! otherwise.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The answer to a CONNECT after which the bytes are the target's. HTTP/1.0 clients take it as well.
pub(crate) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// To an HTTP/2 client: empty SETTINGS, then GOAWAY with `HTTP_1_1_REQUIRED` (RFC 9113, sections 6.5, 6.8 and 7).
pub(super) const GO_AWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d";

/// What a client is still sending is read and thrown away up to here, so that closing the connection does not reset the
/// answer away before the client has seen it.
const DRAIN_BYTES: u64 = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// An answer other than 200.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    /// Whole header lines.
    headers: &'static str,
    message: Cow<'static, str>,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            headers: "",
            message: message.into(),
        }
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The credential is missing or not valid.
    pub(crate) fn authenticate(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            headers: "Proxy-Authenticate: Basic realm=\"AI Gateway Proxy\"\r\n",
            ..Self::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED, message)
        }
    }

    /// For what heals by itself soon.
    pub(crate) fn busy(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            headers: "Retry-After: 1\r\n",
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    fn to_bytes(&self, keeps_open: bool) -> Vec<u8> {
        let Self {
            status,
            headers,
            message,
        } = self;
        let length = message.len() + 1;
        let connection = if keeps_open { "keep-alive" } else { "close" };
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: {connection}\r\n\r\n{message}\n"
        )
        .into_bytes()
    }

    /// Sends the answer on a connection that goes on.
    pub(super) async fn send(&self, io: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        io.write_all(&self.to_bytes(true)).await?;
        io.flush().await
    }

    /// Sends the answer and closes the connection, such that the answer arrives.
    pub(crate) async fn send_last(&self, io: impl AsyncRead + AsyncWrite + Unpin) {
        send_last(io, &self.to_bytes(false)).await;
    }
}

/// Writes, closes this half, and waits for the client to close the other.
pub(super) async fn send_last(mut io: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    let last = async {
        io.write_all(bytes).await?;
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    // However it went, the connection ends here.
    let _ = tokio::time::timeout(DRAIN_TIME, last).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_http() {
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut headers);
        let bytes = Answer::authenticate("no").to_bytes(true);
        let end = response.parse(&bytes).unwrap().unwrap();
        assert_eq!(&bytes[end..], b"no\n");
        assert_eq!(response.code, Some(407));
        let value = |name: &str| {
            response
                .headers
                .iter()
                .find(|header| header.name == name)
                .unwrap()
                .value
        };
        assert_eq!(value("Content-Length"), b"3");
        assert_eq!(value("Connection"), b"keep-alive");
        assert_eq!(value("Proxy-Authenticate"), b"Basic realm=\"AI Gateway Proxy\"");
    }
}
