//! The dashboard as a browser sees it.

mod account;
mod browser;
mod cli_auth;
mod defence;
mod entrance;
mod gateway;
mod notices;
mod people;
mod records;
