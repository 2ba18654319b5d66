//! One file a page: its handlers and the context of its template.

pub(super) mod cli_auth;
pub(super) mod home;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod password;
pub(super) mod people;
pub(super) mod sessions;
pub(super) mod setup;
pub(super) mod token_create;
pub(super) mod token_delete;
pub(super) mod tokens;
pub(super) mod whose;
