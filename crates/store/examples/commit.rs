//! How long one commit of one record takes by itself: prints the median in microseconds.
//!
//! `commit DATABASE_URL PAUSE_MS`, for `cargo xtask bench`, which compares it with what recording adds to an answer.
//! Before each commit there is a pause, as there is while a provider thinks: a database and a processor that rest answer
//! later than those that are kept busy.

use std::time::{Duration, Instant};

use gateway_core::interception::{CredentialKind, End, Entry, Marks, Outcome, Record, Start, TokenUsage};
use gateway_core::{
    ApiToken, Clock as _, InterceptionId, ProviderKind, RunId, Secret, SystemClock, Timestamp, UserId,
};
use gateway_store::{Purpose, Store, StoreOptions, Target};

const COMMITS: usize = 200;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("name a database")?;
    let pause = Duration::from_millis(arguments.next().ok_or("name a pause")?.parse()?);
    let options = StoreOptions::new(Target::parse(&Secret::new(url))?);
    let store = Store::open(options, Purpose::Server).await?;
    let (run, now) = (RunId::generate(), SystemClock.now());
    store
        .interceptions()
        .begin_run(run, Duration::from_mins(10), now)
        .await?;
    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let (id, initiator_id) = (InterceptionId::generate(), UserId::generate());
        let record = |entry| Record {
            id,
            initiator_id,
            entry,
        };
        store
            .interceptions()
            .commit(run, vec![record(Entry::Start(Box::new(start(now))))])
            .await?;
        let end = vec![record(Entry::End(Box::new(end(now))))];
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        store.interceptions().commit(run, end).await?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    println!("{}", times[COMMITS / 2].as_micros());
    store.close().await;
    Ok(())
}

fn start(now: Timestamp) -> Start {
    Start {
        initiator_username: "alice".to_owned(),
        token_id: ApiToken::generate(&mut rand::rng()).id(),
        provider: ProviderKind::Anthropic,
        provider_name: "anthropic".parse().expect("a good name"),
        route: "messages",
        model: "model".to_owned(),
        client: "Unknown".to_owned(),
        client_version: None,
        user_agent: None,
        client_session_id: None,
        correlating_tool_call_id: None,
        credential_kind: CredentialKind::Centralized,
        credential_hint: String::new(),
        is_streamed: false,
        prompt: Some("x".repeat(1000)),
        started_at: now,
        marks: Marks::NONE,
    }
}

fn end(now: Timestamp) -> End {
    End {
        outcome: Outcome::Completed,
        status: Some(200),
        answered_model: Some("model".to_owned()),
        provider_response_id: Some("msg_1".to_owned()),
        stop_reason: Some("end_turn".to_owned()),
        error_type: None,
        error_message: None,
        usage: Some(TokenUsage {
            input: 10,
            output: 20,
            ..TokenUsage::default()
        }),
        thoughts: Vec::new(),
        ended_at: now,
        marks: Marks::NONE,
    }
}
