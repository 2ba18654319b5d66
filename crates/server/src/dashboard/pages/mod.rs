//! One file a page: its handlers and the context of its template.

pub(super) mod ai_session;
pub(super) mod ai_sessions;
pub(super) mod audit;
pub(super) mod cli_auth;
pub(super) mod home;
pub(super) mod interception;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod password;
pub(super) mod people;
pub(super) mod providers;
pub(super) mod proxy;
pub(super) mod sessions;
pub(super) mod setup;
pub(super) mod token_create;
pub(super) mod token_delete;
pub(super) mod tokens;
pub(super) mod usage;
pub(super) mod whose;
