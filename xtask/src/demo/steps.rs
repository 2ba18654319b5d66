//! The steps of the demonstration, one function each.

use std::io::Write;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::stage::EMAIL;
use super::{Demo, go_on, heading};
use crate::http;
use crate::text::indent;

const MESSAGES: &str = "/api/v2/aibridge/anthropic/v1/messages";

impl Demo<'_> {
    /// Sends a streamed request with the token and shows the answer as it comes.
    pub(super) fn ask(&self, token: &str) -> anyhow::Result<()> {
        go_on()?;
        heading("Asking for a streamed answer with it");
        println!("  POST {MESSAGES}");
        let answer = self.message(token)?;
        println!("  {}", answer.status);
        if answer.status != 200 {
            bail!("the gateway refused a valid token: {}", answer.text()?);
        }
        let mut stream = Deltas::default();
        print!("  ");
        answer.each_part(|part| {
            go_on()?;
            print!("{}", stream.push(part)?);
            std::io::stdout()
                .flush()
                .context("cannot write to standard output")
        })?;
        println!();
        if !stream.finished || stream.texts == 0 {
            bail!("the stream ended before its last event");
        }
        println!("  ({} pieces of text, and the last event)", stream.texts);
        Ok(())
    }

    /// Removes a token.
    pub(super) fn remove(&self, name: &str) -> anyhow::Result<()> {
        go_on()?;
        heading("Removing the token");
        println!("  $ coder tokens rm {name}");
        print!("{}", indent(&self.stage.coder(&["tokens", "rm", name], &[])?));
        Ok(())
    }

    /// Shows that the removed token is refused.
    pub(super) fn refused(&self, token: &str) -> anyhow::Result<()> {
        go_on()?;
        heading("Asking again with the removed token");
        println!("  POST {MESSAGES}");
        let answer = self.message(token)?;
        let status = answer.status;
        let text = answer.text()?;
        print!("  {status}\n{}", indent(&text));
        if status != 401 {
            bail!("the gateway answered {status} to a removed token instead of 401");
        }
        Ok(())
    }

    /// Says how real clients are pointed at the gateway.
    pub(super) fn point_clients(&self, token: &str) {
        let base = format!("http://{}/api/v2/aibridge", self.stage.address);
        heading("Pointing clients at it");
        println!("  Claude Code");
        println!(
            "    ANTHROPIC_BASE_URL={base}/anthropic \\\n    ANTHROPIC_AUTH_TOKEN={token} \\\n    claude"
        );
        println!("  Codex");
        println!("    GATEWAY_TOKEN={token} \\\n    codex -c model_provider=gateway \\");
        println!("      -c model_providers.gateway.name=gateway \\");
        println!("      -c model_providers.gateway.base_url={base}/openai/v1 \\");
        println!("      -c model_providers.gateway.env_key=GATEWAY_TOKEN \\");
        println!("      -c model_providers.gateway.wire_api=responses");
        println!("  The anthropic package for Python");
        println!("    Anthropic(base_url=\"{base}/anthropic\", api_key=\"{token}\")");
        println!("  The openai package for Python");
        println!("    OpenAI(base_url=\"{base}/openai/v1\", api_key=\"{token}\")");
        println!("  Log in as {EMAIL} with the password {}", self.stage.password);
    }

    fn message(&self, token: &str) -> anyhow::Result<http::Answer> {
        let body = json!({
            "model": "claude-sonnet-4-8",
            "max_tokens": 200,
            "stream": true,
            "messages": [{ "role": "user", "content": "What does a gateway do? [[sim: chunks=12 interval_ms=60]]" }],
        });
        let authorization = format!("Bearer {token}");
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
            ("Anthropic-Version", "2023-06-01"),
        ];
        http::send(self.stage.address, "POST", MESSAGES, &headers, &body.to_string())
    }
}

/// Reads the pieces of text out of an Anthropic stream.
#[derive(Default)]
struct Deltas {
    pending: Vec<u8>,
    texts: usize,
    finished: bool,
}

impl Deltas {
    /// The text in the lines that are complete with these bytes.
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<String> {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let Some(data) = line.trim_end().strip_prefix("data:") else {
                continue;
            };
            let event: Value = serde_json::from_str(data.trim()).context("an event that is not JSON")?;
            match event["type"].as_str() {
                Some("content_block_delta") => {
                    if let Some(piece) = event["delta"]["text"].as_str() {
                        self.texts += 1;
                        text.push_str(piece);
                    }
                }
                Some("message_stop") => self.finished = true,
                Some("error") => bail!("the stream ended with an error: {event}"),
                _ => {}
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Deltas;

    #[test]
    fn text_is_read_whatever_the_parts() {
        let stream = "event: content_block_delta\n\
            data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"h\u{e9}\"}}\n\n\
            : a comment\n\
            data: {\"type\":\"message_stop\"}\n\n";
        for size in 1..stream.len() {
            let mut deltas = Deltas::default();
            let text: String = stream
                .as_bytes()
                .chunks(size)
                .map(|part| deltas.push(part).unwrap())
                .collect();
            assert_eq!(
                (text.as_str(), deltas.texts, deltas.finished),
                ("h\u{e9}", 1, true),
                "{size}"
            );
        }
    }

    #[test]
    fn an_error_event_is_a_failure() {
        assert!(Deltas::default().push(b"data: {\"type\":\"error\"}\n").is_err());
    }
}
