//! A client over plain sockets, which sees every byte of an answer and how it ended.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::patiently;

/// A client that sees every byte.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is open and the whole answer has arrived.
    Complete,
    Closed,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Chunks taken apart, as far as they came.
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: gateway.test\r\n");
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        if method != "GET" && method != "HEAD" {
            let _ = write!(request, "content-length: {}\r\n", body.len());
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
    }

    /// Reads until `needle` has come.
    pub(crate) async fn read_until(&mut self, needle: &[u8]) {
        patiently("the awaited bytes", async {
            while !self.buffer.windows(needle.len()).any(|window| window == needle) {
                let mut chunk = vec![0; 16 * 1024];
                let count = self.stream.read(&mut chunk).await.unwrap();
                assert!(
                    count > 0,
                    "closed after {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
                self.buffer.extend_from_slice(&chunk[..count]);
            }
        })
        .await;
    }

    /// Reads one answer to its end.
    pub(crate) async fn answer(&mut self) -> Answer {
        patiently("the end of the answer", async {
            loop {
                if let Some(answer) = self.parse(End::Complete) {
                    return answer;
                }
                let mut chunk = vec![0; 64 * 1024];
                let end = match self.stream.read(&mut chunk).await {
                    Ok(0) => End::Closed,
                    Ok(count) => {
                        self.buffer.extend_from_slice(&chunk[..count]);
                        continue;
                    }
                    Err(_) => End::Reset,
                };
                return self.parse(end).unwrap_or_else(|| Answer {
                    status: 0,
                    headers: vec![],
                    body: vec![],
                    end,
                });
            }
        })
        .await
    }

    /// The answer, if it is whole or nothing more will come.
    fn parse(&self, end: End) -> Option<Answer> {
        let at = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let rest = &self.buffer[at + 4..];
        let header = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        let (body, is_whole) = if header("transfer-encoding").is_some() {
            dechunk(rest)
        } else {
            let length: usize = header("content-length").map_or(0, |value| value.parse().unwrap());
            (rest[..length.min(rest.len())].to_vec(), rest.len() >= length)
        };
        if end == End::Complete && !is_whole {
            return None;
        }
        let end = if is_whole { End::Complete } else { end };
        Some(Answer {
            status,
            headers,
            body,
            end,
        })
    }
}

fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return (body, rest.starts_with(b"\r\n"));
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size + 2 {
            return (body, false);
        }
        rest = &rest[size + 2..];
    }
}
