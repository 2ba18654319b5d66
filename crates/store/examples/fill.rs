//! Fills an empty SQLite database with a history, through the store as the gateway writes it: people, sessions of twenty
//! requests or so, a prompt and a tool call for each, tokens, and the sums of it all. What a real history does not have is
//! a prompt with each request: the worst case for a search through them.
//!
//! `fill FILE INTERCEPTIONS [POSTGRES_URL]`, for `cargo xtask bench pages`, which finds what it asks for by the names in
//! here. An empty PostgreSQL database gets the same rows, copied, because a million commits there take too long. No server
//! may be running on either. Prints the session tokens of the owner and of a member, one a line.

use std::io::Write as _;
use std::time::Duration;

use gateway_core::audit::Source;
use gateway_core::interception::{
    CredentialKind, End, Entry, Marks, Outcome, Record, Start, TokenUsage, ToolKind, ToolUsage,
};
use gateway_core::{
    ApiToken, Clock as _, InterceptionId, Lifetime, ProviderKind, Roles, RunId, Scopes, Secret, SystemClock,
    Timestamp, TokenId, TokenKind, UserId,
};
use gateway_store::{Author, NewToken, NewUser, Purpose, Store, StoreOptions, Target};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::types::ValueRef;
use sqlx::Connection as _;
use uuid::Uuid;

const PEOPLE: usize = 50;
const DAYS: u64 = 60;
/// Requests of a session on average, and of a thread.
const SESSION: u32 = 20;
const THREAD: u32 = 5;
/// The member's long session has so many requests, all in one thread.
const LONG: u32 = 1000;
const LONG_SESSION: &str = "a-long-one";
/// Asked once, in the beginning.
const RARE_MODEL: &str = "claude-rare";
const RARE_CLIENT: &str = "Kilo Code";
/// Interceptions of one commit, and between checkpoints.
const GROUP: usize = 1000;
const CHECKPOINT: usize = 20 * GROUP;
/// What is copied, so that nothing comes before what it refers to.
const TABLES: [&str; 9] = [
    "users",
    "tokens",
    "set_up",
    "aibridge_interceptions",
    "aibridge_user_prompts",
    "aibridge_token_usages",
    "aibridge_tool_usages",
    "aibridge_sessions",
    "aibridge_usage_days",
];
/// Bytes that are sent at once.
const PART: usize = 1 << 20;
const WORDS: [&str; 24] = [
    "please", "rename", "the", "function", "that", "reads", "a", "file", "and", "write", "tests", "for",
    "it", "then", "look", "why", "this", "query", "is", "slow", "explain", "every", "step", "again",
];
/// Client, provider, model.
const HABITS: [(&str, ProviderKind, &str); 8] = [
    ("Claude Code", ProviderKind::Anthropic, "claude-opus-4-8"),
    ("Claude Code", ProviderKind::Anthropic, "claude-sonnet-4-8"),
    ("Claude Code", ProviderKind::Anthropic, "claude-sonnet-4-8"),
    ("Codex", ProviderKind::OpenAi, "gpt-5.2-codex"),
    ("Codex", ProviderKind::OpenAi, "gpt-5.2"),
    ("Cursor", ProviderKind::OpenAi, "gpt-5.2"),
    ("Zed", ProviderKind::Anthropic, "claude-haiku-4-8"),
    ("Unknown", ProviderKind::OpenAi, "gpt-5.2-mini"),
];

/// Somebody, and what they are at.
struct Person {
    id: UserId,
    username: String,
    token: TokenId,
    session: String,
    habit: (&'static str, ProviderKind, &'static str),
    /// Requests in the session so far.
    made: u32,
    /// How many it will have, and how many a thread of it.
    size: (u32, u32),
    /// The tool call that the next request answers.
    call: Option<String>,
}

/// The history in the making.
struct History {
    rng: StdRng,
    people: Vec<Person>,
    begin: Timestamp,
    /// Between one interception and the next.
    step: Duration,
    total: usize,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name a file")?;
    let total = arguments.next().ok_or("say how many interceptions")?.parse()?;
    let store = open(format!("sqlite:{file}")).await?;
    let now = SystemClock.now();
    let mut people = Vec::with_capacity(PEOPLE);
    for number in 0..PEOPLE {
        let (person, token) = settle(&store, number, now).await?;
        if number < 2 {
            println!("{}", token.expose());
        }
        people.push(person);
    }
    let run = RunId::generate();
    store
        .interceptions()
        .begin_run(run, Duration::from_mins(10), now)
        .await?;
    let length = Duration::from_hours(24 * DAYS);
    let mut history = History {
        rng: StdRng::seed_from_u64(1),
        people,
        begin: now.minus(length),
        step: length.div_f64(f64::from(u32::try_from(total)?)),
        total,
    };
    for first in (0..total).step_by(GROUP) {
        let group: Vec<Record> = (first..total.min(first + GROUP))
            .flat_map(|n| history.next(n))
            .collect();
        store.interceptions().commit(run, group).await?;
        if first % CHECKPOINT == 0 {
            store.checkpoint().await?;
        }
    }
    store.interceptions().end_run(run).await?;
    store.close().await;
    if let Some(url) = arguments.next() {
        // It makes the tables.
        open(url.clone()).await?.close().await;
        copy(&file, &url).await?;
    }
    Ok(())
}

async fn open(url: String) -> Result<Store, Box<dyn std::error::Error>> {
    let options = StoreOptions::new(Target::parse(&Secret::new(url))?);
    Ok(Store::open(options, Purpose::Server).await?)
}

/// The first is the owner, all others are members. Each gets a session token.
async fn settle(
    store: &Store,
    number: usize,
    now: Timestamp,
) -> Result<(Person, ApiToken), Box<dyn std::error::Error>> {
    let username = format!("person-{number:02}");
    let new = NewUser {
        id: UserId::generate(),
        username: username.clone(),
        email: Some(format!("{username}@example.com")),
        name: String::new(),
        roles: Roles::default(),
        is_service_account: false,
        password_hash: None,
    };
    let user = if number == 0 {
        store
            .users()
            .create_first_owner(&Source::default(), new, now)
            .await?
    } else {
        store.users().create(&Author::System, new, now).await?
    };
    let token = ApiToken::generate(&mut rand::rng());
    let day = Duration::from_hours(24);
    let new = NewToken {
        id: token.id(),
        user_id: user.id,
        secret_hash: token.secret_hash(),
        kind: TokenKind::Session,
        name: String::new(),
        scopes: Scopes::all(),
        lifetime: Lifetime::from_secs(day.as_secs()).ok_or("a day is a lifetime")?,
        created_at: now,
        expires_at: now.plus(day),
        password_hash: None,
    };
    store.tokens().create(&Author::System, new).await?;
    let person = Person {
        id: user.id,
        username,
        token: token.id(),
        session: String::new(),
        habit: HABITS[0],
        made: 0,
        size: (0, 1),
        call: None,
    };
    Ok((person, token))
}

// === impl History ===

impl History {
    /// All records of the `n`-th interception. The ids are in the order of the times.
    fn next(&mut self, n: usize) -> Vec<Record> {
        let at = self
            .begin
            .plus(self.step.mul_f64(f64::from(u32::try_from(n).unwrap_or(u32::MAX))));
        let is_long = n / usize::try_from(LONG).unwrap_or(1) == self.total / 2000;
        let number = if is_long {
            1
        } else {
            self.rng.random_range(0..self.people.len())
        };
        let is_rare = n < usize::try_from(LONG).unwrap_or(1) && number == 2;
        let habit = HABITS[self.rng.random_range(0..HABITS.len())];
        let size = self.rng.random_range(1..2 * SESSION);
        let id = id_at(at, self.rng.random());
        let person = &mut self.people[number];
        if is_long && person.session != LONG_SESSION {
            person.begin_session(LONG_SESSION.to_owned(), habit, (LONG, LONG));
        } else if person.made >= person.size.0 {
            let habit = if is_rare {
                (RARE_CLIENT, ProviderKind::Anthropic, RARE_MODEL)
            } else {
                habit
            };
            person.begin_session(id.to_string(), habit, (size, THREAD));
        }
        let answered = person
            .call
            .take()
            .filter(|_| !person.made.is_multiple_of(person.size.1));
        person.made += 1;
        let call = format!("toolu_{}", id.as_uuid().simple());
        person.call = Some(call.clone());
        let start = person.start(at, answered, prompt(&mut self.rng));
        let end = end(&mut self.rng, at, id, person.habit.2);
        let record = |entry| Record {
            id,
            initiator_id: person.id,
            entry,
        };
        vec![
            record(Entry::Start(Box::new(start))),
            record(Entry::Tool(Box::new(tool(at, call)))),
            record(Entry::End(Box::new(end))),
        ]
    }
}

// === impl Person ===

impl Person {
    fn begin_session(
        &mut self,
        id: String,
        habit: (&'static str, ProviderKind, &'static str),
        size: (u32, u32),
    ) {
        (self.session, self.habit, self.size) = (id, habit, size);
        (self.made, self.call) = (0, None);
    }

    fn start(&self, at: Timestamp, answered: Option<String>, prompt: String) -> Start {
        let (client, provider, model) = self.habit;
        Start {
            initiator_username: self.username.clone(),
            token_id: self.token,
            provider,
            provider_name: provider.as_str().parse().expect("kinds are good names"),
            route: if provider == ProviderKind::Anthropic {
                "messages"
            } else {
                "responses"
            },
            model: model.to_owned(),
            client: client.to_owned(),
            client_version: Some("2.1.14".to_owned()),
            user_agent: Some(format!("{client}/2.1.14 (external, cli)")),
            client_session_id: Some(self.session.clone()),
            correlating_tool_call_id: answered,
            credential_kind: CredentialKind::Centralized,
            credential_hint: "sk-ant-...abcd".to_owned(),
            is_streamed: true,
            prompt: Some(prompt),
            started_at: at,
            marks: Marks::NONE,
        }
    }
}

fn prompt(rng: &mut StdRng) -> String {
    let words: Vec<&str> = (0..60).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    words.join(" ")
}

fn tool(at: Timestamp, call: String) -> ToolUsage {
    ToolUsage {
        ordinal: 0,
        provider_response_id: None,
        provider_tool_call_id: Some(call),
        provider_item_id: None,
        tool: "Bash".to_owned(),
        kind: ToolKind::Function,
        input: Some(r#"{"command":"cargo test --workspace","description":"Runs the tests"}"#.to_owned()),
        is_cut: false,
        created_at: at.plus(Duration::from_secs(3)),
    }
}

fn end(rng: &mut StdRng, at: Timestamp, id: InterceptionId, model: &str) -> End {
    let failed = rng.random_range(0..50) == 0;
    End {
        outcome: if failed {
            Outcome::ProviderError
        } else {
            Outcome::Completed
        },
        status: Some(if failed { 529 } else { 200 }),
        answered_model: Some(format!("{model}-20260101")),
        provider_response_id: Some(format!("msg_{}", id.as_uuid().simple())),
        stop_reason: Some("tool_use".to_owned()),
        error_type: failed.then(|| "overloaded_error".to_owned()),
        error_message: failed.then(|| "Overloaded".to_owned()),
        usage: (!failed).then(|| TokenUsage {
            input: rng.random_range(1..3000),
            output: rng.random_range(1..2000),
            cache_read_input: rng.random_range(0..100_000),
            cache_write_input: rng.random_range(0..5000),
            ..TokenUsage::default()
        }),
        thoughts: Vec::new(),
        first_byte_at: Some(at.plus(Duration::from_secs(1))),
        ended_at: at.plus(Duration::from_secs(5)),
        marks: Marks::NONE,
    }
}

/// As a UUID of version 7.
fn id_at(at: Timestamp, random: u128) -> InterceptionId {
    let millis = u128::try_from(at.as_micros() / 1000).unwrap_or(0);
    let fixed = (0x7 << 76) | (0x2 << 62);
    let free = ((1 << 76) - 1) & !(0x3 << 62);
    InterceptionId::from_uuid(Uuid::from_u128((millis << 80) | fixed | (random & free)))
}

// === Copying ===

async fn copy(file: &str, url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let from = rusqlite::Connection::open(file)?;
    let mut to = sqlx::PgConnection::connect(url).await?;
    for table in TABLES {
        let mut statement = from.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_names().join(", ");
        let mut copying = to
            .copy_in_raw(&format!("COPY {table} ({columns}) FROM STDIN"))
            .await?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        let mut part = Vec::with_capacity(PART);
        while let Some(row) = rows.next()? {
            for column in 0..width {
                write_value(&mut part, row.get_ref(column)?)?;
                part.push(if column + 1 < width { b'\t' } else { b'\n' });
            }
            if part.len() >= PART {
                copying.send(std::mem::take(&mut part)).await?;
            }
        }
        copying.send(part).await?;
        copying.finish().await?;
    }
    to.close().await?;
    Ok(())
}

/// In the text format of COPY, which takes the numbers 0 and 1 for a boolean.
fn write_value(part: &mut Vec<u8>, value: ValueRef<'_>) -> std::io::Result<()> {
    match value {
        ValueRef::Null => part.extend(br"\N"),
        ValueRef::Integer(number) => write!(part, "{number}")?,
        ValueRef::Real(number) => write!(part, "{number}")?,
        ValueRef::Blob(bytes) => {
            part.extend(br"\\x");
            for byte in bytes {
                write!(part, "{byte:02x}")?;
            }
        }
        ValueRef::Text(text) => {
            for byte in text {
                match byte {
                    b'\\' => part.extend(br"\\"),
                    b'\t' => part.extend(br"\t"),
                    b'\n' => part.extend(br"\n"),
                    b'\r' => part.extend(br"\r"),
                    byte => part.push(*byte),
                }
            }
        }
    }
    Ok(())
}
