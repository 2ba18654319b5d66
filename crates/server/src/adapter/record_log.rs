//! Committed records as lines of JSON, for whatever collects logs.
//!
//! One line a record, with the record types and fields that are known from the original. Lines are written by a thread
//! of their own: a collector that stalls holds up no record. What does not fit into the queue is left out, and the
//! next line that fits says how many were; the database has them all.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use gateway_api_types::Time;
use gateway_core::Timestamp;
use gateway_core::interception::{Entry, Record};
use serde_json::{Map, Value, json};

/// What may wait to be written.
const QUEUE_LINES: usize = 8192;
const QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Where committed records are told of.
pub(crate) struct RecordLog {
    lines: SyncSender<String>,
    waiting_bytes: Arc<AtomicUsize>,
    left_out: AtomicU64,
}

// === impl RecordLog ===

impl RecordLog {
    /// Starts the thread, which ends when the log is dropped and all lines are written.
    pub(crate) fn start(mut to: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel::<String>(QUEUE_LINES);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let bytes = Arc::clone(&waiting_bytes);
        std::thread::Builder::new()
            .name("record log".to_owned())
            .spawn(move || write(&queue, &mut to, &bytes))?;
        Ok(Self {
            lines,
            waiting_bytes,
            left_out: AtomicU64::new(0),
        })
    }

    pub(crate) fn tell(&self, records: &[Record]) {
        for record in records {
            for fields in lines(record) {
                self.push(fields);
            }
        }
    }

    fn push(&self, mut fields: Map<String, Value>) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            fields.insert("records_left_out".to_owned(), left_out.into());
        }
        let mut line = Value::Object(fields).to_string();
        line.push('\n');
        let length = line.len();
        let is_full = self.waiting_bytes.fetch_add(length, Ordering::Relaxed) > QUEUE_BYTES;
        if is_full || self.lines.try_send(line).is_err() {
            self.waiting_bytes.fetch_sub(length, Ordering::Relaxed);
            self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
        }
    }
}

fn write(queue: &Receiver<String>, to: &mut dyn Write, waiting_bytes: &AtomicUsize) {
    let mut is_failing = false;
    while let Ok(line) = queue.recv() {
        let written = to.write_all(line.as_bytes());
        waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        match written {
            Err(error) if !is_failing => {
                tracing::warn!(%error, "the log of records cannot be written");
                is_failing = true;
            }
            Err(_) => {}
            Ok(()) => is_failing = false,
        }
    }
}

/// A start is told of together with its prompt, an end together with usage and thoughts.
fn lines(record: &Record) -> Vec<Map<String, Value>> {
    let line = |record_type: &str, fields: Value| {
        let mut line = Map::new();
        line.insert("msg".to_owned(), "interception log".into());
        line.insert("record_type".to_owned(), record_type.into());
        line.insert("interception_id".to_owned(), record.id.to_string().into());
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        line
    };
    match &record.entry {
        Entry::Start(start) => {
            let at = time(start.started_at);
            let fields = json!({
                "initiator_id": record.initiator_id.to_string(),
                "provider": start.provider.as_str(),
                "provider_name": start.provider_name.as_str(),
                "model": start.model,
                "client": start.client,
                "started_at": at,
            });
            let prompt = start
                .prompt
                .as_ref()
                .map(|prompt| line("prompt_usage", json!({"prompt": prompt, "created_at": at})));
            std::iter::once(line("interception_start", fields))
                .chain(prompt)
                .collect()
        }
        Entry::Tool(tool) => vec![line(
            "tool_usage",
            json!({
                "tool": tool.tool,
                "input": tool.input,
                "server_url": null,
                "injected": false,
                "created_at": time(tool.created_at),
            }),
        )],
        Entry::End(end) => {
            let usage = end.usage.as_ref().map(|usage| {
                line(
                    "token_usage",
                    json!({
                        "input_tokens": usage.input,
                        "output_tokens": usage.output,
                        "cache_read_input_tokens": usage.cache_read_input,
                        "cache_write_input_tokens": usage.cache_write_input,
                        "created_at": time(end.ended_at),
                    }),
                )
            });
            let thoughts = end.thoughts.iter().map(|thought| {
                line(
                    "model_thought",
                    json!({"content": thought.content, "created_at": time(thought.created_at)}),
                )
            });
            let ended = json!({"outcome": end.outcome.as_str(), "ended_at": time(end.ended_at)});
            usage
                .into_iter()
                .chain(thoughts)
                .chain([line("interception_end", ended)])
                .collect()
        }
    }
}

fn time(at: Timestamp) -> String {
    Time::from(at).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gateway_core::interception::{End, Marks, ModelThought, Outcome, TokenUsage};
    use gateway_core::{InterceptionId, UserId};

    use super::*;

    /// Hands lines on, one for each permit.
    struct Slow(Receiver<()>, mpsc::Sender<String>);

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.recv().map_err(std::io::Error::other)?;
            self.1
                .send(String::from_utf8_lossy(line).into_owned())
                .map_err(std::io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn end() -> Record {
        Record {
            id: InterceptionId::generate(),
            initiator_id: UserId::generate(),
            entry: Entry::End(Box::new(End {
                outcome: Outcome::Completed,
                status: Some(200),
                answered_model: None,
                provider_response_id: None,
                stop_reason: None,
                error_type: None,
                error_message: None,
                usage: Some(TokenUsage {
                    input: 1,
                    output: 2,
                    ..TokenUsage::default()
                }),
                thoughts: vec![ModelThought {
                    source: "thinking",
                    content: "hm\nhm".into(),
                    is_cut: false,
                    created_at: Timestamp::from_micros(0),
                }],
                first_byte_at: None,
                ended_at: Timestamp::from_micros(1_500_000),
                marks: Marks::NONE,
            })),
        }
    }

    #[test]
    fn a_line_for_each_part_of_a_record() {
        let (permits, lines) = (mpsc::channel(), mpsc::channel());
        let log = RecordLog::start(Box::new(Slow(permits.1, lines.0))).unwrap();
        for _ in 0..3 {
            permits.0.send(()).unwrap();
        }
        log.tell(&[end()]);
        let seen: Vec<Value> = (0..3)
            .map(|_| serde_json::from_str(&lines.1.recv().unwrap()).unwrap())
            .collect();
        let types: Vec<_> = seen
            .iter()
            .map(|line| line["record_type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["token_usage", "model_thought", "interception_end"]);
        assert_eq!(seen[0]["output_tokens"], 2);
        assert_eq!(seen[1]["content"], "hm\nhm");
        assert_eq!(seen[2]["ended_at"], "1970-01-01T00:00:01.500000Z");
    }

    #[test]
    fn a_collector_that_stalls_holds_up_nobody_and_is_told_what_it_missed() {
        let (permits, lines) = (mpsc::channel(), mpsc::channel());
        let log = RecordLog::start(Box::new(Slow(permits.1, lines.0))).unwrap();
        let told = 2 * QUEUE_LINES / 3;
        for _ in 0..told {
            log.tell(&[end()]);
        }
        let missed = log.left_out.load(Ordering::Relaxed);
        assert!(missed > 0);
        for _ in 0..3 * told {
            permits.0.send(()).unwrap();
        }
        let written = 3 * told as u64 - missed;
        for _ in 0..written {
            lines.1.recv().unwrap();
        }
        log.tell(&[end()]);
        let next: Value = serde_json::from_str(&lines.1.recv().unwrap()).unwrap();
        assert_eq!(next["records_left_out"], missed);
    }
}
