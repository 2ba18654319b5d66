//! The clients of a measurement: all of them on one thread, so that they take as little as can be of the machine that they
//! share with what is measured.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Case, Way};
use crate::interrupt;

/// Of the time of a measurement, before it.
const WARM_UP: u32 = 5;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One measurement.
pub(super) struct Rate {
    /// All requests, those of the warm-up included.
    pub(super) requests: usize,
    pub(super) per_second: f64,
    pub(super) median: Duration,
    pub(super) slow: Duration,
}

/// What one client has sent.
struct Sent {
    /// How long each took, but for those of the warm-up.
    times: Vec<Duration>,
    requests: usize,
}

/// A connection to a provider, whatever is between.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

type Stream = BufReader<Box<dyn Connection>>;

/// Sends requests for the given time from so many clients at once.
pub(super) fn measure(way: &Way, case: &Case, clients: usize, time: Duration) -> anyhow::Result<Rate> {
    let start = Instant::now() + time / WARM_UP;
    let end = start + time;
    let request = request(way, case);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the clients")?;
    let sent = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(client(
                way.clone(),
                request.clone(),
                case.is_new_each_time,
                start,
                end,
            ));
        }
        let mut all = Sent {
            times: Vec::new(),
            requests: 0,
        };
        while let Some(sent) = tasks.join_next().await {
            let sent = sent.context("a client of the measurement panicked")??;
            all.requests += sent.requests;
            all.times.extend(sent.times);
        }
        anyhow::Ok(all)
    })?;
    let Sent { mut times, requests } = sent;
    times.sort_unstable();
    let count = u32::try_from(times.len()).context("too many requests to count")?;
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .context("nothing was measured")
    };
    Ok(Rate {
        requests,
        per_second: f64::from(count) * f64::from(case.units) / time.as_secs_f64(),
        median: at(50)?,
        slow: at(99)?,
    })
}

/// The bytes of the request, the same each time.
fn request(way: &Way, case: &Case) -> Vec<u8> {
    let Way {
        address,
        path,
        credential,
        through: _,
    } = way;
    let (body, length) = (&case.body, case.body.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nX-Api-Key: {credential}\r\nContent-Type: application/json\r\n\
         Anthropic-Version: 2023-06-01\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One client: request after request, on one connection or each on a new one.
async fn client(
    way: Way,
    request: Vec<u8>,
    is_new_each_time: bool,
    start: Instant,
    end: Instant,
) -> anyhow::Result<Sent> {
    let mut kept = None;
    let mut sent = Sent {
        times: Vec::new(),
        requests: 0,
    };
    loop {
        let begin = Instant::now();
        let exchange = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => open(&way).await?,
            };
            stream
                .write_all(&request)
                .await
                .context("cannot send a request")?;
            read_answer(&mut stream).await?;
            if is_new_each_time {
                stream.shutdown().await.context("cannot close a connection")?;
            } else {
                kept = Some(stream);
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .context("an answer took too long")??;
        sent.requests += 1;
        let now = Instant::now();
        if interrupt::happened() {
            bail!("interrupted");
        }
        if now >= end {
            return Ok(sent);
        }
        if begin >= start {
            sent.times.push(now - begin);
        }
    }
}

async fn open(way: &Way) -> anyhow::Result<Stream> {
    let address = way.address;
    let stream: Box<dyn Connection> = if let Some(through) = &way.through {
        Box::new(through.open(address).await?)
    } else {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Box::new(stream)
    };
    Ok(BufReader::new(stream))
}

/// Reads an answer to its end. It must be a good one.
async fn read_answer(stream: &mut Stream) -> anyhow::Result<()> {
    let mut line = String::new();
    read_line(stream, &mut line).await?;
    let is_good = line.starts_with("HTTP/1.1 200 ");
    let first = line.trim_end().to_owned();
    let mut length = None;
    loop {
        read_line(stream, &mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().context("bad Content-Length")?);
        }
    }
    ensure!(is_good, "the answer was {first}");
    match length {
        Some(0) => bail!("an answer was empty"),
        Some(length) => skip(stream, length).await,
        // Without a length it comes in chunks: nobody here closes a connection after an answer.
        None => loop {
            read_line(stream, &mut line).await?;
            let size = line.trim_end();
            let size =
                u64::from_str_radix(size, 16).with_context(|| format!("bad size of a chunk: {size:?}"))?;
            skip(stream, size).await?;
            read_line(stream, &mut line).await?;
            if size == 0 {
                return Ok(());
            }
        },
    }
}

async fn skip(stream: &mut Stream, length: u64) -> anyhow::Result<()> {
    let skipped = tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await?;
    ensure!(skipped == length, "the answer ended too early");
    Ok(())
}

async fn read_line(stream: &mut Stream, line: &mut String) -> anyhow::Result<()> {
    line.clear();
    let read = stream.read_line(line).await.context("the answer broke off")?;
    ensure!(read > 0, "the connection was closed before the answer ended");
    Ok(())
}
