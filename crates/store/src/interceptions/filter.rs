//! Which interceptions or sessions to read.
//!
//! A filter becomes the conditions that are set and no others, so that the planner sees an index where there is one.

use gateway_core::{Timestamp, UserId};

use super::read::fetch;
use super::rollup::{beginning_of, day_of};
use super::walk::Walk;
use crate::db::Conn;
use crate::fault::Fault;
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
#[derive(Clone, Debug, Default)]
pub(super) struct Where {
    sql: String,
    pub(super) args: Vec<String>,
}

/// A longer text is not looked for: comparing it with every place of a long prompt takes too long.
const MAX_SEARCH_BYTES: usize = 256;

/// Keeps PostgreSQL from joining with the whole table what is to be looked up for a few rows.
const ONE_BY_ONE: &str = "LIMIT 1 OFFSET 0";

/// The end of the times that an id can have: 48 bits.
const MAX_MILLIS: i64 = (1 << 48) - 1;

/// The smallest id of a time: those of one millisecond begin alike.
pub(super) fn first_id(at: Timestamp) -> String {
    let millis = (at.as_micros() / 1000).clamp(0, MAX_MILLIS);
    format!("{:08x}-{:04x}", millis >> 16, millis & 0xffff)
}

// === impl InterceptionFilter ===

impl InterceptionFilter {
    /// The way through interceptions. None: nothing can match.
    pub(super) fn interceptions(&self, engine: Engine) -> Option<Walk> {
        let mut conditions = Where::default();
        self.add_start(&mut conditions, "i.id");
        if let Some(initiator) = self.initiator {
            conditions.and("i.initiator_id = $?", initiator.to_string());
        }
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
        let matching = self.matching(&mut conditions, engine)?;
        Some(Walk {
            alias: "i",
            table: "aibridge_interceptions",
            columns: ", i.provider, i.provider_name, i.model, i.client, i.ended_at",
            conditions,
            matching,
        })
    }

    /// The way through sessions, of which one interception must have all that is not about the session itself.
    pub(super) fn sessions(&self, engine: Engine) -> Option<Walk> {
        let mut conditions = Where::default();
        self.add_start(&mut conditions, "s.id");
        if let Some(initiator) = self.initiator {
            conditions.and("s.initiator_id = $?", initiator.to_string());
        }
        if let Some(session) = &self.session_id {
            conditions.and("s.session_id = $?", storable(session)?);
        }
        let matching = self.matching(&mut conditions, engine)?;
        let matching = if matching.is_empty() {
            matching
        } else {
            format!(
                " AND EXISTS (SELECT 1 FROM aibridge_interceptions AS i \
                 WHERE i.initiator_id = s.initiator_id AND i.session_id = s.session_id{matching} {ONE_BY_ONE})"
            )
        };
        Some(Walk {
            alias: "s",
            table: "aibridge_sessions",
            columns: "",
            conditions,
            matching,
        })
    }

    /// Conditions on interceptions that no index leads to. Their arguments are added.
    fn matching(&self, conditions: &mut Where, engine: Engine) -> Option<String> {
        let before = conditions.sql.len();
        self.add_words(conditions, engine)?;
        let mut matching = conditions.sql.split_off(before);
        if self.only_ended {
            matching.push_str(" AND i.ended_at IS NOT NULL");
        }
        Some(matching)
    }

    /// Looks into the sums by day for whose and until when there can be a match, and narrows the way to that. False:
    /// nothing matches. What is still open is in no sum, so where that matches nothing is narrowed.
    pub(super) async fn narrow(&self, conn: &mut Conn, walk: &mut Walk) -> Result<bool, Fault> {
        let mut words = Where::default();
        for (condition, word) in [
            ("i.provider_name = $?", &self.provider_name),
            ("i.model = $?", &self.model),
            ("i.client = $?", &self.client),
        ] {
            if let Some(word) = word {
                words.and(condition, word.clone());
            }
        }
        if words.args.is_empty() {
            return Ok(true);
        }
        if let Some(initiator) = self.initiator {
            words.and("i.initiator_id = $?", initiator.to_string());
        }
        // SQLite would rather go through all of the user's than through what is open of anybody's.
        let open = format!(
            "WITH i AS MATERIALIZED (SELECT i.initiator_id, i.provider_name, i.model, i.client \
             FROM aibridge_interceptions AS i WHERE i.ended_at IS NULL) SELECT COUNT(*) FROM i{}",
            words.sql()
        );
        let open: Vec<(i64,)> = fetch(conn, &open, &words.args).await?;
        if open.iter().any(|row| row.0 > 0) {
            return Ok(true);
        }
        // A number of our own making. No part of a session is older than its beginning. An id is made a moment before or
        // after the start is noted, perhaps on the other side of midnight: hence one day more on each end.
        let from = self.started_after.map_or(0, |from| day_of(from) - 1);
        let sums = format!(
            "SELECT MAX(i.day), MIN(i.initiator_id), MAX(i.initiator_id) FROM aibridge_usage_days AS i{} AND i.day >= {from}",
            words.sql()
        );
        let sums: Vec<(Option<i64>, Option<String>, Option<String>)> =
            fetch(conn, &sums, &words.args).await?;
        let Some((Some(day), Some(first), Some(last))) = sums.into_iter().next() else {
            return Ok(false);
        };
        walk.before(&first_id(beginning_of(day.saturating_add(2))));
        if first == last && self.initiator.is_none() {
            walk.only_of(first);
        }
        Ok(true)
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
                    "EXISTS (SELECT 1 FROM aibridge_user_prompts AS p WHERE p.interception_id = i.id AND {} {ONE_BY_ONE})",
                    prompt_contains(engine)
                ),
                text::containing(&storable(part)?),
            );
        }
        Some(())
    }
}

/// The one condition that each engine writes in its own way. An index on prompts has its place here; this reads them
/// one after the other. Under the collation of the column only ASCII has cases.
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

    /// All conditions, to follow a `FROM`.
    pub(super) fn sql(&self) -> String {
        format!(" WHERE TRUE{}", self.sql)
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::InterceptionId;

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
        let walk = filter.interceptions(Engine::Sqlite).unwrap();
        assert_eq!(walk.conditions.sql(), " WHERE TRUE");
        assert_eq!(
            walk.matching,
            " AND (i.provider_name = $1 OR i.provider = $1) AND i.model = $2"
        );
        assert_eq!(walk.conditions.args, ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_stored_matches_nothing() {
        for text in ["a\0".to_owned(), "x".repeat(MAX_SEARCH_BYTES + 1)] {
            let filter = InterceptionFilter {
                text: Some(text),
                ..InterceptionFilter::default()
            };
            assert!(filter.interceptions(Engine::Postgres).is_none());
        }
    }
}
