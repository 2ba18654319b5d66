//! What an option is: names, default, help, and how its value is told from nothing. clap is handed the options
//! made of these.

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction};

use super::names::Name;

/// One option of the server.
#[derive(Debug)]
pub(super) struct ServerOption {
    pub(super) name: Name,
    /// For secrets: the option that names a file with the secret.
    pub(super) file: Option<Name>,
    pub(super) kind: Kind,
    /// As somebody would write it.
    pub(super) default: Option<&'static str>,
    short: Option<char>,
    value_name: &'static str,
    help: &'static str,
}

/// The options of one section of the help.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) options: &'static [&'static ServerOption],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Empty text is no value.
    Text,
    /// Empty text is a value, which switches something off.
    TextOrEmpty,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
    /// Never shown.
    Secret,
}

// === impl ServerOption ===

impl ServerOption {
    pub(super) const fn text(name: Name, value_name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            file: None,
            kind: Kind::Text,
            default: None,
            short: None,
            value_name,
            help,
        }
    }

    pub(super) const fn switch(name: Name, default: &'static str, help: &'static str) -> Self {
        let mut option = Self::text(name, "BOOL", help).default(default);
        option.kind = Kind::Switch;
        option
    }

    pub(super) const fn secret(name: Name, file: Name, value_name: &'static str, help: &'static str) -> Self {
        let mut option = Self::text(name, value_name, help);
        option.kind = Kind::Secret;
        option.file = Some(file);
        option
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn or_empty(mut self) -> Self {
        self.kind = Kind::TextOrEmpty;
        self
    }

    pub(super) fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Its own name and that of its file form.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        std::iter::once(self.name).chain(self.file)
    }

    /// For clap: the option itself and its file form.
    pub(super) fn args(&self, heading: &'static str) -> impl Iterator<Item = Arg> {
        let mut own = arg(self.name, heading)
            .help(self.help)
            .value_name(self.value_name);
        if let Some(short) = self.short {
            own = own.short(short);
        }
        if let Some(default) = self.default.filter(|default| !default.is_empty()) {
            own = own.default_value(default);
        }
        if self.kind == Kind::Switch {
            own = own
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true");
        }
        let file = self.file.map(|name| {
            arg(name, heading)
                .help(format!("File with the value of --{}", self.name.flag))
                .value_name("PATH")
        });
        std::iter::once(own).chain(file)
    }
}

/// An argument that takes any text any number of times: what is wrong with it is reported together with all other
/// faults. clap knows the variable for the help; its value is read elsewhere.
fn arg(name: Name, heading: &'static str) -> Arg {
    Arg::new(name.flag)
        .long(name.flag)
        .visible_aliases(name.flags().skip(1))
        .env(name.variable)
        .hide_env_values(true)
        .help_heading(heading)
        .action(ArgAction::Append)
        .num_args(1)
        .value_parser(OsStringValueParser::new())
}
