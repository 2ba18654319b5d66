//! What the fuzz targets share.

use gateway_llm::observe::{BodyObserver, End, ObserveOptions, StreamObserver};
use gateway_llm::route::Api;

/// The settings at the beginning of an input, and the rest.
pub struct Input<'a> {
    pub options: ObserveOptions,
    pub end: End,
    /// Which API, where a target serves all.
    pub api: Api,
    sizes: &'a [u8],
    pub text: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let ([flags, count], rest) = data.split_first_chunk()?;
        let (sizes, text) = rest.split_at_checked(usize::from(count % 16))?;
        Some(Self {
            options: ObserveOptions {
                content: flags & 1 == 0,
                usage_was_injected: flags & 2 != 0,
            },
            end: if flags & 4 == 0 { End::Whole } else { End::Torn },
            api: [Api::Messages, Api::ChatCompletions, Api::Responses][usize::from(flags >> 3) % 3],
            sizes,
            text,
        })
    }

    /// The text in chunks of the sizes given, over and over.
    pub fn chunks(&self) -> Vec<&'a [u8]> {
        let mut chunks = Vec::new();
        let mut rest = self.text;
        let sizes: &[u8] = if self.sizes.is_empty() { &[0] } else { self.sizes };
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((usize::from(*size) + 1).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks
    }

    pub fn check_stream(&self, api: Api) {
        assert_eq!(self.watch(api, &self.chunks()), self.watch(api, &[self.text]));
    }

    pub fn check_body(&self) {
        assert_eq!(self.read(&self.chunks()), self.read(&[self.text]));
    }

    /// Everything that is seen of a stream, in a form that can be compared and read.
    fn watch(&self, api: Api, chunks: &[&[u8]]) -> String {
        let mut observer = StreamObserver::new(api, self.options);
        let (mut calls, mut thoughts, mut drops) = (Vec::new(), Vec::new(), Vec::new());
        let (mut fed, mut passed) = (0, 0);
        for chunk in chunks {
            observer.feed(chunk);
            fed += chunk.len() as u64;
            let pass_to = observer.pass_to();
            assert!(passed <= pass_to && pass_to <= fed);
            passed = pass_to;
            assert!(observer.terminal_at().is_none_or(|at| at == pass_to));
            calls.extend(observer.take_tool_calls());
            thoughts.extend(observer.take_thoughts());
            drops.extend(observer.take_drops());
        }
        let observation = observer.finish(self.end);
        calls.extend(observer.take_tool_calls());
        thoughts.extend(observer.take_thoughts());
        drops.extend(observer.take_drops());
        let mut from = 0;
        for drop in &drops {
            assert!(from <= drop.start && drop.start < drop.end && drop.end <= observer.pass_to());
            from = drop.end;
        }
        let place = (observer.pass_to(), observer.terminal_at(), observer.terminal_is_complete());
        format!("{observation:?} {calls:?} {thoughts:?} {drops:?} {place:?}")
    }

    fn read(&self, chunks: &[&[u8]]) -> String {
        let mut observer = BodyObserver::new(self.api, self.options);
        let (mut calls, mut thoughts) = (Vec::new(), Vec::new());
        for chunk in chunks {
            observer.feed(chunk);
            calls.extend(observer.take_tool_calls());
            thoughts.extend(observer.take_thoughts());
        }
        let observation = observer.finish(self.end);
        calls.extend(observer.take_tool_calls());
        thoughts.extend(observer.take_thoughts());
        format!("{observation:?} {calls:?} {thoughts:?}")
    }
}
