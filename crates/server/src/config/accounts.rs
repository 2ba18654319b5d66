//! How long sessions and tokens live, and how the first user comes to be.

use gateway_core::lifetime::InvalidLifetime;
use gateway_core::{Lifetime, Secret};

use super::error::Read;
use super::names;
use super::option::{Section, ServerOption};
use super::reader::Reader;

const SESSION_DURATION: ServerOption = ServerOption::text(
    names::SESSION_DURATION,
    "DURATION",
    "How long a session lives without being used",
)
.default("24h");
const DISABLE_SESSION_EXPIRY_REFRESH: ServerOption = ServerOption::switch(
    names::DISABLE_SESSION_EXPIRY_REFRESH,
    "false",
    "End sessions a fixed time after logging in, used or not",
);
const DEFAULT_TOKEN_LIFETIME: ServerOption = ServerOption::text(
    names::DEFAULT_TOKEN_LIFETIME,
    "DURATION",
    "Lifetime of API tokens for which none is asked, or the longest that is allowed if that is shorter",
)
.default("30d");
const MAX_TOKEN_LIFETIME: ServerOption = ServerOption::text(
    names::MAX_TOKEN_LIFETIME,
    "DURATION",
    "Longest lifetime of API tokens of users who are not owners",
)
.default("1y");
const MAX_ADMIN_TOKEN_LIFETIME: ServerOption = ServerOption::text(
    names::MAX_ADMIN_TOKEN_LIFETIME,
    "DURATION",
    "Longest lifetime of API tokens of owners",
)
.default("1y");
const API_KEYS_RETENTION: ServerOption = ServerOption::text(
    names::API_KEYS_RETENTION,
    "DURATION",
    "How long expired tokens and sessions are kept, so that their users are told that they expired; 0 for ever",
)
.default("7d");
const FIRST_USER_CODE: ServerOption = ServerOption::secret(
    names::FIRST_USER_CODE,
    names::FIRST_USER_CODE_FILE,
    "CODE",
    "Code for setting up the first user from another machine; by default one is made and printed at the start",
);

pub(super) const SECTION: Section = Section {
    heading: "Accounts",
    options: &[
        &SESSION_DURATION,
        &DISABLE_SESSION_EXPIRY_REFRESH,
        &DEFAULT_TOKEN_LIFETIME,
        &MAX_TOKEN_LIFETIME,
        &MAX_ADMIN_TOKEN_LIFETIME,
        &API_KEYS_RETENTION,
        &FIRST_USER_CODE,
    ],
};

/// A set-up code that is shorter could be guessed.
const SHORTEST_CODE: usize = 8;
const LONGEST_CODE: usize = 128;

/// Lifetimes, and the first user.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    pub session_duration: Lifetime,
    /// Whether the expiry of a session moves while it is used.
    pub refresh_sessions: bool,
    /// Of API tokens for which none is asked. May be above a ceiling, which then holds.
    pub default_token_lifetime: Lifetime,
    /// The ceiling of users who are not owners.
    pub max_token_lifetime: Lifetime,
    /// The ceiling of owners.
    pub max_admin_token_lifetime: Lifetime,
    /// How long expired tokens are kept; none: for ever.
    pub expired_token_retention: Option<Lifetime>,
    /// None: make one up.
    pub first_user_code: Option<Secret>,
}

// === impl AccountConfig ===

impl AccountConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let session_duration = reader.value(&SESSION_DURATION, lifetime);
        let fixed_sessions = reader.switch(&DISABLE_SESSION_EXPIRY_REFRESH);
        let given_default = reader.given(&DEFAULT_TOKEN_LIFETIME, lifetime);
        let max = reader.value(&MAX_TOKEN_LIFETIME, lifetime);
        let max_admin = reader.value(&MAX_ADMIN_TOKEN_LIFETIME, lifetime);
        let retention = reader.value(&API_KEYS_RETENTION, retention);
        let first_user_code = reader.secret(&FIRST_USER_CODE, check_code);
        let (given_default, max, max_admin) = (given_default?, max?, max_admin?);
        if let Some(default) = given_default
            && default > max.max(max_admin)
        {
            let text = format!(
                "is {default}, which is longer than --max-token-lifetime ({max}) and --max-admin-token-lifetime \
                 ({max_admin}) allow; shorten it or raise those"
            );
            return Err(reader.fault(&DEFAULT_TOKEN_LIFETIME, &text));
        }
        let default_token_lifetime = match given_default {
            Some(default) => default,
            None => reader.value(&DEFAULT_TOKEN_LIFETIME, lifetime)?,
        };
        Ok(Self {
            session_duration: session_duration?,
            refresh_sessions: !fixed_sessions?,
            default_token_lifetime,
            max_token_lifetime: max,
            max_admin_token_lifetime: max_admin,
            expired_token_retention: retention?,
            first_user_code: first_user_code?,
        })
    }
}

fn lifetime(text: &str) -> Result<Lifetime, InvalidLifetime> {
    text.parse()
}

/// How long something is kept; none: for ever.
pub(super) fn retention(text: &str) -> Result<Option<Lifetime>, InvalidLifetime> {
    match text {
        "0" | "0s" => Ok(None),
        text => lifetime(text).map(Some),
    }
}

fn check_code(code: Secret) -> Result<Secret, String> {
    let is_plain = code.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain && (SHORTEST_CODE..=LONGEST_CODE).contains(&code.expose().len()) {
        Ok(code)
    } else {
        Err(format!(
            "it must have {SHORTEST_CODE} to {LONGEST_CODE} letters, digits and signs, without blanks"
        ))
    }
}
