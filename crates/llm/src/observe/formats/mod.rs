//! The three APIs: where their fields stand, and what an event or a body of theirs means.

mod chat;
mod messages;
mod responses;

use self::chat::Chat;
use self::messages::Messages;
use self::responses::Responses;
use super::fields::{Fields, Group, Place, Step, Text};
use super::found::Found;
use crate::route::Api;

/// Whether documents are events of a stream, or one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Stream,
    Body,
}

/// An API, with what it has to remember between events.
#[derive(Debug)]
pub(super) enum Format {
    Messages(Messages),
    Chat(Chat),
    Responses(Responses),
}

// === impl Format ===

impl Format {
    pub(super) fn new(api: Api, mode: Mode, content: bool) -> Self {
        match api {
            Api::Messages | Api::CountTokens => Self::Messages(Messages::new(mode, content)),
            Api::ChatCompletions => Self::Chat(Chat::new(mode, content)),
            Api::Responses | Api::ResponsesObject | Api::Conversations | Api::Models | Api::Other => {
                Self::Responses(Responses::new(mode))
            }
        }
    }

    /// What stands at a path.
    pub(super) fn place(&self, path: &[Step]) -> Place {
        match self {
            Self::Messages(messages) => messages.place(path),
            Self::Chat(_) => chat::place(path),
            Self::Responses(responses) => responses.place(path),
        }
    }

    /// A container begins. False if nothing of what is in it is wanted.
    pub(super) fn begin(&mut self, group: Group, fields: &Fields, found: &mut Found) -> bool {
        match self {
            Self::Responses(responses) => responses.begin(group, fields, found),
            _ => true,
        }
    }

    /// A container is whole.
    pub(super) fn end(&mut self, group: Group, fields: &mut Fields, found: &mut Found) {
        match self {
            Self::Messages(messages) => messages.end(group, fields, found),
            Self::Chat(chat) => chat.end(group, fields, found),
            Self::Responses(responses) => responses.end(group, fields, found),
        }
    }

    /// A document is whole. `name` is that of its event, if it has one.
    pub(super) fn document(&mut self, name: &[u8], fields: &Fields, found: &mut Found) {
        let kind = if fields.capture(Text::Type).is_set() {
            fields.bytes(Text::Type)
        } else {
            name
        };
        match self {
            Self::Messages(messages) => messages.document(kind, fields, found),
            Self::Chat(_) => {}
            Self::Responses(responses) => responses.document(kind, fields, found),
        }
    }

    /// What waited for the end of its document was taken there, or is void.
    pub(super) fn drop_waiting(&mut self, found: &mut Found) {
        match self {
            Self::Messages(_) => {}
            Self::Chat(chat) => chat.drop_early(found),
            Self::Responses(responses) => responses.drop_late(found),
        }
    }

    /// Nothing more comes: what is open is finished as broken off.
    pub(super) fn close(&mut self, found: &mut Found) {
        match self {
            Self::Messages(messages) => messages.close(found),
            Self::Chat(chat) => chat.close(found),
            Self::Responses(_) => {}
        }
    }

    /// The provider's input counts include what was read from the cache and written to it.
    pub(super) const fn cache_is_in_input(&self) -> bool {
        !matches!(self, Self::Messages(_))
    }

    pub(super) fn retained_bytes(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.retained_bytes(),
            Self::Chat(chat) => chat.retained_bytes(),
            Self::Responses(responses) => responses.retained_bytes(),
        }
    }
}
