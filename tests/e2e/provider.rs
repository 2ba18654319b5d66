//! A provider that answers with the bytes a test gives it, cut where the test says.
//!
//! It stands beside the simulated one, which makes up its answers and knows what is good. Here a test decides on each
//! byte, and how the answer ends. One request a connection.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::support::patiently;

/// A request as it reached the provider.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// With names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer in the pieces in which it is sent.
pub(crate) struct Script {
    /// 0 breaks off before the head.
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// More headers, such as an encoding.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// One chunk each; or, with a length announced, one write each.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) has_length: bool,
    pub(crate) end: Finish,
}

/// What comes after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Whole,
    /// The connection is closed, the body not ended.
    Broken,
    /// Nothing, until the gateway gives up.
    Held,
}

/// Where it listens. It ends with the runtime of the test.
pub(crate) struct Provider {
    address: SocketAddr,
    /// One permit for each answer that was held and that the gateway has given up.
    given_up: Arc<Semaphore>,
}

// === impl Asked ===

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }
}

// === impl Script ===

impl Script {
    pub(crate) fn events(pieces: Vec<Vec<u8>>) -> Self {
        Self {
            content_type: "text/event-stream; charset=utf-8",
            ..Self::json(pieces)
        }
    }

    pub(crate) fn json(pieces: Vec<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            headers: Vec::new(),
            pieces,
            has_length: false,
            end: Finish::Whole,
        }
    }

    fn head(&self) -> String {
        let mut head = format!(
            "HTTP/1.1 {} Whatever\r\ncontent-type: {}\r\nconnection: close\r\n",
            self.status, self.content_type
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length: usize = self.pieces.iter().map(Vec::len).sum();
        let _ = if self.has_length {
            write!(head, "content-length: {length}\r\n\r\n")
        } else {
            write!(head, "transfer-encoding: chunked\r\n\r\n")
        };
        head
    }
}

// === impl Provider ===

impl Provider {
    #[expect(clippy::disallowed_methods, reason = "ends with the runtime of the test")]
    pub(crate) async fn start(answer: impl Fn(Asked) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let given_up = Arc::new(Semaphore::new(0));
        tokio::spawn({
            let given_up = Arc::clone(&given_up);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (answer, given_up) = (Arc::clone(&answer), Arc::clone(&given_up));
                    tokio::spawn(async move {
                        // What the gateway does not want any more is no fault.
                        let _ = serve(stream, &*answer, &given_up).await;
                    });
                }
            }
        });
        Self { address, given_up }
    }

    /// Waits until the gateway has given up one more answer that was held.
    pub(crate) async fn given_up(&self) {
        patiently("that the gateway gives the answer up", self.given_up.acquire())
            .await
            .unwrap()
            .forget();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(impl Fn(Asked) -> Script + Sync),
    given_up: &Semaphore,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(asked) = receive(&mut stream).await? else {
        return Ok(());
    };
    let script = answer(asked);
    if script.status == 0 {
        return Ok(());
    }
    stream.write_all(script.head().as_bytes()).await?;
    for piece in script.pieces.iter().filter(|piece| !piece.is_empty()) {
        if script.has_length {
            stream.write_all(piece).await?;
            continue;
        }
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk).await?;
    }
    match script.end {
        Finish::Whole if !script.has_length => stream.write_all(b"0\r\n\r\n").await?,
        Finish::Whole | Finish::Broken => {}
        Finish::Held => {
            while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
            given_up.add_permits(1);
        }
    }
    Ok(())
}

/// One request with its body; none if the connection was not used.
async fn receive(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut buffer = Vec::new();
    let at = loop {
        let searched = buffer.len().saturating_sub(3);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
        let found = buffer[searched..]
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        if let Some(at) = found {
            break searched + at;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..at]).into_owned();
    let headers: Vec<(String, String)> = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut asked = Asked {
        headers,
        body: buffer.split_off(at + 4),
    };
    let length: usize = asked.header("content-length").parse().unwrap_or(0);
    let got = asked.body.len();
    asked.body.resize(length, 0);
    stream.read_exact(&mut asked.body[got..]).await?;
    Ok(Some(asked))
}
