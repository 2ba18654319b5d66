//! `cargo xtask bench`: what the gateway costs, as a ratio to the same requests sent to the provider directly, and what
//! recording costs, as a ratio to the gateway's own unrecorded route; what its proxy takes, as a ratio to mitmproxy; and
//! what the pages of the dashboard take.
//!
//! Client, gateway and simulated provider share the machine, so that absolute numbers say little; both ways are measured
//! in turns in one run, and the median of the rounds counts. The provider answers at once, which no real one does: the
//! ratios are the worst case.

mod clients;
mod pages;
mod proxy;
mod records;
mod replay;
mod through;

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

use self::clients::{Rate, measure};
use self::through::Through;
use crate::demo::Stage;
use crate::process;
use crate::workspace::{Build, Programs, Workspace};

/// Clients at the same time, each on a connection of its own.
const CLIENTS: usize = 16;
/// How often each way is measured.
const ROUNDS: usize = 3;
/// Pieces of text in a stream.
const CHUNKS: u32 = 200;

/// The parts of a measurement, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The gateway beside the provider without it.
    Relay,
    /// The recorded route beside the one that is not.
    Records,
    /// The AI Gateway Proxy beside mitmproxy.
    Proxy,
    /// The pages of the dashboard, with a million interceptions to show.
    Pages,
}

/// What is asked for again and again.
struct Case {
    name: &'static str,
    unit: &'static str,
    body: String,
    /// What one answer counts for.
    units: u32,
    /// Each request goes on a connection of its own, the making of which is measured with it.
    is_new_each_time: bool,
}

/// One way to the provider.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    path: &'static str,
    credential: String,
    /// The proxy that leads there.
    through: Option<Through>,
}

pub(crate) fn run(workspace: &Workspace, part: Option<Part>, seconds: u64) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        return optimised(workspace, part, seconds);
    }
    let programs = workspace.build(Build::OptimisedPrograms)?;
    let is_wanted = |other| part.is_none_or(|part| part == other);
    if is_wanted(Part::Relay) {
        relaying(&programs, seconds)?;
    }
    if is_wanted(Part::Records) {
        records::run(workspace, &programs, seconds)?;
    }
    if is_wanted(Part::Proxy) {
        proxy::run(workspace, &programs, seconds)?;
    }
    if is_wanted(Part::Pages) {
        pages::run(workspace, &programs)?;
    }
    Ok(())
}

/// Runs this command in the profile of the programs: clients that take more of the machine than what they measure would
/// measure themselves.
fn optimised(workspace: &Workspace, part: Option<Part>, seconds: u64) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&["run", "--quiet", "--release", "--package", "xtask", "--", "bench"]);
    command.args(["--seconds", &seconds.to_string()]);
    if let Some(part) = part.and_then(|part| part.to_possible_value()) {
        command.arg(part.get_name());
    }
    process::run(&mut command)
}

fn relaying(programs: &Programs, seconds: u64) -> anyhow::Result<()> {
    let stage = Stage::start(programs)?;
    stage.owner()?;
    let ways = [
        Way {
            address: stage.provider()?,
            path: "/v1/messages",
            credential: Stage::central_key().to_owned(),
            through: None,
        },
        Way {
            address: stage.address,
            path: "/api/v2/aibridge/anthropic/v1/messages",
            credential: stage.token("bench")?,
            through: None,
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
            is_new_each_time: false,
        },
        Case {
            name: "messages, 128 KiB",
            unit: "req",
            body: question("x".repeat(128 << 10), false),
            units: 1,
            is_new_each_time: false,
        },
        Case {
            name: "streams of 200 pieces",
            unit: "pieces",
            body: question(format!("[[sim: chunks={CHUNKS}]]"), true),
            units: CHUNKS,
            is_new_each_time: false,
        },
    ]
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
