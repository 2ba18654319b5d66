//! The one edit to a request's body: Chat Completions streams are asked for their token usage.
//!
//! A stream of that API ends in a chunk with the usage only if the request has `stream_options.include_usage`, and what
//! was used must be recorded. The body is not parsed and written anew: one member is put in before its closing brace,
//! and every byte of the client's stays what it was.

use crate::peek::scan::Members;
use crate::peek::text::{fold, short};

/// There is a comma, since a body to which this is done has a member `stream`.
const INSERT: &[u8] = b",\"stream_options\":{\"include_usage\":true}";

/// What is to be inserted where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Where the closing brace stands, in bytes from the beginning of the body.
    pub offset: usize,
    pub insert: &'static [u8],
}

/// Where to ask for the usage in the body of a Chat Completions request: one JSON object in which the last `stream` is
/// the boolean true, and that says nothing about `stream_options`. None for any other body, and also for one that
/// parsers could read in two ways because one of the two names stands there in another case.
pub fn stream_options_splice(body: &[u8]) -> Option<Splice> {
    let mut members = Members::new(body)?;
    let mut is_stream = false;
    for (key, value) in members.by_ref() {
        // A key that is no string for JSON is none for the provider either.
        let key = short(key)?;
        match (&*key, &*fold(&key)) {
            ("stream", _) => is_stream = value == b"true",
            (_, "stream" | "stream_options") => return None,
            _ => {}
        }
    }
    (is_stream && members.ends_whole()).then(|| Splice {
        offset: members.position() - 1,
        insert: INSERT,
    })
}

// === impl Splice ===

impl Splice {
    /// The new body in three pieces, for the body that this was found in.
    pub fn apply<'a>(&self, body: &'a [u8]) -> [&'a [u8]; 3] {
        let (before, after) = body.split_at(self.offset);
        [before, self.insert, after]
    }
}
