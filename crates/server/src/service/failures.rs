//! Failed attempts to sign in, on their way into the audit log.
//!
//! Anybody can make them, in any number, so what is written of them is bounded. Of each account tried from one network
//! the first failure in a window is written at once, before it is answered; further ones are counted, and written as
//! one entry when the window ends, which a job decides (`jobs::note_failures`). Beyond thirty accounts and networks in
//! one window they are only counted, all together. So a window leaves at most 61 entries, whoever attacks from wherever;
//! an attempt that the limiter has refused counts like any other.

use std::collections::HashMap;
use std::net::IpAddr;

use gateway_core::audit::{Action, Actor, AuditId, Changes, Entry, Source, Target, TargetKind};
use gateway_core::{Timestamp, User, user};
use parking_lot::Mutex;

use super::Services;
use super::attempts::{account, network};

/// How many accounts and networks are told apart in one window.
const PAIRS: usize = 30;

/// What has failed in the present window.
#[derive(Default)]
pub struct Failures(Mutex<Window>);

#[derive(Default)]
struct Window {
    pairs: HashMap<Pair, Further>,
    /// Those of other pairs.
    others: u32,
}

/// An account as typed, and the network that it was tried from.
type Pair = (String, Option<IpAddr>);

/// Failures of a pair after its first.
struct Further {
    count: u32,
    last: Entry,
}

// === impl Failures ===

impl Failures {
    /// Counts a failure, and says whether it is to be written at once.
    fn note(&self, account_typed: &str, entry: &Entry) -> bool {
        let pair = (account(account_typed), entry.source.address().map(network));
        let mut window = self.0.lock();
        if let Some(further) = window.pairs.get_mut(&pair) {
            further.count = further.count.saturating_add(1);
            further.last = entry.clone();
            return false;
        }
        if window.pairs.len() >= PAIRS {
            window.others = window.others.saturating_add(1);
            return false;
        }
        let last = entry.clone();
        window.pairs.insert(pair, Further { count: 0, last });
        true
    }

    /// Counts a failure that could not be written at once as a further one, so that it is written when the window ends.
    fn put_back(&self, account_typed: &str, entry: Entry) {
        let pair = (account(account_typed), entry.source.address().map(network));
        let mut window = self.0.lock();
        let further = window.pairs.entry(pair).or_insert(Further {
            count: 0,
            last: entry,
        });
        further.count = further.count.saturating_add(1);
    }

    /// Ends the window: what is still to be written of it, the oldest first.
    pub(crate) fn take(&self, now: Timestamp) -> Vec<Entry> {
        let Window { pairs, others } = std::mem::take(&mut *self.0.lock());
        let mut entries: Vec<Entry> = pairs
            .into_values()
            .filter(|further| further.count > 0)
            .map(|Further { count, mut last }| {
                let reason = last.detail.take().unwrap_or_default();
                last.detail = Some(format!("{reason}; stands for {count} attempts"));
                last
            })
            .collect();
        entries.sort_by_key(|entry| entry.id);
        if others > 0 {
            let nobody = Target {
                kind: TargetKind::User,
                id: None,
                name: None,
            };
            let detail =
                format!("stands for {others} attempts, on further accounts or from further addresses");
            entries.push(failed(now, Actor::NOBODY, Source::default(), nobody, detail));
        }
        entries
    }
}

fn failed(at: Timestamp, actor: Actor, source: Source, target: Target, detail: String) -> Entry {
    Entry {
        id: AuditId::generate(at),
        at,
        actor,
        source,
        action: Action::LoginFailed,
        target,
        changes: Changes::default(),
        detail: Some(detail),
    }
}

// === impl Services ===

impl Services {
    /// Notes an attempt that has failed. If it cannot be written the attempt is refused all the same.
    pub(crate) async fn note_failure(
        &self,
        typed: &str,
        tried: Option<&User>,
        source: &Source,
        reason: &'static str,
    ) {
        let (actor, target) = match tried {
            Some(user) => (
                Actor::user(user.id, user.username.as_str()),
                Target::user(user.id, user.username.as_str()),
            ),
            None => (Actor::NOBODY, unknown(typed)),
        };
        let entry = failed(self.clock.now(), actor, source.clone(), target, reason.to_owned());
        if !self.failures.note(typed, &entry) {
            return;
        }
        // On its own task, since the client may go away at any time.
        let (store, to_write) = (self.store.clone(), entry.clone());
        let written = self
            .tasks
            .spawn(async move { store.audit().note(&[to_write]).await });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "a failed login could not be written into the audit log; it is tried again");
            self.failures.put_back(typed, entry);
        }
    }
}

/// An account that was not found. What was typed is kept only if it has the form of an e-mail address with a domain of
/// several parts: it may well be a password in the wrong field.
fn unknown(typed: &str) -> Target {
    let domain = typed.rsplit_once('@').map_or("", |(_, domain)| domain);
    let is_address = user::can_be_email(typed) && domain.contains('.');
    let name = is_address.then(|| typed.to_owned());
    Target {
        kind: TargetKind::User,
        id: None,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(second: i64, address: &str, reason: &str) -> Entry {
        let at = Timestamp::from_micros(second * 1_000_000);
        let source = Source::new(address.parse().ok(), None);
        failed(
            at,
            Actor::NOBODY,
            source,
            unknown("a@example.com"),
            reason.to_owned(),
        )
    }

    #[test]
    fn the_first_is_written_at_once_and_further_ones_together() {
        let failures = Failures::default();
        assert!(failures.note("a@example.com", &entry(1, "192.0.2.1", "wrong password")));
        assert!(!failures.note("A@example.com ", &entry(2, "192.0.2.1", "wrong password")));
        assert!(!failures.note("a@example.com", &entry(3, "192.0.2.1", "too many attempts")));
        assert!(failures.note("a@example.com", &entry(4, "192.0.2.2", "wrong password")));
        assert!(failures.note("b@example.com", &entry(5, "192.0.2.1", "wrong password")));
        let left = failures.take(Timestamp::MAX);
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].at.as_micros(), 3_000_000);
        assert_eq!(
            left[0].detail.as_deref(),
            Some("too many attempts; stands for 2 attempts")
        );
        assert_eq!(failures.take(Timestamp::MAX), []);
        assert!(
            failures.note("a@example.com", &entry(6, "192.0.2.1", "x")),
            "a new window"
        );
    }

    #[test]
    fn one_that_could_not_be_written_is_not_lost() {
        let failures = Failures::default();
        let failure = entry(1, "192.0.2.1", "wrong password");
        assert!(failures.note("a@example.com", &failure));
        failures.put_back("a@example.com", failure.clone());
        assert_eq!(failures.take(Timestamp::MAX).len(), 1);
        // Also when the window has ended meanwhile.
        failures.put_back("a@example.com", failure);
        assert_eq!(failures.take(Timestamp::MAX).len(), 1);
    }

    #[test]
    fn a_flood_leaves_little() {
        let failures = Failures::default();
        let mut at_once = 0;
        for n in 0..10_000_u32 {
            let address = format!("10.{}.{}.1", n % 7, n % 251);
            let entry = entry(1, &address, "unknown account");
            at_once += usize::from(failures.note(&format!("{}@example.com", n % 999), &entry));
        }
        assert_eq!(at_once, PAIRS);
        let left = failures.take(Timestamp::MAX);
        assert!(left.len() <= PAIRS + 1, "{}", left.len());
        let told: u32 = left
            .iter()
            .filter_map(|entry| entry.detail.as_deref())
            .filter_map(|detail| {
                detail
                    .split("stands for ")
                    .nth(1)?
                    .split(' ')
                    .next()?
                    .parse::<u32>()
                    .ok()
            })
            .sum();
        assert_eq!(told + u32::try_from(PAIRS).unwrap(), 10_000, "each is counted");
    }

    #[test]
    fn only_what_looks_like_an_address_is_kept() {
        assert_eq!(
            unknown("nobody@example.com").name.as_deref(),
            Some("nobody@example.com")
        );
        for typed in [
            "correct horse battery staple",
            "",
            "a\0@b.c",
            "hunter2",
            "p@ssw0rd",
        ] {
            assert_eq!(unknown(typed).name, None, "{typed:?}");
        }
    }
}
