//! Many clients at once, with requests of every kind, who note what they have received.
//!
//! Each request carries a marker in its prompt by which its record, and what the provider did for it, can be found.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gateway_testkit::sim::{Exchange, Sim};
use serde_json::{Value, json};

use crate::client::{Answer, Client, End};
use crate::support::{CHAT, MESSAGES, RESPONSES, Token, patiently};

/// How many clients there are.
const CLIENTS: usize = 8;

/// The pause of a client that is not served.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Messages,
    Chat,
    Responses,
}

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) api: Api,
    pub(crate) is_streamed: bool,
    pub(crate) directives: &'static str,
    /// How many tools the provider calls.
    pub(crate) tools: usize,
}

const fn kind(api: Api, is_streamed: bool, directives: &'static str, tools: usize) -> Kind {
    Kind {
        api,
        is_streamed,
        directives,
        tools,
    }
}

/// Streams and whole answers of the three APIs, with tool calls, slow drips, and one that is too long to be kept back
/// whole.
const KINDS: [Kind; 11] = [
    kind(Api::Messages, true, "chunks=8 reasoning cached=5", 0),
    kind(Api::Messages, true, "tools=2 split=random", 2),
    kind(Api::Messages, true, "chunks=6 interval_ms=15", 0),
    kind(Api::Messages, false, "tools=1", 1),
    kind(Api::Chat, true, "chunks=8 cached=7", 0),
    kind(Api::Chat, true, "tools=3", 3),
    kind(Api::Chat, false, "head_delay_ms=20", 0),
    kind(Api::Responses, true, "tools=2 reasoning cached=9", 2),
    kind(Api::Responses, true, "chunks=5 interval_ms=15", 0),
    kind(Api::Responses, false, "tools=1", 1),
    kind(Api::Responses, false, "size=300000 no_content_length", 0),
];

/// A request, and what its client received.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) marker: String,
    pub(crate) prompt: String,
    pub(crate) kind: Kind,
    pub(crate) began: Instant,
    /// At least a byte of an answer of the provider.
    pub(crate) has_begun: bool,
    /// The answer to its end: the terminal event of a stream, all of another body.
    pub(crate) is_whole: bool,
    /// A refusal by the gateway, whole.
    pub(crate) refusal: Option<Answer>,
}

/// What the provider says that an answer took, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
}

/// The clients and their notes.
pub(crate) struct Load {
    address: SocketAddr,
    tokens: Vec<Token>,
    next: Cell<usize>,
    is_over: Cell<bool>,
    seen: RefCell<Vec<Seen>>,
    told: RefCell<HashMap<String, Told>>,
}

// === impl Load ===

impl Load {
    pub(crate) fn new(address: SocketAddr, tokens: Vec<Token>) -> Self {
        Self {
            address,
            tokens,
            next: Cell::new(0),
            is_over: Cell::new(false),
            seen: RefCell::default(),
            told: RefCell::default(),
        }
    }

    /// Asks until told to stop, through whatever happens to the server.
    pub(crate) async fn run(&self) {
        join_all((0..CLIENTS).map(|number| self.client(number))).await;
    }

    pub(crate) fn stop(&self) {
        self.is_over.set(true);
    }

    /// What was seen so far, to be looked at and not to be kept across an await.
    pub(crate) fn seen(&self) -> std::cell::Ref<'_, Vec<Seen>> {
        self.seen.borrow()
    }

    /// How many answers were received whole.
    pub(crate) fn whole(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_whole).count()
    }

    /// Markers of what the provider has answered.
    pub(crate) fn answered(&self) -> Vec<String> {
        self.told.borrow().keys().cloned().collect()
    }

    pub(crate) fn told(&self, marker: &str) -> Option<Told> {
        self.told.borrow().get(marker).copied()
    }

    /// Notes what the provider says that it has done.
    pub(crate) fn collect(&self, sim: &Sim) {
        let mut told = self.told.borrow_mut();
        for exchange in sim.requests() {
            if let (Some(marker), Some(usage)) = (marker_in(&exchange.body), told_by(&exchange)) {
                told.insert(marker, usage);
            }
        }
    }

    /// Waits until so many more answers have been received whole.
    pub(crate) async fn until_whole(&self, more: usize) {
        let enough = self.whole() + more;
        patiently("enough answers", async {
            while self.whole() < enough {
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
    }

    /// Asks once on a connection of its own.
    pub(crate) async fn ask_once(&self, kind: Kind) -> Answer {
        let mut client = Client::connect(self.address).await;
        self.ask(&mut client, &self.tokens[0], kind).await
    }

    /// Asks once and notes what comes.
    async fn ask(&self, client: &mut Client, token: &Token, kind: Kind) -> Answer {
        let began = Instant::now();
        let marker = format!("mark{:08}", self.next.replace(self.next.get() + 1));
        let prompt = format!("{marker} please [[sim: {}]]", kind.directives);
        let authorization = format!("Bearer {}", token.text);
        let body = kind.body(&prompt);
        // A server that is gone may have answered before.
        let _ = client
            .try_post(kind.path(), &[("authorization", &authorization)], &body)
            .await;
        let answer = client.answer().await;
        let is_served = answer.status == 200 || client.received().starts_with(b"HTTP/1.1 200");
        let is_whole = is_served && kind.is_whole(&answer);
        let is_refusal = answer.end == End::Complete && !is_served;
        self.seen.borrow_mut().push(Seen {
            marker,
            prompt,
            kind,
            began,
            has_begun: is_served,
            is_whole,
            refusal: is_refusal.then(|| answer.clone()),
        });
        answer
    }

    async fn client(&self, number: usize) {
        let token = &self.tokens[number % self.tokens.len()];
        let mut connection = None;
        let mut round = number;
        while !self.is_over.get() {
            let opened = match connection.take() {
                Some(client) => Ok(client),
                None => Client::try_connect(self.address).await,
            };
            let Ok(mut client) = opened else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let kind = KINDS[round % KINDS.len()];
            round += 1;
            let answer = self.ask(&mut client, token, kind).await;
            if answer.status != 200 {
                tokio::time::sleep(PAUSE).await;
            }
            connection = (answer.end == End::Complete).then_some(client);
        }
    }
}

// === impl Kind ===

impl Kind {
    /// A stream that the provider holds at the gate `held` before its end.
    pub(crate) const fn held(api: Api) -> Self {
        kind(api, true, "chunks=6 gate=held gate_after=4", 0)
    }

    /// The same at the gate `late`.
    pub(crate) const fn late(api: Api) -> Self {
        kind(api, true, "chunks=6 gate=late gate_after=4", 0)
    }

    /// An answer in one piece that the provider holds at the gate `held` before its head.
    pub(crate) const fn held_whole(api: Api) -> Self {
        kind(api, false, "gate=held", 0)
    }

    pub(crate) fn path(self) -> &'static str {
        match self.api {
            Api::Messages => MESSAGES,
            Api::Chat => CHAT,
            Api::Responses => RESPONSES,
        }
    }

    pub(crate) fn body(self, prompt: &str) -> Vec<u8> {
        let messages = json!([{"role": "user", "content": prompt}]);
        let mut body = match self.api {
            Api::Messages => json!({"model": "claude-sim", "max_tokens": 64, "messages": messages}),
            Api::Chat => json!({"model": "gpt-sim", "messages": messages}),
            Api::Responses => json!({"model": "gpt-sim", "input": messages}),
        };
        if self.is_streamed {
            body["stream"] = json!(true);
        }
        body.to_string().into_bytes()
    }

    fn is_whole(self, answer: &Answer) -> bool {
        if self.is_streamed {
            return self.is_terminated(&answer.text());
        }
        answer.end == End::Complete
    }

    /// Whether the last event of a stream is in what came of it.
    pub(crate) fn is_terminated(self, text: &str) -> bool {
        text.contains(match self.api {
            Api::Messages => "event: message_stop",
            Api::Chat => "data: [DONE]",
            Api::Responses => "event: response.completed",
        })
    }
}

// === What the provider says ===

/// The marker in the body of a request or in a prompt.
pub(crate) fn marker_in(text: &[u8]) -> Option<String> {
    let at = text.windows(4).position(|window| window == b"mark")?;
    let marker = text.get(at..at + 12)?;
    Some(String::from_utf8_lossy(marker).into_owned())
}

/// The usage in the last object of an answer that has one.
fn told_by(exchange: &Exchange) -> Option<Told> {
    let answer = exchange.answer.as_ref()?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let objects: Vec<Value> = if text.starts_with('{') {
        serde_json::from_str(&text).into_iter().collect()
    } else {
        text.lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok())
            .collect()
    };
    objects.iter().rev().find_map(|object| {
        [object, &object["response"]]
            .into_iter()
            .find(|holder| holder["usage"].is_object())
            .map(|holder| told(&holder["usage"]))
    })
}

fn told(usage: &Value) -> Told {
    let number = |name: &str| usage[name].as_u64();
    // Messages counts what was cached apart, the others with the input.
    let within = usage["prompt_tokens_details"]["cached_tokens"]
        .as_u64()
        .or(usage["input_tokens_details"]["cached_tokens"].as_u64());
    let input = number("input_tokens").or(number("prompt_tokens")).unwrap();
    Told {
        input: input - within.unwrap_or(0),
        cached: within.or(number("cache_read_input_tokens")).unwrap_or(0),
        output: number("output_tokens").or(number("completion_tokens")).unwrap(),
    }
}
