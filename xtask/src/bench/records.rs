//! What recording costs, on each engine: the gateway's recorded route beside the one that it does not record, with the
//! same body, from a provider that takes its time. Answers come whole, which is short and the worst case, or are streamed in
//! fifty pieces to a client that names its session, as coding agents have them. On the other route nobody reads a stream
//! that passes.
//!
//! Three figures. The rate with many clients, which says what the machine can take: clients, provider, gateway and
//! database share it. The processor time of the gateway for each request. And for one client alone what an answer is held
//! back, beside the time of one commit by itself after as long a pause; the provider's own difference between the two
//! routes is taken off.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::clients::{Rate, measure};
use super::{Case, Way};
use crate::demo::Stage;
use crate::workspace::{Programs, Workspace};
use crate::{db, process};

const CLIENTS: usize = 256;
const ROUNDS: usize = 5;
/// Pieces of text in an answer that is streamed.
const CHUNKS: u32 = 50;
/// How long the provider takes.
const PROVIDER_MS: u32 = 20;

/// The way that is recorded, and the one that is not.
const PATHS: [&str; 2] = [
    "/api/v2/aibridge/anthropic/v1/messages",
    "/api/v2/aibridge/anthropic/v1/messages/count_tokens",
];

/// The same two at the provider itself.
const DIRECT: [&str; 2] = ["/v1/messages", "/v1/messages/count_tokens"];
/// As a coding agent names its session.
const AGENT: &str = "user_0a1b_account__session_6f9619ff-8b86-4d01-b42d-00c04fc964ff";

/// Both ways in one round.
struct Round {
    /// Of the rates, recorded to not recorded.
    rate: f64,
    /// The gateway's processor time for one request in seconds, recorded and not.
    processor: [f64; 2],
    /// Of one client alone.
    added: Duration,
}

pub(super) fn run(workspace: &Workspace, programs: &Programs, seconds: u64) -> anyhow::Result<()> {
    println!(
        "\nRecorded to not recorded, the provider taking {PROVIDER_MS} ms: {ROUNDS} rounds of {seconds} s\n"
    );
    let mut lines = Vec::new();
    let stage = Stage::start(programs)?;
    let file = format!("sqlite:{}", stage.scratch().join("commit.db").display());
    lines.extend(on("SQLite", stage, &commit(programs, &file)?, seconds)?);
    let database = db::durable(workspace)?;
    let stage = Stage::start_on(programs, Some(database.url()))?;
    let alone = commit(programs, database.url())?;
    lines.extend(on("PostgreSQL", stage, &alone, seconds)?);
    println!(
        "\n{:<24} {:>18} {:>30} {:>22} {:>18}",
        "",
        format!("rate, {CLIENTS} clients"),
        "processor a request",
        "added for one client",
        "one commit alone"
    );
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

/// The lines of one engine: answers that come whole, and streamed ones.
fn on(engine: &str, stage: Stage, commit: &Duration, seconds: u64) -> anyhow::Result<Vec<String>> {
    stage.owner()?;
    let token = stage.token("bench")?;
    let provider = stage.provider()?;
    let ways = |address, paths: [&'static str; 2], credential: &str| {
        paths.map(|path| Way {
            address,
            path,
            credential: credential.to_owned(),
            through: None,
        })
    };
    let direct = ways(provider, DIRECT, Stage::central_key());
    let ways = ways(stage.address, PATHS, &token);
    let mut lines = Vec::new();
    for case in cases() {
        let mut rounds = Vec::new();
        for number in 0..ROUNDS {
            rounds.push(round(
                &stage,
                &ways,
                &direct,
                &case,
                number,
                Duration::from_secs(seconds),
            )?);
        }
        let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
        let name = format!("{engine}, {}", case.name);
        let processor = format!(
            "x {:.2} ({:.0} to {:.0} us)",
            middle(|round| round.processor[0] / round.processor[1]),
            middle(|round| round.processor[1] * 1e6),
            middle(|round| round.processor[0] * 1e6),
        );
        lines.push(format!(
            "{name:<24} {:>18} {processor:>30} {:>22} {:>18}",
            format!("x {:.2}", middle(|round| round.rate)),
            format!("{:.3} ms", middle(|round| round.added.as_secs_f64() * 1000.0)),
            format!("{:.3} ms", commit.as_secs_f64() * 1000.0),
        ));
    }
    stage.stop()?;
    Ok(lines)
}

/// The order of the two changes from round to round.
fn round(
    stage: &Stage,
    ways: &[Way; 2],
    direct: &[Way; 2],
    case: &Case,
    number: usize,
    time: Duration,
) -> anyhow::Result<Round> {
    let mut results = [None, None];
    for turn in 0..2 {
        let which = (turn + number) % 2;
        let before = stage.server_time()?;
        let many = measure(&ways[which], case, CLIENTS, time)?;
        let processor = stage.server_time()?.saturating_sub(before).as_secs_f64() / as_number(&many)?;
        let alone = measure(&ways[which], case, 1, time)?.median;
        let provider = measure(&direct[which], case, 1, time)?.median;
        results[which] = Some((many.per_second, processor, alone.saturating_sub(provider)));
    }
    let [Some(recorded), Some(not)] = results else {
        bail!("a way was not measured");
    };
    Ok(Round {
        rate: recorded.0 / not.0,
        processor: [recorded.1, not.1],
        added: recorded.2.saturating_sub(not.2),
    })
}

fn as_number(rate: &Rate) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(rate.requests)?))
}

fn cases() -> [Case; 2] {
    let body = |directives: &str, is_streamed: bool, metadata| {
        let text = format!(
            "[[sim: head_delay_ms={PROVIDER_MS}{directives}]] {}",
            "x".repeat(1000)
        );
        json!({
            "model": "claude-sonnet-4-8",
            "max_tokens": 1000,
            "stream": is_streamed,
            "metadata": metadata,
            "messages": [{ "role": "user", "content": text }],
        })
        .to_string()
    };
    [
        Case {
            name: "whole",
            unit: "req",
            body: body("", false, json!({})),
            units: 1,
            is_new_each_time: false,
        },
        Case {
            name: "streamed",
            unit: "req",
            body: body(&format!(" chunks={CHUNKS}"), true, json!({ "user_id": AGENT })),
            units: 1,
            is_new_each_time: false,
        },
    ]
}

/// The time of one commit of one record by itself, on a database of the kind that the gateway uses.
fn commit(programs: &Programs, url: &str) -> anyhow::Result<Duration> {
    let program: &Path = programs.path("commit")?;
    let printed = process::quiet(Command::new(program).arg(url).arg(PROVIDER_MS.to_string()))?;
    let micros = printed
        .trim()
        .parse()
        .with_context(|| format!("not a number: {printed}"))?;
    Ok(Duration::from_micros(micros))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
