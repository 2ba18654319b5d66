//! The head of a request to the proxy.
//!
//! Read by httparse, as hyper does, but behind checks of its own: this hop carries nothing that excuses a bare line
//! feed, a folded line, a second `Host` or a body, and each of them is how one reader is made to see another request
//! than the next.

use std::ops::Range;

/// What an HTTP/2 client sends first when it takes the proxy for one that speaks it (RFC 9113, section 3.4); this much
/// of it looks like a head.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

const MAX_HEADERS: usize = 64;
const MAX_EMPTY_LINES: usize = 2;

/// A request's head, as far as the proxy looks at it.
#[derive(Debug)]
pub struct Head<'a> {
    pub method: &'a str,
    /// As sent: what it must be depends on the method.
    pub target: &'a str,
    /// HTTP/1.0, which knows no persistent connections.
    pub is_http10: bool,
    /// The client says that it will not send another request.
    pub closes: bool,
    /// The value of `Proxy-Authorization`.
    pub credential: Option<&'a [u8]>,
}

/// Why bytes are no head that the proxy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHead {
    #[error("the request is no HTTP/1 request: {0}")]
    Syntax(httparse::Error),
    #[error("a line of the request ends without CRLF")]
    LineEnd,
    #[error("a line of the request is folded")]
    Folded,
    #[error("the request has more than one {0} header")]
    Repeated(&'static str),
    #[error("a CONNECT request has no body, so neither Content-Length nor Transfer-Encoding")]
    Body,
}

/// Where the head at the beginning of `bytes` stands, without empty lines before it (RFC 9112, section 2.2) and with the
/// empty line that ends it; none while that is missing. `searched` bytes were looked at before.
pub fn end_of_head(bytes: &[u8], searched: usize) -> Option<Range<usize>> {
    let start = start_of_head(bytes);
    let from = searched.saturating_sub(3).max(start);
    let end = bytes
        .get(from..)?
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?;
    Some(start..from + end + 4)
}

fn start_of_head(bytes: &[u8]) -> usize {
    let lines = bytes.chunks_exact(2).take(MAX_EMPTY_LINES);
    2 * lines.take_while(|pair| *pair == b"\r\n").count()
}

// === impl Head ===

impl<'a> Head<'a> {
    /// Reads a whole head, as [`end_of_head`] found it.
    ///
    /// A `Host` header is not compared with the target: for CONNECT the target alone says where to (RFC 9112, section
    /// 3.2.2), and Node sends `Host` without the port.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidHead> {
        check_lines(bytes)?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes).map_err(InvalidHead::Syntax)? {
            httparse::Status::Complete(end) if end == bytes.len() => {}
            _ => return Err(InvalidHead::LineEnd),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(InvalidHead::LineEnd);
        };
        let mut head = Self {
            method,
            target,
            is_http10: version == 0,
            closes: version == 0,
            credential: None,
        };
        let mut has_host = false;
        for header in request.headers.iter() {
            head.take(header, &mut has_host)?;
        }
        Ok(head)
    }

    pub fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }

    fn take(&mut self, header: &httparse::Header<'a>, has_host: &mut bool) -> Result<(), InvalidHead> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("host") {
            if std::mem::replace(has_host, true) {
                return Err(InvalidHead::Repeated("Host"));
            }
        } else if is("proxy-authorization") {
            if self.credential.replace(header.value).is_some() {
                return Err(InvalidHead::Repeated("Proxy-Authorization"));
            }
        } else if is("content-length") || is("transfer-encoding") {
            if self.is_connect() {
                return Err(InvalidHead::Body);
            }
            // It is answered without the body being read.
            self.closes = true;
        } else if is("connection") || is("proxy-connection") {
            self.closes |= header
                .value
                .split(|byte| *byte == b',')
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }
}

/// httparse takes a bare line feed for a line's end; others take it for a part of the line.
fn check_lines(bytes: &[u8]) -> Result<(), InvalidHead> {
    let mut before = 0;
    for (at, byte) in bytes.iter().copied().enumerate() {
        match (before, byte) {
            (b'\r', b'\n') if matches!(bytes.get(at + 1), Some(b' ' | b'\t')) => {
                return Err(InvalidHead::Folded);
            }
            (b'\r', b'\n') => {}
            (b'\r', _) | (_, b'\n') => return Err(InvalidHead::LineEnd),
            _ => {}
        }
        before = byte;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn connect(headers: &str) -> String {
        format!("CONNECT api.anthropic.com:443 HTTP/1.1\r\n{headers}\r\n")
    }

    #[test]
    fn what_clients_send_is_understood() {
        let text = connect("Host: api.anthropic.com\r\nproxy-authorization: Basic eA==\r\n");
        let head = Head::parse(text.as_bytes()).unwrap();
        assert!(head.is_connect() && !head.is_http10 && !head.closes);
        assert_eq!(head.target, "api.anthropic.com:443");
        assert_eq!(head.credential, Some(&b"Basic eA=="[..]));

        // Python's urllib3.
        let head = Head::parse(b"CONNECT pypi.org:443 HTTP/1.0\r\n\r\n").unwrap();
        assert!(head.is_http10 && head.closes && head.credential.is_none());

        for closing in ["Proxy-Connection: close", "Connection: keep-alive, Close"] {
            let text = connect(&format!("{closing}\r\n"));
            assert!(Head::parse(text.as_bytes()).unwrap().closes, "{closing}");
        }
        let text = connect("Proxy-Connection: keep-alive\r\nUser-Agent: closer\r\n");
        assert!(!Head::parse(text.as_bytes()).unwrap().closes);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use InvalidHead::{Body, Folded, LineEnd, Repeated, Syntax};
        for (text, reason) in [
            (connect("Host: a\r\nHost: a\r\n"), Repeated("Host")),
            (
                connect("Proxy-Authorization: x\r\nproxy-authorization: x\r\n"),
                Repeated("Proxy-Authorization"),
            ),
            (connect("Content-Length: 0\r\n"), Body),
            (connect("transfer-encoding: chunked\r\n"), Body),
            (connect("A: b\r\n c\r\n"), Folded),
            (connect("A: b\r\n\tc\r\n"), Folded),
            (connect("A: b\nC: d\r\n"), LineEnd),
            (connect("A: b\rC: d\r\n"), LineEnd),
            (connect("A: b\r\r\n"), LineEnd),
            ("CONNECT a:1 HTTP/1.1\n\r\n".into(), LineEnd),
            (connect("A: b\0c\r\n"), Syntax(httparse::Error::HeaderValue)),
            (connect("A : b\r\n"), Syntax(httparse::Error::HeaderName)),
            (connect(": b\r\n"), Syntax(httparse::Error::HeaderName)),
            (connect("A\r\n"), Syntax(httparse::Error::HeaderName)),
            (
                "CONNECT  a:1 HTTP/1.1\r\n\r\n".into(),
                Syntax(httparse::Error::Token),
            ),
            (
                "CONNECT a:1 b HTTP/1.1\r\n\r\n".into(),
                Syntax(httparse::Error::Version),
            ),
            (
                "CONNECT a:1 HTTP/1.2\r\n\r\n".into(),
                Syntax(httparse::Error::Version),
            ),
            (
                "CONNECT a:1 HTTP/2.0\r\n\r\n".into(),
                Syntax(httparse::Error::Version),
            ),
            ("CONNECT a:1\r\n\r\n".into(), Syntax(httparse::Error::Token)),
            (
                connect(&"A: b\r\n".repeat(MAX_HEADERS + 1)),
                Syntax(httparse::Error::TooManyHeaders),
            ),
        ] {
            assert_eq!(Head::parse(text.as_bytes()).unwrap_err(), reason, "{text:?}");
        }
    }

    #[test]
    fn a_head_ends_at_its_empty_line_and_the_rest_is_left_alone() {
        let bytes = b"\r\n\r\nCONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03\x01";
        let head = end_of_head(bytes, 0).unwrap();
        assert_eq!(&bytes[head.clone()], b"CONNECT a:1 HTTP/1.1\r\n\r\n");
        assert_eq!(&bytes[head.end..], b"\x16\x03\x01");
        assert_eq!(end_of_head(b"\r\n\r\n", 0), None);
        assert_eq!(end_of_head(b"", 0), None);
    }

    proptest! {
        #[test]
        fn the_end_is_found_however_the_bytes_arrive(
            before in 0_usize..3, rest in "[a\r\n]{0,40}", cuts in proptest::collection::vec(1_usize..9, 1..20),
        ) {
            let text = format!("{}{rest}", "\r\n".repeat(before));
            let whole = end_of_head(text.as_bytes(), 0);
            let (mut read, mut found) = (0, None);
            for cut in cuts.into_iter().chain([text.len()]) {
                let searched = read;
                read = (read + cut).min(text.len());
                found = end_of_head(&text.as_bytes()[..read], searched);
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, whole);
        }
    }
}
