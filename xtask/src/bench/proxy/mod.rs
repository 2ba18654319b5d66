//! What the AI Gateway Proxy takes, as a ratio to mitmproxy: new intercepted connections, and requests on those that are
//! kept. And what an idle tunnel costs it in memory.
//!
//! Both proxies have one processor, the same one, in turns; clients and a provider that only repeats an answer have the
//! other, so that the proxy is the limit. Both ask for a password
//! at the CONNECT, end the client's TLS with certificates of the authority that each makes for itself, and send the
//! request on in plain HTTP. What they do beyond that differs, against the gateway: the route is its recorded one, as
//! users have it, so every request is also admitted, credentialed, and written to the database with its answer.
//! mitmproxy relays and keeps nothing.
//!
//! Where other programs use the processor as well, the rates say as much about those; the processor time that each proxy
//! has used for a request does not.

mod mitmproxy;
mod tunnels;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use self::mitmproxy::Mitmproxy;
use super::clients::{Rate, measure};
use super::replay::Replay;
use super::through::Through;
use super::{Case, Way};
use crate::cores::Cores;
use crate::db::free_port;
use crate::demo::{Setting, Stage};
use crate::http;
use crate::workspace::{Programs, Workspace};

const ROUNDS: usize = 3;
/// What both clients and programs need for the connections of a measurement, with room.
const FILES: u64 = 8192;
/// What a client sends as its provider's key to have the gateway's used.
const PLACEHOLDER: &str = "coder-aibridge";
const MESSAGES: &str = "/v1/messages";

/// What a proxy took.
struct Taken {
    rate: Rate,
    /// Processor time of the proxy for one request.
    processor: Duration,
}

/// Clients at the same time, and what each of them does.
struct Load {
    clients: usize,
    case: Case,
}

pub(super) fn run(workspace: &Workspace, programs: &Programs, seconds: u64) -> anyhow::Result<()> {
    allow_files()?;
    let cores = Cores::choose()?;
    cores
        .clients
        .run(|| compare(workspace, programs, cores, Duration::from_secs(seconds)))
}

/// Every tunnel is two connections at both ends, and children have what this process has.
fn allow_files() -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        hard >= FILES,
        "this measurement needs {FILES} open files; the limit is {hard}"
    );
    if soft < FILES {
        setrlimit(Resource::RLIMIT_NOFILE, FILES, hard)?;
    }
    Ok(())
}

fn compare(workspace: &Workspace, programs: &Programs, cores: Cores, time: Duration) -> anyhow::Result<()> {
    let idle = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let replay = Replay::bind()?;
    let provider = replay.address()?;
    let variables = [
        ("CODER_AIBRIDGE_PROXY_ENABLED", "true".to_owned()),
        ("CODER_AIBRIDGE_PROXY_LISTEN_ADDR", address.to_string()),
        (
            "CODER_AIBRIDGE_PROXY_ALLOWED_PRIVATE_CIDRS",
            "127.0.0.0/8".to_owned(),
        ),
        (
            "CODER_AIBRIDGE_PROXY_ALLOWED_PORTS",
            idle.local_addr()?.port().to_string(),
        ),
    ];
    let setting = Setting {
        variables: &variables,
        cores: Some(cores),
        provider: Some(provider),
        ..Setting::default()
    };
    let mut stage = Stage::start_with(programs, &setting)?;
    stage.owner()?;
    replay.serve(&answer(&stage)?)?;
    let credential = format!("coder:{}", stage.token("bench")?);
    let trusted = stage.server_folder().join("aibridge-proxy-ca.pem");
    let through = Through::new(address, &credential, &trusted)?;
    // Memory that a load, or hashing a password, has left free would hide what the tunnels take.
    stage.restart_server(&setting)?;
    let per_tunnel = tunnels::memory(&stage, &through, idle)?;
    let yardstick = Mitmproxy::start(workspace, &stage, cores, &credential)?;
    let way = |credential: &str, through| {
        anyhow::Ok(Way {
            address: provider,
            path: MESSAGES,
            credential: credential.to_owned(),
            through: Some(through),
        })
    };
    let ways = [
        way(
            Stage::central_key(),
            Through::new(yardstick.address, &credential, &yardstick.trusted)?,
        )?,
        way(PLACEHOLDER, through)?,
    ];
    let processor = |which: usize| match which {
        0 => yardstick.process.processor_time(),
        _ => stage.server_time(),
    };
    println!(
        "\nProxies on one processor: {ROUNDS} rounds of {} s each\n",
        time.as_secs()
    );
    println!(
        "{:<36} {:>14} {:>14} {:>7} {:>34}",
        "", yardstick.version, "coder", "ratio", "processor time of each, and ratio"
    );
    for load in loads() {
        let mut all: [Vec<Taken>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (which, (way, taken)) in ways.iter().zip(&mut all).enumerate() {
                taken.push(take(way, &load, time, || processor(which))?);
            }
        }
        println!("{}", line(&load.case, &all.map(median)));
    }
    println!("\n{per_tunnel:.1} KiB of memory for an idle tunnel");
    yardstick.process.stop()?;
    stage.stop()
}

fn take(
    way: &Way,
    load: &Load,
    time: Duration,
    processor: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Taken> {
    let before = processor()?;
    let rate = measure(way, &load.case, load.clients, time)?;
    let used = processor()?.saturating_sub(before);
    let requests = u32::try_from(rate.requests).context("too many requests to count")?;
    Ok(Taken {
        processor: used / requests.max(1),
        rate,
    })
}

/// What the simulated provider says to the question.
fn answer(stage: &Stage) -> anyhow::Result<String> {
    let headers = [
        ("X-Api-Key", Stage::central_key()),
        ("Content-Type", "application/json"),
        ("Anthropic-Version", "2023-06-01"),
    ];
    let answer = http::send(stage.provider()?, "POST", MESSAGES, &headers, &question())?;
    ensure!(answer.status == 200, "the provider answered {}", answer.status);
    answer.text()
}

fn question() -> String {
    json!({
        "model": "claude-sonnet-4-8",
        "max_tokens": 1000,
        "messages": [{ "role": "user", "content": "x" }],
    })
    .to_string()
}

fn loads() -> [Load; 2] {
    let case = |name, unit, is_new_each_time| Case {
        name,
        unit,
        body: question(),
        units: 1,
        is_new_each_time,
    };
    [
        Load {
            clients: 16,
            case: case("new intercepted connections", "conn", true),
        },
        Load {
            clients: 256,
            case: case("requests on 256 kept connections", "req", false),
        },
    ]
}

/// The round whose rate is in the middle.
fn median(mut all: Vec<Taken>) -> Taken {
    all.sort_by(|a, b| a.rate.per_second.total_cmp(&b.rate.per_second));
    all.swap_remove(all.len() / 2)
}

fn line(case: &Case, [yardstick, coder]: &[Taken; 2]) -> String {
    let rate = |taken: &Taken| format!("{:.0} {}/s", taken.rate.per_second, case.unit);
    let processor = |taken: &Taken| taken.processor.as_secs_f64() * 1000.0;
    format!(
        "{:<36} {:>14} {:>14} {:>7.1} {:>34}",
        case.name,
        rate(yardstick),
        rate(coder),
        coder.rate.per_second / yardstick.rate.per_second,
        format!(
            "{:.2} ms / {:.3} ms = {:.1}",
            processor(yardstick),
            processor(coder),
            processor(yardstick) / processor(coder)
        ),
    )
}
