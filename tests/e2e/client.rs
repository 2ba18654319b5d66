//! A client that sees every byte of an answer, however it ends.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::patiently;

type Headers = Vec<(String, String)>;

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    /// Cut short by a reset or an early close.
    Cut,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// 0 if not even the head came.
    pub(crate) status: u16,
    pub(crate) headers: Headers,
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

/// From this many bytes on, a body is looked at only where it may end.
const LONG: usize = 256 * 1024;

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    /// The same where the server may be gone.
    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(address).await?,
            buffer: Vec::new(),
        })
    }

    /// With the smallest receive buffer, so that a client that does not read is soon felt by the server.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self {
            stream: socket.connect(address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.try_post(path, headers, body).await.unwrap();
    }

    /// The same where the server may be gone.
    pub(crate) async fn try_post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body).await
    }

    /// What has come of an answer that is not whole.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until the body has begun.
    pub(crate) async fn read_some(&mut self) {
        patiently("the first bytes of the body", async {
            while self.head_end().is_none_or(|at| self.buffer.len() <= at + 4) {
                let mut chunk = vec![0; 4096];
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

    /// Reads until so much of the body has come.
    pub(crate) async fn read_body(&mut self, length: usize) {
        patiently("the beginning of the body", async {
            loop {
                if let Some((_, headers, start)) = self.head()
                    && body_of(&headers, &self.buffer[start..]).0.len() >= length
                {
                    return;
                }
                let mut chunk = vec![0; 4096];
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

    /// Reads one answer to its end. The connection can then be used again.
    pub(crate) async fn answer(&mut self) -> Answer {
        patiently("the end of the answer", async {
            loop {
                // Each look at a long body costs its length; such a one ends with its last chunk.
                let worth_it = self.buffer.len() < LONG || self.buffer.ends_with(b"\r\n0\r\n\r\n");
                if worth_it && let Some(answer) = self.parse() {
                    return answer;
                }
                let mut chunk = vec![0; 64 * 1024];
                match self.stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return self.cut_short(),
                    Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                }
            }
        })
        .await
    }

    fn head_end(&self) -> Option<usize> {
        self.buffer.windows(4).position(|window| window == b"\r\n\r\n")
    }

    fn head(&self) -> Option<(u16, Headers, usize)> {
        let at = self.head_end()?;
        let head = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some((status, headers, at + 4))
    }

    fn parse(&mut self) -> Option<Answer> {
        let (status, headers, start) = self.head()?;
        let (body, used) = body_of(&headers, &self.buffer[start..]);
        let used = used?;
        self.buffer.drain(..start + used);
        Some(Answer {
            status,
            headers,
            body,
            end: End::Complete,
        })
    }

    fn cut_short(&self) -> Answer {
        let Some((status, headers, start)) = self.head() else {
            return Answer {
                status: 0,
                headers: Vec::new(),
                body: Vec::new(),
                end: End::Cut,
            };
        };
        let (body, _) = body_of(&headers, &self.buffer[start..]);
        Answer {
            status,
            headers,
            body,
            end: End::Cut,
        }
    }
}

/// The body as far as it came, and how many bytes it took if it is whole.
fn body_of(headers: &[(String, String)], rest: &[u8]) -> (Vec<u8>, Option<usize>) {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    if header("transfer-encoding").is_some() {
        return dechunk(rest);
    }
    let length = header("content-length").map_or(0, |value| value.parse().unwrap());
    (
        rest[..length.min(rest.len())].to_vec(),
        (rest.len() >= length).then_some(length),
    )
}

fn dechunk(all: &[u8]) -> (Vec<u8>, Option<usize>) {
    let (mut body, mut rest) = (Vec::new(), all);
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, None);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            let whole = rest.starts_with(b"\r\n").then(|| all.len() - rest.len() + 2);
            return (body, whole);
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size + 2 {
            return (body, None);
        }
        rest = &rest[size + 2..];
    }
}
