//! The least of an HTTP/1.1 client: a connection, one request after the other, the answer read as it comes.
//!
//! For the demonstration and the measurements only, which must not need a program that may not be installed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection without a request.
pub(crate) struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

/// An answer whose body has not been read yet.
pub(crate) struct Answer {
    pub(crate) status: u16,
    connection: Connection,
    length: Length,
}

enum Length {
    Chunked,
    Known(u64),
    UntilClose,
}

/// Sends a request on a connection of its own, and reads the head of the answer.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> anyhow::Result<Answer> {
    let mut headers = headers.to_vec();
    headers.push(("Connection", "close"));
    Connection::open(address)?.send(method, path, &headers, body)
}

// === impl Connection ===

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            reader: BufReader::new(stream),
        })
    }

    /// Sends a request and reads the head of the answer, which gives the connection back at its end.
    pub(crate) fn send(
        mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> anyhow::Result<Answer> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n")?;
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        self.reader
            .get_mut()
            .write_all(text.as_bytes())
            .context("cannot send the request")?;
        Answer::read(self)
    }
}

// === impl Answer ===

impl Answer {
    fn read(mut connection: Connection) -> anyhow::Result<Self> {
        let reader = &mut connection.reader;
        let first = line(reader)?;
        let status = first
            .split_whitespace()
            .nth(1)
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("not an HTTP answer: {first:?}"))?;
        let mut length = Length::UntilClose;
        loop {
            let header = line(reader)?;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("transfer-encoding", "chunked") => length = Length::Chunked,
                ("content-length", value) => {
                    length = Length::Known(value.parse().context("bad Content-Length")?);
                }
                _ => {}
            }
        }
        Ok(Self {
            status,
            connection,
            length,
        })
    }

    /// Gives the body to `each`, part by part as it arrives; then the connection can be used again.
    pub(crate) fn each_part(
        mut self,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Connection> {
        let reader = &mut self.connection.reader;
        match self.length {
            Length::Known(length) => copy(reader, length, &mut each)?,
            Length::UntilClose => copy(reader, u64::MAX, &mut each)?,
            Length::Chunked => loop {
                let size = line(reader)?;
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16)
                    .with_context(|| format!("bad size of a chunk: {size:?}"))?;
                if size > 0 {
                    copy(reader, size, &mut each)?;
                }
                line(reader)?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(self.connection)
    }

    /// The whole body as text.
    pub(crate) fn text(self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        self.each_part(|part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Hands over exactly `length` bytes, or all up to the end if that is `u64::MAX`.
fn copy(
    reader: &mut BufReader<TcpStream>,
    length: u64,
    each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut left = length;
    let mut buffer = [0; 8192];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = reader.read(&mut buffer[..most]).context("the answer broke off")?;
        if read == 0 {
            if length == u64::MAX {
                return Ok(());
            }
            bail!("the answer ended too early");
        }
        each(&buffer[..read])?;
        left -= read as u64;
    }
    Ok(())
}

fn line(reader: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut text = String::new();
    if reader.read_line(&mut text).context("the answer broke off")? == 0 {
        bail!("the connection was closed before the answer ended");
    }
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::send;

    /// A server that gives one answer and closes.
    fn exchange(answer: &'static str) -> anyhow::Result<(u16, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\nhi") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let answer = send(address, "POST", "/x", &[("X-A", "b")], "hi")?;
        let status = answer.status;
        let result = answer.text().map(|text| (status, text));
        let request = server.join().unwrap();
        assert!(
            request.starts_with("POST /x HTTP/1.1\r\n") && request.contains("X-A: b\r\n"),
            "{request}"
        );
        result
    }

    #[test]
    fn bodies_of_each_kind_are_read() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", (200, "abc")),
            (
                "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
                (401, "abc"),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nabc", (200, "abc")),
        ] {
            assert_eq!(exchange(answer).unwrap(), (expected.0, expected.1.to_owned()));
        }
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(exchange(answer).is_err(), "{answer}");
        }
    }
}
