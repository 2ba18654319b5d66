//! `cargo xtask bench`: what the gateway costs, as a ratio to the same requests sent to the provider directly, and what
//! recording costs, as a ratio to the gateway's own unrecorded route.
//!
//! Client, gateway and simulated provider share the machine, so that absolute numbers say little; both ways are measured
//! in turns in one run, and the median of the rounds counts. The provider answers at once, which no real one does: the
//! ratios are the worst case.

mod records;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use crate::demo::Stage;
use crate::http::Connection;
use crate::interrupt;
use crate::workspace::{Build, Programs, Workspace};

/// Clients at the same time, each on a connection of its own.
const CLIENTS: usize = 16;
/// How often each way is measured.
const ROUNDS: usize = 3;
/// Of the time of a measurement, before it.
const WARM_UP: u32 = 5;
/// Pieces of text in a stream.
const CHUNKS: u32 = 200;

/// What is asked for again and again.
struct Case {
    name: &'static str,
    unit: &'static str,
    body: String,
    /// What one answer counts for.
    units: u32,
}

/// One way to the provider.
struct Way {
    address: SocketAddr,
    path: &'static str,
    credential: String,
}

/// One measurement.
struct Rate {
    /// All requests, those of the warm-up included.
    requests: usize,
    per_second: f64,
    median: Duration,
    slow: Duration,
}

pub(crate) fn run(workspace: &Workspace, seconds: u64) -> anyhow::Result<()> {
    let programs = workspace.build(Build::OptimisedPrograms)?;
    relaying(&programs, seconds)?;
    records::run(workspace, &programs, seconds)
}

fn relaying(programs: &Programs, seconds: u64) -> anyhow::Result<()> {
    let stage = Stage::start(programs)?;
    stage.owner()?;
    let ways = [
        Way {
            address: stage.provider()?,
            path: "/v1/messages",
            credential: Stage::central_key().to_owned(),
        },
        Way {
            address: stage.address,
            path: "/api/v2/aibridge/anthropic/v1/messages",
            credential: stage.token("bench")?,
        },
    ];
    println!("\n{CLIENTS} clients, {ROUNDS} rounds of {seconds} s each way\n");
    println!(
        "{:<28} {:>14} {:>14} {:>7} {:>22} {:>22}",
        "", "direct", "gateway", "ratio", "direct p50/p99", "gateway p50/p99"
    );
    for case in cases() {
        let mut rates: [Vec<Rate>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (way, rates) in ways.iter().zip(&mut rates) {
                rates.push(measure(way, &case, CLIENTS, Duration::from_secs(seconds))?);
            }
        }
        let [direct, gateway] = rates.map(median);
        println!(
            "{:<28} {:>14} {:>14} {:>7.2} {:>22} {:>22}",
            case.name,
            format!("{:.0} {}/s", direct.per_second, case.unit),
            format!("{:.0} {}/s", gateway.per_second, case.unit),
            gateway.per_second / direct.per_second,
            latencies(&direct),
            latencies(&gateway),
        );
    }
    stage.stop()
}

fn cases() -> [Case; 3] {
    let question = |text: String, stream: bool| {
        json!({
            "model": "claude-sonnet-4-8",
            "max_tokens": 1000,
            "stream": stream,
            "messages": [{ "role": "user", "content": text }],
        })
        .to_string()
    };
    [
        Case {
            name: "messages, 1 KiB",
            unit: "req",
            body: question("x".repeat(1000), false),
            units: 1,
        },
        Case {
            name: "messages, 128 KiB",
            unit: "req",
            body: question("x".repeat(128 << 10), false),
            units: 1,
        },
        Case {
            name: "streams of 200 pieces",
            unit: "pieces",
            body: question(format!("[[sim: chunks={CHUNKS}]]"), true),
            units: CHUNKS,
        },
    ]
}

/// Sends requests for the given time from so many clients at once.
fn measure(way: &Way, case: &Case, clients: usize, time: Duration) -> anyhow::Result<Rate> {
    let start = Instant::now() + time / WARM_UP;
    let end = start + time;
    let results: Vec<anyhow::Result<Sent>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| client(way, case, start, end)))
            .collect();
        clients
            .into_iter()
            .map(|client| {
                client
                    .join()
                    .unwrap_or_else(|_| bail!("a client of the measurement panicked"))
            })
            .collect()
    });
    let (mut times, mut requests) = (Vec::new(), 0);
    for result in results {
        let sent = result?;
        requests += sent.requests;
        times.extend(sent.times);
    }
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

/// What one client has sent.
struct Sent {
    /// How long each took, but for those of the warm-up.
    times: Vec<Duration>,
    requests: usize,
}

/// One client: request after request on one connection.
fn client(way: &Way, case: &Case, start: Instant, end: Instant) -> anyhow::Result<Sent> {
    let headers = [
        ("X-Api-Key", way.credential.as_str()),
        ("Content-Type", "application/json"),
        ("Anthropic-Version", "2023-06-01"),
    ];
    let mut connection = Connection::open(way.address)?;
    let (mut times, mut requests) = (Vec::new(), 0);
    loop {
        let begin = Instant::now();
        let answer = connection.send("POST", way.path, &headers, &case.body)?;
        if answer.status != 200 {
            let status = answer.status;
            bail!("the answer was {status}: {}", answer.text()?);
        }
        let mut pieces = 0;
        connection = answer.each_part(|part| {
            pieces += part.len();
            Ok(())
        })?;
        if pieces == 0 {
            bail!("an answer was empty");
        }
        requests += 1;
        let now = Instant::now();
        if interrupt::happened() {
            bail!("interrupted");
        }
        if now >= end {
            return Ok(Sent { times, requests });
        }
        if begin >= start {
            times.push(now - begin);
        }
    }
}

/// The round whose rate is in the middle.
fn median(mut rates: Vec<Rate>) -> Rate {
    rates.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rates.swap_remove(rates.len() / 2)
}

fn latencies(rate: &Rate) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    format!(
        "{:.2}/{:.2} ms",
        milliseconds(rate.median),
        milliseconds(rate.slow)
    )
}
