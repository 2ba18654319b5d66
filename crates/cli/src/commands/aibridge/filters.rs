//! Options by which records are chosen.

use clap::Args;

use crate::complete;
use crate::moment::Moment;

/// Which interceptions, or sessions with such interceptions.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only those of this user, by username or id, or me.
    #[arg(long, value_name = "USERNAME|ID|me", add = complete::usernames())]
    initiator: Option<String>,
    /// Only those to this provider, by the name of the instance or by what it speaks.
    #[arg(long, value_name = "NAME", add = complete::providers())]
    provider: Option<String>,
    /// Only those for this model, as it was asked for.
    #[arg(long, value_name = "MODEL", add = complete::models())]
    model: Option<String>,
    /// Only those of this client, such as "Claude Code".
    #[arg(long, value_name = "CLIENT", add = complete::clients())]
    client: Option<String>,
    /// Only those of this session, by the id that its client gave it.
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// Only those since then: a time as in 2026-01-31T12:00:00Z, or how long ago, as in 7d.
    #[arg(long, value_name = "TIME")]
    started_after: Option<Moment>,
    /// Only those before then, written in the same way.
    #[arg(long, value_name = "TIME")]
    started_before: Option<Moment>,
    /// Only those with this text in the prompt; letters match in either case.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

/// How many.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Limits {
    /// At most so many; 0 for all [default: 100 in a table, otherwise all].
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A parameter of a query and its value.
pub(super) type Parameter = (&'static str, String);

/// How many rows a table has unless asked.
const TABLE: u64 = 100;

// === impl Filters ===

impl Filters {
    pub(super) fn query(&self) -> Vec<Parameter> {
        let [after, before] =
            [self.started_after, self.started_before].map(|moment| moment.map(|moment| moment.to_string()));
        let given = [
            ("initiator", self.initiator.clone()),
            ("provider", self.provider.clone()),
            ("model", self.model.clone()),
            ("client", self.client.clone()),
            ("session_id", self.session_id.clone()),
            ("started_after", after),
            ("started_before", before),
            ("search", self.search.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

// === impl Limits ===

impl Limits {
    /// None is all.
    pub(super) fn of_table(self) -> Option<u64> {
        match self.limit {
            None if !self.all => Some(TABLE),
            limit => limit.filter(|limit| *limit > 0),
        }
    }

    /// None is all.
    pub(super) fn of_export(self) -> Option<u64> {
        self.limit.filter(|limit| *limit > 0)
    }
}

/// As the client takes it.
pub(super) fn borrowed(query: &[Parameter]) -> Vec<(&str, &str)> {
    query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
