//! The dashboard as a browser sees it.

mod account;
mod browser;
mod defence;
mod entrance;
