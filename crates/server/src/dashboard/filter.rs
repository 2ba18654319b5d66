//! Which records a page is about, as its address and its form say it.

use gateway_core::{InterceptionId, Permission, Timestamp};
use gateway_store::InterceptionFilter;
use jiff::ToSpan as _;
use serde::Deserialize;

use super::address::with_pairs;
use super::days;
use super::session::Session;
use crate::service::error::ServiceError;
use crate::service::records::RecordQuery;

/// How far back a list goes unless asked, in days.
const DAYS: i64 = 30;

/// The longest text that prompts are searched for, in bytes.
const SEARCH: usize = 256;

/// As in the address. What is empty is not asked for; only a beginning that is not there at all stands for the usual
/// one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// Id or username.
    pub(super) person: String,
    /// Days, both included.
    pub(super) from: Option<String>,
    pub(super) until: String,
    pub(super) client: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) text: String,
    /// Only what comes after this.
    pub(super) after: String,
}

// === impl Wanted ===

impl Wanted {
    /// With the usual beginning where none is said.
    pub(super) fn completed(mut self, now: Timestamp) -> Self {
        let usual = || days::of(now).saturating_sub(DAYS.days()).to_string();
        self.from.get_or_insert_with(usual);
        self
    }

    pub(super) fn query(&self) -> Result<RecordQuery, ServiceError> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        if self.text.len() > SEARCH {
            return Err(ServiceError::refused(
                "the text to look for is longer than 256 bytes",
            ));
        }
        let after = given(&self.after).map(|id| id.parse::<InterceptionId>());
        Ok(RecordQuery {
            initiator: given(self.person.trim()),
            filter: InterceptionFilter {
                provider: given(&self.provider),
                model: given(&self.model),
                client: given(&self.client),
                started_after: days::parse(self.beginning())?.map(days::beginning),
                started_before: days::parse(&self.until)?.map(days::end),
                text: given(&self.text),
                ..InterceptionFilter::default()
            },
            after: after
                .transpose()
                .map_err(|_| ServiceError::NotFound("place in the list"))?,
        })
    }

    pub(super) fn beginning(&self) -> &str {
        self.from.as_deref().unwrap_or_default()
    }

    /// The address of the same from another place of the list; the beginning of it if there is none.
    pub(super) fn address(&self, path: &str, after: Option<&str>) -> String {
        let pairs = [
            ("from", self.beginning()),
            ("person", &self.person),
            ("until", &self.until),
            ("client", &self.client),
            ("provider", &self.provider),
            ("model", &self.model),
            ("text", &self.text),
            ("after", after.unwrap_or_default()),
        ];
        let address = with_pairs(path, &pairs);
        match &self.from {
            // Other than none at all.
            Some(from) if from.is_empty() => format!("{address}&from="),
            _ => address,
        }
    }

    /// Whether it says more than the usual.
    pub(super) fn is_narrowed(&self) -> bool {
        [
            &self.person,
            &self.client,
            &self.provider,
            &self.model,
            &self.text,
            &self.until,
        ]
        .iter()
        .any(|text| !text.is_empty())
    }
}

/// Whether records of others are there for whoever looks.
pub(super) fn sees_all(session: &Session) -> bool {
    session.requester().roles.allow(Permission::ReadRecords)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_all_that_is_asked_for() {
        let wanted = Wanted {
            person: "al&ice".to_owned(),
            text: "\"><script>".to_owned(),
            ..Wanted::default()
        };
        let noon = Timestamp::from_micros(1_769_860_800_000_000);
        let address = wanted.completed(noon).address("/x", Some("1"));
        assert_eq!(
            address,
            "/x?from=2026-01-01&person=al%26ice&text=%22%3E%3Cscript%3E&after=1"
        );
    }

    #[test]
    fn nothing_is_guessed() {
        let refused = [
            Wanted {
                from: Some("soon".to_owned()),
                ..Wanted::default()
            },
            Wanted {
                text: "x".repeat(SEARCH + 1),
                ..Wanted::default()
            },
            Wanted {
                after: "here".to_owned(),
                ..Wanted::default()
            },
        ];
        assert!(refused.iter().all(|wanted| wanted.query().is_err()));
        let everything = Wanted {
            from: Some(String::new()),
            ..Wanted::default()
        };
        assert!(everything.query().unwrap().filter.started_after.is_none());
    }
}
