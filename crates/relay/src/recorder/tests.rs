use gateway_core::interception::{CredentialKind, Marks, Outcome};
use gateway_core::{ProviderKind, Timestamp, TokenId};
use tokio_util::sync::CancellationToken;

use super::*;

/// Short, since the tests wait for them to run out.
const TIMES: RecorderTimes = RecorderTimes {
    patience: Duration::from_millis(50),
    hold_back: Duration::from_millis(100),
};

/// Keeps records in memory, and fails as it is told.
struct Memory {
    groups: Mutex<Vec<Vec<Record>>>,
    bare: Mutex<Vec<InterceptionId>>,
    /// Fail this many times.
    outage: AtomicUsize,
    /// Refuse prompts that hold this.
    poison: Mutex<Option<&'static str>>,
    refuses_bare: AtomicBool,
    /// Taken before each commit; closed for a database that stalls.
    gate: tokio::sync::Semaphore,
}

impl Memory {
    fn open() -> Arc<Self> {
        let memory = Self::closed();
        memory.gate.add_permits(1_000_000);
        memory
    }

    fn closed() -> Arc<Self> {
        Arc::new(Self {
            groups: Mutex::default(),
            bare: Mutex::default(),
            outage: AtomicUsize::new(0),
            poison: Mutex::default(),
            refuses_bare: AtomicBool::new(false),
            gate: tokio::sync::Semaphore::new(0),
        })
    }

    fn prompts(&self) -> Vec<String> {
        let groups = self.groups.lock();
        groups.iter().flatten().filter_map(prompt).collect()
    }
}

fn prompt(record: &Record) -> Option<String> {
    match &record.entry {
        Entry::Start(start) => start.prompt.clone(),
        _ => None,
    }
}

impl RecordSink for Memory {
    fn commit(&self, records: Records) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            let outage = &self.outage;
            if outage
                .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
            {
                return Err(SinkError::Unavailable("away".into()));
            }
            let poison = *self.poison.lock();
            if records
                .iter()
                .any(|record| prompt(record).is_some_and(|text| poison.is_some_and(|bad| text.contains(bad))))
            {
                return Err(SinkError::Refused("poison".into()));
            }
            self.groups.lock().push(records.to_vec());
            Ok(())
        })
    }

    fn commit_unrecordable<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            if self.refuses_bare.load(Ordering::SeqCst) {
                return Err(SinkError::Refused("this, too".into()));
            }
            self.bare.lock().push(record.id);
            Ok(())
        })
    }

    fn made_object<'a>(
        &'a self,
        _: UserId,
        _: &'a ProviderName,
        _: &'a str,
    ) -> BoxFuture<'a, Result<bool, SinkError>> {
        Box::pin(async { Ok(false) })
    }
}

fn start(prompt: &str) -> Start {
    Start {
        initiator_username: "alice".into(),
        token_id: "0123456789".parse::<TokenId>().unwrap(),
        provider: ProviderKind::OpenAi,
        provider_name: "openai".parse().unwrap(),
        route: "responses",
        model: String::new(),
        client: "Unknown".into(),
        client_version: None,
        user_agent: None,
        client_session_id: None,
        correlating_tool_call_id: None,
        credential_kind: CredentialKind::Centralized,
        credential_hint: String::new(),
        is_streamed: false,
        prompt: Some(prompt.to_owned()),
        started_at: Timestamp::from_micros(0),
        marks: Marks::NONE,
    }
}

fn end() -> End {
    End {
        outcome: Outcome::Completed,
        status: Some(200),
        answered_model: None,
        provider_response_id: None,
        stop_reason: None,
        error_type: None,
        error_message: None,
        usage: None,
        thoughts: Vec::new(),
        first_byte_at: None,
        ended_at: Timestamp::from_micros(1),
        marks: Marks::NONE,
    }
}

struct World {
    memory: Arc<Memory>,
    recorder: Recorder,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "joined in `finish`")]
    fn start(memory: Arc<Memory>) -> Self {
        let (recorder, writer) = Recorder::new(Arc::clone(&memory) as Arc<dyn RecordSink>, TIMES);
        let stop = CancellationToken::new();
        let running = tokio::spawn(writer.run(stop.clone()));
        Self {
            memory,
            recorder,
            stop,
            running,
        }
    }

    fn open(&self, prompt: &str) -> Result<Interception, Behind> {
        self.recorder
            .open(InterceptionId::generate(), UserId::generate(), start(prompt))
    }

    async fn until_behind(&self) {
        while self.recorder.check().is_ok() {
            tokio::task::yield_now().await;
        }
    }

    async fn finish(self) -> Arc<Memory> {
        self.stop.cancel();
        self.running.await.unwrap();
        assert_eq!(
            self.recorder.shared.waiting_bytes.load(Ordering::SeqCst),
            0,
            "the account of bytes is off"
        );
        self.memory
    }
}

#[tokio::test]
async fn what_is_committed_is_known_and_what_gathers_is_one_group() {
    let memory = Memory::closed();
    let world = World::start(Arc::clone(&memory));
    let first = world.open("first").unwrap();
    // The writer takes the first alone and stalls; the others gather.
    tokio::task::yield_now().await;
    let others: Vec<_> = (0..10).map(|n| world.open(&format!("{n}")).unwrap()).collect();
    first.end(end());
    memory.gate.add_permits(1);
    while memory.groups.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(
        futures_util::poll!(std::future::poll_fn(|cx| first.poll_committed(cx))).is_pending(),
        "the end is not committed yet"
    );
    memory.gate.add_permits(1);
    first.committed().await.unwrap();
    for other in &others {
        other.committed().await.unwrap();
    }
    let memory = world.finish().await;
    let groups = memory.groups.lock();
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [1, 11]);
    assert!(
        matches!(groups[1][0].entry, Entry::End(_)),
        "the end goes before the starts of others"
    );
}

#[tokio::test]
async fn a_database_that_is_away_refuses_and_loses_nothing() {
    let memory = Memory::open();
    memory.outage.store(5, Ordering::SeqCst);
    let world = World::start(memory);
    let one = world.open("one").unwrap();
    world.until_behind().await;
    assert_eq!(world.open("two").err(), Some(Behind));
    while one.committed().await.is_err() {}
    assert_eq!(world.recorder.check(), Ok(()), "it recovers by itself");
    world.open("three").unwrap().committed().await.unwrap();
    assert_eq!(world.finish().await.prompts(), ["one", "three"]);
}

#[tokio::test]
async fn a_database_that_stalls_is_noticed_and_not_waited_for_for_ever() {
    let memory = Memory::closed();
    let world = World::start(Arc::clone(&memory));
    let one = world.open("one").unwrap();
    let two = world.open("two").unwrap();
    world.until_behind().await;
    assert_eq!(world.open("three").err(), Some(Behind));
    assert_eq!(one.committed().await, Err(Behind));
    memory.gate.add_permits(10);
    one.committed().await.unwrap();
    two.committed().await.unwrap();
    assert_eq!(world.finish().await.prompts(), ["one", "two"]);
}

#[tokio::test]
async fn one_record_never_fails_another() {
    let memory = Memory::open();
    *memory.poison.lock() = Some("bad");
    memory.gate.forget_permits(1_000_000);
    let world = World::start(Arc::clone(&memory));
    let opened: Vec<_> = (0..33)
        .map(|n| world.open(if n == 20 { "bad" } else { "good" }).unwrap())
        .collect();
    memory.gate.add_permits(1_000_000);
    for interception in &opened {
        interception.committed().await.unwrap();
    }
    let memory = world.finish().await;
    assert_eq!(memory.prompts().len(), 32);
    assert_eq!(*memory.bare.lock(), [opened[20].id()]);
}

#[tokio::test]
async fn a_lost_record_is_waited_for_by_nobody() {
    let memory = Memory::open();
    *memory.poison.lock() = Some("bad");
    memory.refuses_bare.store(true, Ordering::SeqCst);
    let world = World::start(memory);
    let (bad, good) = (world.open("bad").unwrap(), world.open("good").unwrap());
    assert_eq!(bad.committed().await, Err(Behind));
    good.committed().await.unwrap();
    assert_eq!(world.finish().await.prompts(), ["good"]);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let memory = Memory::closed();
    let world = World::start(Arc::clone(&memory));
    let prompt = "x".repeat(SLOT_BYTES + 1);
    let mut opened = Vec::new();
    while let Ok(interception) = world.open(&prompt) {
        opened.push(interception);
    }
    assert!(opened.len() <= QUEUE_BYTES / SLOT_BYTES + 1, "{}", opened.len());
    assert!(opened[opened.len() - 1].is_full());
    memory.gate.add_permits(1000);
    for interception in &opened {
        interception.committed().await.unwrap();
        assert!(!interception.is_full());
    }
    world.finish().await;
}
