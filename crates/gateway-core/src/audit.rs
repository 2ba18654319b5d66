//! The audit log: who has done what to accounts, tokens and the configuration, and from where.
//!
//! An [`Entry`] is written in the transaction of the act that it tells of, so that neither is there without the other.
//! Nothing in here is a secret: passwords, hashes and whole tokens are never among the [`Changes`], and what a client
//! says of itself is cut and searched for tokens on its way into a [`Source`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId, uuid_id};
use crate::token;
use crate::words::words;

/// The longest user agent that is kept, in bytes.
pub const USER_AGENT_BYTES: usize = 256;

/// The id of an entry: UUID of version 7 made of the entry's own time, to the microsecond, so that pages, bounds of
/// time and retention need no other key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(Uuid);

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: AuditId,
    pub at: Timestamp,
    pub actor: Actor,
    pub source: Source,
    pub action: Action,
    pub target: Target,
    pub changes: Changes,
    /// What else there is to say, such as why an attempt failed or which command it was.
    pub detail: Option<String>,
}

/// Who did it, as known at the time: the entry outlives user and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    /// For a failed login the account that was tried, whoever tried it; none if there is no such account.
    pub id: Option<UserId>,
    pub username: Option<String>,
    /// The token that the act was done with.
    pub token_id: Option<TokenId>,
}

/// From where it was done. Empty for acts of the program itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    address: Option<IpAddr>,
    user_agent: Option<String>,
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: TargetKind,
    /// Of a user or token; none for an account that does not exist.
    pub id: Option<String>,
    /// The username or the token's name; for an account that does not exist, the e-mail address that was typed.
    pub name: Option<String>,
}

/// Fields with their values before and after. Times are RFC 3339, lists have commas; none is "not there".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<String, Change>);

/// The two values of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Whether somebody did it or the program, on its own or at the hand of somebody at the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    User,
    System,
}

/// What kind of thing was acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    User,
    /// An API token.
    Token,
    Session,
    Configuration,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Login,
    /// An attempt to sign in, to set up, or to confirm one's own password that was refused.
    LoginFailed,
    Logout,
    /// Of an API token, or of a further session for somebody who is signed in.
    TokenCreated,
    TokenRemoved,
    /// Before its time, by hand.
    TokenExpired,
    /// All sessions of a user.
    SessionsRemoved,
    /// The first owner was made.
    SetUp,
    UserCreated,
    UserDeleted,
    UserSuspended,
    UserActivated,
    RolesChanged,
    PasswordChanged,
    /// Username or full name.
    ProfileChanged,
    /// The server was started with other options than the last time.
    ConfigurationChanged,
}

// === impl AuditId ===

uuid_id!(AuditId, "audit entry");

impl AuditId {
    /// A new id for an entry of this time. Those of one microsecond follow each other in the order in which this
    /// process makes them.
    pub fn generate(at: Timestamp) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut tail = [0; 8];
        tail[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        tail[4..].copy_from_slice(&rand::random::<[u8; 4]>());
        // The variant takes the first two bits.
        let shifted = u64::from_be_bytes(tail) >> 2;
        Self::build(at, shifted.to_be_bytes())
    }

    /// The smallest id that an entry of this time or a later one can have.
    pub fn first_at(at: Timestamp) -> Self {
        Self::build(at, [0; 8])
    }

    /// RFC 9562, section 5.7: milliseconds, then here the microseconds within, then the rest.
    fn build(at: Timestamp, tail: [u8; 8]) -> Self {
        const LATEST: i64 = (1 << 48) - 1;
        let micros = at.as_micros();
        let millis = micros.div_euclid(1000).clamp(0, LATEST);
        let within = u16::try_from(micros.rem_euclid(1000)).unwrap_or_default();
        let mut rest = [0; 10];
        rest[..2].copy_from_slice(&within.to_be_bytes());
        rest[2..].copy_from_slice(&tail);
        let millis = u64::try_from(millis).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid())
    }
}

// === impl Actor ===

impl Actor {
    /// The program itself.
    pub const SYSTEM: Self = Self {
        kind: ActorKind::System,
        id: None,
        username: None,
        token_id: None,
    };

    /// Somebody who has no token, or does not show it.
    pub fn user(id: UserId, username: impl Into<String>) -> Self {
        Self {
            id: Some(id),
            username: Some(username.into()),
            ..Self::NOBODY
        }
    }

    /// Somebody of whom nothing is known.
    pub const NOBODY: Self = Self {
        kind: ActorKind::User,
        id: None,
        username: None,
        token_id: None,
    };
}

// === impl Source ===

impl Source {
    /// The user agent is made storable: cut to [`USER_AGENT_BYTES`], without U+0000, and with any token reduced to
    /// its id.
    pub fn new(address: Option<IpAddr>, user_agent: Option<&[u8]>) -> Self {
        // No more is looked at than can be kept: reducing a token makes it shorter, but not by so much that one which
        // is cut in two here could come within what is kept.
        let user_agent = user_agent
            .map(|bytes| &bytes[..bytes.len().min(4 * USER_AGENT_BYTES)])
            .map(|bytes| token::redact(&String::from_utf8_lossy(bytes)).replace('\0', "\u{fffd}"))
            .map(|text| text[..text.floor_char_boundary(USER_AGENT_BYTES)].to_owned())
            .filter(|text| !text.is_empty());
        Self {
            address: address.map(|address| address.to_canonical()),
            user_agent,
        }
    }

    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }
}

// === impl Target ===

impl Target {
    pub fn user(id: UserId, username: impl Into<String>) -> Self {
        Self {
            kind: TargetKind::User,
            id: Some(id.to_string()),
            name: Some(username.into()),
        }
    }
}

// === impl Changes ===

impl Changes {
    /// Notes a field, unless its value is the same before and after.
    #[must_use]
    pub fn with(mut self, field: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        if before != after {
            self.0.insert(field.into(), Change { before, after });
        }
        self
    }

    /// Notes a field that was not there before.
    #[must_use]
    pub fn made(self, field: impl Into<String>, after: &(impl ToString + ?Sized)) -> Self {
        self.with(field, None, Some(after.to_string()))
    }

    /// Notes a field that is no longer there.
    #[must_use]
    pub fn gone(self, field: impl Into<String>, before: &(impl ToString + ?Sized)) -> Self {
        self.with(field, Some(before.to_string()), None)
    }

    /// Notes a field that stays as it is and says what the rest is about.
    #[must_use]
    pub fn kept(mut self, field: impl Into<String>, value: &(impl ToString + ?Sized)) -> Self {
        let value = Some(value.to_string());
        let (before, after) = (value.clone(), value);
        self.0.insert(field.into(), Change { before, after });
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Change)> {
        self.0.iter().map(|(field, change)| (field.as_str(), change))
    }
}

impl FromIterator<(String, Change)> for Changes {
    fn from_iter<I: IntoIterator<Item = (String, Change)>>(changes: I) -> Self {
        Self(changes.into_iter().collect())
    }
}

// === Fixed sets of words ===

words!(ActorKind, "kind of actor", [
    User => "user",
    System => "system",
]);

words!(TargetKind, "kind of target", [
    User => "user",
    Token => "token",
    Session => "session",
    Configuration => "configuration",
]);

words!(Action, "action", [
    Login => "login",
    LoginFailed => "login_failed",
    Logout => "logout",
    TokenCreated => "token_created",
    TokenRemoved => "token_removed",
    TokenExpired => "token_expired",
    SessionsRemoved => "sessions_removed",
    SetUp => "set_up",
    UserCreated => "user_created",
    UserDeleted => "user_deleted",
    UserSuspended => "user_suspended",
    UserActivated => "user_activated",
    RolesChanged => "roles_changed",
    PasswordChanged => "password_changed",
    ProfileChanged => "profile_changed",
    ConfigurationChanged => "configuration_changed",
]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::token::{ApiToken, find_shape};

    #[test]
    fn ids_are_uuids_of_version_7_in_the_order_of_time() {
        let at = Timestamp::from_micros(1_700_000_000_123_456);
        let id = AuditId::generate(at);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
        let (seconds, nanos) = id.as_uuid().get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_700_000_000, 123));
        let made: Vec<_> = (0..100).map(|_| AuditId::generate(at)).collect();
        assert!(
            made.is_sorted() && id < made[0],
            "in the order in which they are made"
        );
        assert!(AuditId::generate(Timestamp::from_micros(i64::MIN)) < AuditId::generate(Timestamp::MAX));
    }

    proptest! {
        #[test]
        fn bounds_of_ids_are_bounds_of_time(one in 0..1_i64 << 52, other in 0..1_i64 << 52) {
            let (at, bound) = (Timestamp::from_micros(one), Timestamp::from_micros(other));
            prop_assert_eq!(AuditId::generate(at) >= AuditId::first_at(bound), at >= bound);
        }

        #[test]
        fn a_user_agent_is_short_and_holds_no_token(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0_usize..300) {
            let token = ApiToken::generate(&mut rand::rng());
            let cut = cut.min(bytes.len());
            let all = [&bytes[..cut], token.expose().as_bytes(), &bytes[cut..]].concat();
            let source = Source::new(None, Some(&all));
            let kept = source.user_agent().unwrap_or_default();
            prop_assert!(kept.len() <= USER_AGENT_BYTES && !kept.contains('\0'));
            prop_assert!(find_shape(kept.as_bytes()).is_none());
        }
    }

    #[test]
    fn a_user_agent_that_says_nothing_is_none() {
        assert_eq!(Source::new(None, Some(b"")), Source::default());
        let mapped = "::ffff:192.0.2.1".parse().ok();
        assert_eq!(Source::new(mapped, None).address(), "192.0.2.1".parse().ok());
    }

    #[test]
    fn a_token_that_the_cut_goes_through_leaves_no_secret() {
        let token = ApiToken::generate(&mut rand::rng());
        let secret = &token.expose()["cdr_0123456789_".len()..];
        let text = format!("{}{}", "x".repeat(USER_AGENT_BYTES - 30), token.expose());
        let source = Source::new(None, Some(text.as_bytes()));
        assert!(!source.user_agent().unwrap().contains(&secret[..6]));
        for before in 0..token.expose().len() {
            let text = format!("{}{}", "x".repeat(before), token.expose().repeat(100));
            let source = Source::new(None, Some(text.as_bytes()));
            assert!(!source.user_agent().unwrap().contains(&secret[..6]), "{before}");
        }
    }

    #[test]
    fn what_is_the_same_has_not_changed() {
        let same = || Some("a".to_owned());
        let changes = Changes::default()
            .with("name", same(), same())
            .made("roles", "owner")
            .gone("email", "a@b");
        let fields: Vec<_> = changes.iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["email", "roles"]);
        assert!(Changes::default().with("name", None, None).is_empty());
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        assert!("hacked".parse::<Action>().is_err());
    }
}
