//! What the pages of the dashboard weigh and how long the server takes for them, on each engine, with a million
//! interceptions of sixty days in the database.
//!
//! One client, signed in, asks for one page after the other on one connection, so that a time is that of the server alone.
//! What weighs is the page, which comes as it is, with the style sheet, the script and the icon, which browsers fetch once
//! and packed. The history is made by `crates/store/examples/fill.rs`, whose names stand in here.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::demo::{Setting, Stage};
use crate::http::Connection;
use crate::workspace::{Programs, Workspace};
use crate::{db, process};

const INTERCEPTIONS: u32 = 1_000_000;
const REQUESTS: usize = 30;

/// What a page may take: bytes in all, and time.
const MAX_BYTES: usize = 60_000;
const MAX_TIME: Duration = Duration::from_millis(50);

/// The list from its beginning on, unless asked for less.
const LIST: &str = "/ai-gateway/sessions?from=";

/// Whoever asks.
#[derive(Clone, Copy)]
enum Who {
    Owner,
    Member,
}

/// A page and its name.
type Page = (Who, &'static str, String);

/// The session tokens of both.
struct Tokens {
    owner: String,
    member: String,
}

pub(super) fn run(workspace: &Workspace, programs: &Programs) -> anyhow::Result<()> {
    println!("\nMaking {INTERCEPTIONS} interceptions on each engine, which takes minutes");
    let folder = tempfile::tempdir().context("cannot make a scratch directory")?;
    let file = folder.path().join("coder.db");
    let database = db::durable(workspace)?;
    let tokens = fill(programs, &file, database.url())?;
    let url = format!("sqlite:{}", file.display());
    let setting = Setting {
        variables: &[("CODER_DATABASE_URL", url)],
        ..Setting::default()
    };
    on("SQLite", Stage::start_with(programs, &setting)?, &tokens)?;
    // By itself PostgreSQL does so in the course of the days that the history took.
    let vacuum = database.programs().join("vacuumdb");
    process::quiet(Command::new(vacuum).args(["--analyze", "--quiet", "--dbname", database.url()]))?;
    let stage = Stage::start_on(programs, Some(database.url()))?;
    on("PostgreSQL", stage, &tokens)
}

/// The same on both engines.
fn fill(programs: &Programs, file: &Path, url: &str) -> anyhow::Result<Tokens> {
    let begin = Instant::now();
    let mut command = Command::new(programs.path("fill")?);
    let printed = process::quiet(command.arg(file).arg(INTERCEPTIONS.to_string()).arg(url))?;
    let mut lines = printed.lines().map(str::to_owned);
    println!("  made in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(Tokens {
        owner: lines.next().context("there is no owner")?,
        member: lines.next().context("there is no member")?,
    })
}

/// Measures all pages on one engine.
fn on(engine: &str, stage: Stage, tokens: &Tokens) -> anyhow::Result<()> {
    let client = Client {
        stage: &stage,
        tokens,
    };
    let pages = client.pages()?;
    let assets = client.assets()?;
    println!(
        "\n{engine}: {REQUESTS} requests for each page, one after the other; {assets} bytes of style sheet, script and icon\n"
    );
    println!(
        "{:<46} {:>8} {:>8} {:>12} {:>12}",
        "", "HTML", "in all", "median", "p99"
    );
    for (who, name, path) in &pages {
        let mut times = Vec::with_capacity(REQUESTS);
        let mut size = 0;
        let mut connection = Connection::open(stage.address)?;
        for _ in 0..REQUESTS {
            let begin = Instant::now();
            (size, connection) = client.measure(connection, *who, path)?;
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        let (median, slow) = (times[REQUESTS / 2], times[REQUESTS - 1]);
        let is_within = size + assets <= MAX_BYTES && median <= MAX_TIME;
        println!(
            "{:<46} {size:>8} {:>8} {:>9.1} ms {:>9.1} ms{}",
            format!("{name}, {}", who.as_str()),
            size + assets,
            median.as_secs_f64() * 1000.0,
            slow.as_secs_f64() * 1000.0,
            if is_within { "" } else { "  too much" },
        );
    }
    stage.stop()
}

/// Asks for pages.
struct Client<'a> {
    stage: &'a Stage,
    tokens: &'a Tokens,
}

// === impl Who ===

impl Who {
    fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

// === impl Client ===

impl Client<'_> {
    /// The size of a page.
    fn measure(&self, connection: Connection, who: Who, path: &str) -> anyhow::Result<(usize, Connection)> {
        let cookie = self.cookie(who);
        let headers = [("Cookie", cookie.as_str()), ("Accept-Encoding", "gzip")];
        let answer = connection.send("GET", path, &headers, "")?;
        ensure!(answer.status == 200, "{path} was answered {}", answer.status);
        let mut size = 0;
        let connection = answer.each_part(|part| {
            size += part.len();
            Ok(())
        })?;
        Ok((size, connection))
    }

    fn text(&self, who: Who, path: &str) -> anyhow::Result<String> {
        let cookie = self.cookie(who);
        let answer = Connection::open(self.stage.address)?.send("GET", path, &[("Cookie", &cookie)], "")?;
        ensure!(answer.status == 200, "{path} was answered {}", answer.status);
        answer.text()
    }

    fn cookie(&self, who: Who) -> String {
        let token = match who {
            Who::Owner => &self.tokens.owner,
            Who::Member => &self.tokens.member,
        };
        format!("coder_session={token}")
    }

    /// The bytes of what a page refers to.
    fn assets(&self) -> anyhow::Result<usize> {
        let page = self.text(Who::Owner, "/settings/tokens")?;
        let mut paths: Vec<&str> = page
            .split('"')
            .filter(|part| part.starts_with("/assets/"))
            .collect();
        paths.sort_unstable();
        paths.dedup();
        ensure!(
            paths.len() == 3,
            "a page refers to a style sheet, a script and an icon"
        );
        paths
            .into_iter()
            .map(|path| {
                let connection = Connection::open(self.stage.address)?;
                Ok(self.measure(connection, Who::Owner, path)?.0)
            })
            .sum()
    }

    fn pages(&self) -> anyhow::Result<Vec<Page>> {
        let mut pages = Vec::new();
        for who in [Who::Owner, Who::Member] {
            pages.extend(lists().into_iter().map(|(name, path)| (who, name, path)));
            let list = self.text(who, LIST)?;
            let session = first_link(&list, "/ai-gateway/sessions/")?;
            let steps = self.text(who, &session)?;
            let interception = first_link(&steps, "/ai-gateway/interceptions/")?;
            pages.extend(
                [
                    ("a session", session),
                    (
                        "a session of 1000 requests",
                        "/ai-gateway/sessions/a-long-one".to_owned(),
                    ),
                    ("a request", interception),
                    ("usage by day", "/ai-gateway/usage?by=day".to_owned()),
                    ("usage by week", "/ai-gateway/usage?by=week".to_owned()),
                    ("usage by month", "/ai-gateway/usage?by=month".to_owned()),
                    ("tokens", "/settings/tokens".to_owned()),
                    ("signed-in sessions", "/settings/sessions".to_owned()),
                    ("providers", "/ai-gateway/providers".to_owned()),
                ]
                .map(|(name, path)| (who, name, path)),
            );
        }
        pages.extend(
            [
                ("list, one person", format!("{LIST}&person=person-07")),
                (
                    "list, person, time, client and model",
                    narrow("person-03", "Codex", "gpt-5.2"),
                ),
                (
                    "usage of one person",
                    "/ai-gateway/usage?by=day&person=person-07".to_owned(),
                ),
                ("audit log", "/audit".to_owned()),
                ("people", "/users".to_owned()),
            ]
            .map(|(name, path)| (Who::Owner, name, path)),
        );
        Ok(pages)
    }
}

/// The list, otherwise.
fn lists() -> Vec<(&'static str, String)> {
    let deep = first_id(55);
    vec![
        ("list", "/ai-gateway/sessions".to_owned()),
        ("list of all days", LIST.to_owned()),
        ("list, deep", format!("{LIST}&after={deep}")),
        ("list, one day", format!("{LIST}{0}&until={0}", day(40))),
        ("list, a usual client", format!("{LIST}&client=Codex")),
        ("list, a rare client", format!("{LIST}&client=Kilo+Code")),
        ("list, a client that nobody has", format!("{LIST}&client=nothing")),
        ("list, a usual model", format!("{LIST}&model=gpt-5.2")),
        ("list, a rare model", format!("{LIST}&model=claude-rare")),
        (
            "list, a model and not its client",
            format!("{LIST}&client=Codex&model=claude-opus-4-8"),
        ),
        ("list, a provider", format!("{LIST}&provider=openai")),
        (
            "list, a provider that is not there",
            format!("{LIST}&provider=nothing"),
        ),
        (
            "list, a text that is found early",
            format!("{LIST}&text=slow+explain"),
        ),
        ("list, a text that is not there", format!("{LIST}&text=zyzzyva")),
        (
            "list, a text of a client that nobody has",
            format!("{LIST}&text=slow&client=nothing"),
        ),
    ]
}

fn narrow(person: &str, client: &str, model: &str) -> String {
    format!(
        "{LIST}{}&until={}&person={person}&client={client}&model={model}",
        day(45),
        day(30)
    )
}

/// So many days ago.
fn ago(days: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days)
}

/// The first id of version 7 of that time.
fn first_id(days: i64) -> String {
    let millis = ago(days).as_millisecond();
    format!(
        "{:08x}-{:04x}-7000-8000-000000000000",
        millis >> 16,
        millis & 0xffff
    )
}

/// That day, UTC.
fn day(days: i64) -> String {
    ago(days).strftime("%Y-%m-%d").to_string()
}

/// The first address in a page that begins so.
fn first_link(page: &str, beginning: &str) -> anyhow::Result<String> {
    page.split('"')
        .find(|part| {
            part.starts_with(beginning) && !part.contains(['?', '&']) && part.len() > beginning.len()
        })
        .map(str::to_owned)
        .with_context(|| format!("no link to {beginning}... is on the page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_whole() {
        let page = r#"<a href="/x/?a"><a href="/x/"><a href="/x/1"><a href="/x/2">"#;
        assert_eq!(first_link(page, "/x/").unwrap(), "/x/1");
        assert!(first_link(page, "/y/").is_err());
    }
}
