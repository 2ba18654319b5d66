//! Everything the simulated provider received and sent, within bounds; and the gates that hold answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version, request};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Exchanges kept; the oldest go first.
const MAX_EXCHANGES: usize = 4096;
/// Bytes of request and answer bodies kept.
const MAX_BYTES: usize = 512 << 20;

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Number of the exchange since the start, from 1.
    pub serial: u64,
    /// Method.
    pub method: String,
    /// Path as received, not decoded.
    pub path: String,
    /// Query as received, without the question mark.
    pub query: Option<String>,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: Version,
    /// Headers in the order received, names in lower case; what is repeated stands at its first place.
    pub headers: Vec<(String, Bytes)>,
    /// Body bytes received.
    pub body: Bytes,
    /// Whether the body arrived to its end.
    pub body_complete: bool,
    /// The answer, once its head was handed over.
    pub answer: Option<Answer>,
    /// The client went away before the answer was finished, after this many bytes of the answer's body.
    pub client_gone_after: Option<u64>,
}

/// What was sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Number of the exchange.
    pub serial: u64,
    /// Status code.
    pub status: u16,
    /// Headers as given to the connection.
    pub headers: Vec<(String, Bytes)>,
    /// The exact bytes of the body so far, without transfer coding.
    pub body: Bytes,
    /// Whether the script was played to its end.
    pub complete: bool,
}

impl Exchange {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&[u8]> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_ref())
            .collect()
    }

    /// As the admin endpoint gives it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "serial": self.serial,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "version": format!("{:?}", self.version),
            "headers": headers_json(&self.headers),
            "body_base64": STANDARD.encode(&self.body),
            "body_complete": self.body_complete,
            "answered": self.answer.is_some(),
            "client_gone_after": self.client_gone_after,
        })
    }
}

impl Answer {
    /// As the admin endpoint gives it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "serial": self.serial,
            "status": self.status,
            "headers": headers_json(&self.headers),
            "body_base64": STANDARD.encode(&self.body),
            "complete": self.complete,
        })
    }
}

fn headers_json(headers: &[(String, Bytes)]) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
        .collect()
}

fn header_list(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let owned = |value: &http::HeaderValue| Bytes::copy_from_slice(value.as_bytes());
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), owned(value)))
        .collect()
}

/// An exchange while it goes on.
#[derive(Debug)]
struct Entry {
    exchange: Exchange,
    request: BytesMut,
    sent: BytesMut,
    /// The body is complete, broken off, or will not be read.
    received: bool,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    bytes: usize,
    serial: u64,
    received: usize,
}

impl Log {
    fn entry(&mut self, serial: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.exchange.serial;
        self.entries
            .get_mut(usize::try_from(serial.checked_sub(first)?).ok()?)
    }

    fn trim(&mut self) {
        while self.entries.len() > MAX_EXCHANGES || self.bytes > MAX_BYTES {
            let Some(old) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= old.request.len() + old.sent.len();
        }
    }
}

/// The log of a simulated provider.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            log: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Notes a request's head.
    pub(crate) fn begin(self: &Arc<Self>, head: &request::Parts) -> Handle {
        let mut log = self.log.lock();
        log.serial += 1;
        let serial = log.serial;
        let exchange = Exchange {
            serial,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            version: head.version,
            headers: header_list(&head.headers),
            body: Bytes::new(),
            body_complete: false,
            answer: None,
            client_gone_after: None,
        };
        let entry = Entry {
            exchange,
            request: BytesMut::new(),
            sent: BytesMut::new(),
            received: false,
        };
        log.entries.push_back(entry);
        log.trim();
        Handle {
            recorder: Arc::clone(self),
            serial,
            sent: 0,
            ended: false,
        }
    }

    fn update(&self, serial: u64, change: impl FnOnce(&mut Entry, &mut usize)) {
        let mut log = self.log.lock();
        let mut bytes = log.bytes;
        if let Some(entry) = log.entry(serial) {
            change(entry, &mut bytes);
        }
        log.bytes = bytes;
        log.trim();
        drop(log);
        self.changed.send_replace(());
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let snapshot = |entry: &Entry| {
            let mut exchange = entry.exchange.clone();
            exchange.body = Bytes::copy_from_slice(&entry.request);
            if let Some(answer) = &mut exchange.answer {
                answer.body = Bytes::copy_from_slice(&entry.sent);
            }
            exchange
        };
        self.log.lock().entries.iter().map(snapshot).collect()
    }

    /// Forgets what is finished and what goes on.
    pub(crate) fn clear(&self) {
        let mut log = self.log.lock();
        log.entries.clear();
        log.bytes = 0;
        log.received = 0;
    }

    /// Waits until `done` holds for the log.
    pub(crate) async fn wait_until(&self, mut done: impl FnMut(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        while !done(self) {
            // The sender lives in `self`, so that this cannot fail.
            let _ = changed.changed().await;
        }
    }

    pub(crate) fn received(&self) -> usize {
        self.log.lock().received
    }
}

/// One exchange's way into the log. Dropped before its end, it notes that the client went away.
#[derive(Debug)]
pub(crate) struct Handle {
    recorder: Arc<Recorder>,
    pub(crate) serial: u64,
    sent: u64,
    ended: bool,
}

impl Handle {
    pub(crate) fn body_frame(&self, data: &[u8]) {
        self.recorder.update(self.serial, |entry, bytes| {
            entry.request.extend_from_slice(data);
            *bytes += data.len();
        });
    }

    /// The body is at its end, or no more of it will be read.
    pub(crate) fn received(&self, complete: bool) {
        let mut first = false;
        self.recorder.update(self.serial, |entry, _| {
            first = !entry.received;
            entry.received = true;
            entry.exchange.body_complete = complete;
        });
        if first {
            self.recorder.log.lock().received += 1;
            self.recorder.changed.send_replace(());
        }
    }

    pub(crate) fn head(&self, status: u16, headers: &HeaderMap) {
        let (serial, headers) = (self.serial, header_list(headers));
        self.recorder.update(serial, |entry, _| {
            let body = Bytes::new();
            entry.exchange.answer = Some(Answer {
                serial,
                status,
                headers,
                body,
                complete: false,
            });
        });
    }

    pub(crate) fn sent(&mut self, data: &[u8]) {
        self.sent += data.len() as u64;
        self.recorder.update(self.serial, |entry, bytes| {
            entry.sent.extend_from_slice(data);
            *bytes += data.len();
        });
    }

    /// The answer ended as its script says; `complete` unless the script breaks it.
    pub(crate) fn end(&mut self, complete: bool) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.recorder.update(self.serial, |entry, _| {
            if let Some(answer) = &mut entry.exchange.answer {
                answer.complete = complete;
            }
        });
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.ended {
            let sent = self.sent;
            self.recorder.update(self.serial, |entry, _| {
                entry.exchange.client_gone_after = Some(sent);
            });
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    open: bool,
    waiting: usize,
}

/// Named gates. One that was never opened is shut; once open it stays so.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<String, watch::Sender<Gate>>>);

impl Gates {
    fn gate(&self, name: &str) -> watch::Sender<Gate> {
        self.0.lock().entry(name.to_owned()).or_default().clone()
    }

    pub(crate) fn open(&self, name: &str) {
        self.gate(name).send_modify(|gate| gate.open = true);
    }

    /// Passes the gate as soon as it is open.
    pub(crate) async fn pass(&self, name: &str) {
        let gate = self.gate(name);
        let mut view = gate.subscribe();
        gate.send_modify(|gate| gate.waiting += 1);
        let _leave = Leave(gate);
        // `_leave` holds a sender, so that this cannot fail.
        let _ = view.wait_for(|gate| gate.open).await;
    }

    /// Waits until `count` answers are held by the gate.
    pub(crate) async fn wait_for_waiting(&self, name: &str, count: usize) {
        let gate = self.gate(name);
        let _ = gate.subscribe().wait_for(|gate| gate.waiting >= count).await;
    }
}

struct Leave(watch::Sender<Gate>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.send_modify(|gate| gate.waiting -= 1);
    }
}
