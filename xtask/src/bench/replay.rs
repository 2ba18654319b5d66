//! A provider that takes next to nothing of the machine, which it shares with the clients: one thread that gives the same
//! answer to every request. The simulated provider, which reads and thinks, would be the limit of a measurement in which
//! the clients speak TLS.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Of a request's head and body.
const LONGEST: usize = 64 << 10;

/// Where the provider listens, before it has an answer to give.
pub(super) struct Replay(TcpListener);

// === impl Replay ===

impl Replay {
    pub(super) fn bind() -> anyhow::Result<Self> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map(Self)
            .context("cannot listen")
    }

    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    /// Gives this JSON to all who ask, until this program ends, on the processor of the calling thread.
    pub(super) fn serve(self, json: &str) -> anyhow::Result<()> {
        let length = json.len();
        let answer: Arc<[u8]> = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        )
        .into_bytes()
        .into();
        self.0.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the provider")?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(self.0)?
        };
        thread::spawn(move || {
            runtime.block_on(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(connection(stream, Arc::clone(&answer)));
                    // One that failed is its client's to report.
                    while connections.try_join_next().is_some() {}
                }
            });
        });
        Ok(())
    }
}

async fn connection(mut stream: TcpStream, answer: Arc<[u8]>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    while stream.read_buf(&mut request).await? > 0 {
        ensure!(request.len() < LONGEST, "a request is too long");
        // The client waits for its answer before it sends another.
        if length(&request)?.is_some_and(|length| request.len() >= length) {
            request.clear();
            stream.write_all(&answer).await?;
        }
    }
    Ok(())
}

/// Of the whole request, once its head is there.
fn length(request: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let body = std::str::from_utf8(&request[..head])?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("a request without a length")?
        .1
        .trim()
        .parse::<usize>()?;
    Ok(Some(head + 4 + body))
}
