//! Which interceptions or sessions to read.
//!
//! A filter becomes the conditions that are set and no others, so that the planner sees an index where there is one.

use std::fmt::Write as _;

use gateway_core::{InterceptionId, Timestamp, UserId};

use crate::target::Engine;
use crate::text;

/// Which interceptions to read. All conditions must hold; none: all interceptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterceptionFilter {
    /// Only those of this user: a choice of the reader, or all that the reader may see.
    pub initiator: Option<UserId>,
    /// The name of a provider instance, or what providers speak.
    pub provider: Option<String>,
    /// The name of a provider instance.
    pub provider_name: Option<String>,
    /// As asked for.
    pub model: Option<String>,
    pub client: Option<String>,
    pub session_id: Option<String>,
    /// At this time or later, to the millisecond.
    pub started_after: Option<Timestamp>,
    /// Before this time, to the millisecond.
    pub started_before: Option<Timestamp>,
    /// A part of the prompt. Letters of ASCII match whatever their case, all others exactly: that is what both engines
    /// agree on without an index.
    pub text: Option<String>,
    /// Leaves out what is still open.
    pub only_ended: bool,
}

/// Conditions and their arguments, which are all text.
#[derive(Debug, Default)]
pub(super) struct Where {
    sql: String,
    pub(super) args: Vec<String>,
}

/// A longer text is not looked for: comparing it with every place of a long prompt takes too long.
const MAX_SEARCH_BYTES: usize = 256;

/// The end of the times that an id can have: 48 bits.
const MAX_MILLIS: i64 = (1 << 48) - 1;

/// The smallest id of a time: those of one millisecond begin alike.
pub(super) fn first_id(at: Timestamp) -> String {
    let millis = (at.as_micros() / 1000).clamp(0, MAX_MILLIS);
    format!("{:08x}-{:04x}", millis >> 16, millis & 0xffff)
}

// === impl InterceptionFilter ===

impl InterceptionFilter {
    /// The conditions on interceptions `i`. None: nothing can match.
    pub(super) fn conditions(&self, engine: Engine) -> Option<Where> {
        let mut conditions = Where::default();
        self.add_start(&mut conditions, "i.id");
        if let Some(initiator) = self.initiator {
            conditions.and("i.initiator_id = $?", initiator.to_string());
        }
        self.add_words(&mut conditions, engine)?;
        match (&self.session_id, self.initiator) {
            (Some(session), Some(_)) => conditions.and("i.session_id = $?", storable(session)?),
            // There is no index on the session alone but that of the table of sessions.
            (Some(session), None) => conditions.and(
                "(i.initiator_id, i.session_id) IN \
                 (SELECT s.initiator_id, s.session_id FROM aibridge_sessions AS s WHERE s.session_id = $?)",
                storable(session)?,
            ),
            (None, _) => {}
        }
        if self.only_ended {
            conditions.sql.push_str(" AND i.ended_at IS NOT NULL");
        }
        Some(conditions)
    }

    /// The conditions on sessions `s`: of the session itself, and of one interception in it that has all the rest.
    pub(super) fn session_conditions(&self, engine: Engine) -> Option<Where> {
        let mut conditions = Where::default();
        self.add_start(&mut conditions, "s.id");
        if let Some(initiator) = self.initiator {
            conditions.and("s.initiator_id = $?", initiator.to_string());
        }
        if let Some(session) = &self.session_id {
            conditions.and("s.session_id = $?", storable(session)?);
        }
        let before = conditions.sql.len();
        self.add_words(&mut conditions, engine)?;
        let mut inner = conditions.sql.split_off(before);
        if self.only_ended {
            inner.push_str(" AND i.ended_at IS NOT NULL");
        }
        if !inner.is_empty() {
            write!(
                conditions.sql,
                " AND EXISTS (SELECT 1 FROM aibridge_interceptions AS i \
                 WHERE i.initiator_id = s.initiator_id AND i.session_id = s.session_id{inner})"
            )
            .expect("a string takes everything");
        }
        Some(conditions)
    }

    fn add_start(&self, conditions: &mut Where, column: &str) {
        if let Some(after) = self.started_after {
            conditions.and(&format!("{column} >= $?"), first_id(after));
        }
        if let Some(before) = self.started_before {
            conditions.and(&format!("{column} < $?"), first_id(before));
        }
    }

    fn add_words(&self, conditions: &mut Where, engine: Engine) -> Option<()> {
        for (condition, word) in [
            ("(i.provider_name = $? OR i.provider = $?)", &self.provider),
            ("i.provider_name = $?", &self.provider_name),
            ("i.model = $?", &self.model),
            ("i.client = $?", &self.client),
        ] {
            if let Some(word) = word {
                conditions.and(condition, storable(word)?);
            }
        }
        if let Some(part) = self.text.as_deref().filter(|part| !part.is_empty()) {
            if part.len() > MAX_SEARCH_BYTES {
                return None;
            }
            conditions.and(
                &format!(
                    "EXISTS (SELECT 1 FROM aibridge_user_prompts AS p WHERE p.interception_id = i.id AND {})",
                    prompt_contains(engine)
                ),
                text::containing(&storable(part)?),
            );
        }
        Some(())
    }
}

/// The one condition that each engine writes in its own way. An index on prompts has its place here; this reads them
/// one after the other, newest interception first. Under the collation of the column only ASCII has cases.
fn prompt_contains(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => r"p.prompt LIKE $? ESCAPE '\'",
        Engine::Postgres => r"p.prompt ILIKE $? ESCAPE '\'",
    }
}

fn storable(word: &str) -> Option<String> {
    text::is_storable(word).then(|| word.to_owned())
}

// === impl Where ===

impl Where {
    /// Adds a condition in which `$?` stands for the argument.
    pub(super) fn and(&mut self, condition: &str, arg: String) {
        self.args.push(arg);
        let place = format!("${}", self.args.len());
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace("$?", &place));
    }

    /// Only what comes after this id, which is what is older.
    pub(super) fn older_than(&mut self, column: &str, id: Option<InterceptionId>) {
        if let Some(id) = id {
            self.and(&format!("{column} < $?"), id.to_string());
        }
    }

    /// All conditions, to follow a `FROM`.
    pub(super) fn sql(&self) -> String {
        format!(" WHERE TRUE{}", self.sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_time() {
        assert_eq!(
            first_id(Timestamp::from_micros(0x0123_4567_89ab * 1000)),
            "01234567-89ab"
        );
        assert_eq!(first_id(Timestamp::from_micros(-5)), "00000000-0000");
        let now = InterceptionId::generate().to_string();
        assert!(first_id(Timestamp::MAX) > now && first_id(Timestamp::from_micros(0)) < now);
    }

    #[test]
    fn arguments_are_numbered_as_they_are_bound() {
        let filter = InterceptionFilter {
            provider: Some("a".to_owned()),
            model: Some("b".to_owned()),
            ..InterceptionFilter::default()
        };
        let conditions = filter.conditions(Engine::Sqlite).unwrap();
        assert_eq!(
            conditions.sql(),
            " WHERE TRUE AND (i.provider_name = $1 OR i.provider = $1) AND i.model = $2"
        );
        assert_eq!(conditions.args, ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_stored_matches_nothing() {
        for text in ["a\0".to_owned(), "x".repeat(MAX_SEARCH_BYTES + 1)] {
            let filter = InterceptionFilter {
                text: Some(text),
                ..InterceptionFilter::default()
            };
            assert!(filter.conditions(Engine::Postgres).is_none());
        }
    }
}
