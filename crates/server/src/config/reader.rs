//! Finding the value of an option: flag, then variable, then configuration file, then default.
//!
//! Within one of these, two spellings of an option (aliases, a secret and the file with it) must agree or are a
//! fault; between them the first wins. Faults are collected, not returned one by one.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use gateway_core::Secret;

use super::ServerArgs;
use super::environment::Environment;
use super::error::{Faulty, Read, quoted};
use super::file::ConfigFile;
use super::names::Name;
use super::option::{Kind, ServerOption};

/// A secret in a file is at most this long.
const LONGEST_SECRET: u64 = 64 * 1024;

/// Where values are looked for, and what was wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    args: ServerArgs,
    pub(super) environment: &'a Environment,
    file: ConfigFile,
    faults: Vec<String>,
    warnings: Vec<String>,
}

/// Where values come from, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Flags,
    Variables,
    File,
}

/// A value as given, and how it was spelt there.
#[derive(Clone, Debug)]
struct Found {
    text: Secret,
    origin: String,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(args: ServerArgs, environment: &'a Environment) -> Self {
        Self {
            args,
            environment,
            file: ConfigFile::default(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn read_file(&mut self, path: &Path, options: &[&ServerOption]) {
        self.file = ConfigFile::read(path, options, &mut self.faults);
    }

    pub(super) fn into_faults_and_warnings(self) -> (Vec<String>, Vec<String>) {
        (self.faults, self.warnings)
    }

    /// The value of an option that has a default.
    pub(super) fn value<T, E: ToString>(
        &mut self,
        option: &ServerOption,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Read<T> {
        match self.optional(option, parse)? {
            Some(value) => Ok(value),
            None => Err(self.fault(option, "is missing")),
        }
    }

    /// The value of an option, if it has one.
    pub(super) fn optional<T, E: ToString>(
        &mut self,
        option: &ServerOption,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Read<Option<T>> {
        let found = match (self.find(option)?, option.default) {
            (Some(found), _) => found,
            (None, Some(default)) => Found {
                text: Secret::new(default),
                origin: option.name.flag.to_owned(),
            },
            (None, None) => return Ok(None),
        };
        match parse(found.text.expose()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.bad_value(option, &found, &error.to_string())),
        }
    }

    /// The value that somebody has given an option, whatever its default.
    pub(super) fn given<T, E: ToString>(
        &mut self,
        option: &ServerOption,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Read<Option<T>> {
        match self.find(option)? {
            Some(_) => self.optional(option, parse),
            None => Ok(None),
        }
    }

    /// The value in effect as text, a switch in one spelling. To be called when everything could be read; a value that
    /// has become unreadable since is a fault all the same.
    pub(super) fn effective(&mut self, option: &ServerOption) -> Option<String> {
        let found = self.find(option).ok().flatten();
        let text = match &found {
            Some(found) => found.text.expose(),
            None => option.default?,
        };
        match (option.kind, parse_switch(text)) {
            (Kind::Switch, Ok(on)) => Some(on.to_string()),
            // Whoever asks for a secret asks whether it is there.
            (Kind::Secret, _) => Some(String::new()),
            _ => Some(text.to_owned()),
        }
    }

    pub(super) fn switch(&mut self, option: &ServerOption) -> Read<bool> {
        self.value(option, parse_switch)
    }

    /// The comma-separated values of an option.
    pub(super) fn list<T, E: ToString>(
        &mut self,
        option: &ServerOption,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Read<Vec<T>> {
        let list = self.optional(option, |text| {
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(&parse)
                .collect::<Result<Vec<T>, E>>()
        });
        Ok(list?.unwrap_or_default())
    }

    /// The value of a secret option, its own or its file's. `check` says what the secret must be like.
    pub(super) fn secret<T, E: ToString>(
        &mut self,
        option: &ServerOption,
        check: impl FnOnce(Secret) -> Result<T, E>,
    ) -> Read<Option<T>> {
        let Some(found) = self.find(option)? else {
            return Ok(None);
        };
        match check(found.text.clone()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.bad_value(option, &found, &error.to_string())),
        }
    }

    /// Notes what is wrong with an option.
    pub(super) fn fault(&mut self, option: &ServerOption, text: &str) -> Faulty {
        let Name { flag, variable } = option.name;
        self.note(format!("--{flag} ({variable}) {text}"))
    }

    /// Notes what is wrong with something that is not an option.
    pub(super) fn note(&mut self, text: String) -> Faulty {
        self.faults.push(text);
        Faulty
    }

    /// Notes what works and should not be.
    pub(super) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    fn bad_value(&mut self, option: &ServerOption, found: &Found, text: &str) -> Faulty {
        let Name { flag, variable } = option.name;
        let is_obvious = found.origin == format!("--{flag}") || found.origin == variable;
        let by = if is_obvious {
            String::new()
        } else {
            format!(" (by {})", found.origin)
        };
        if option.is_secret() {
            return self.fault(option, &format!("cannot be used{by}: {text}"));
        }
        let value = quoted(found.text.expose());
        self.fault(option, &format!("is {value}{by}: {text}"))
    }

    /// The one value that is given for an option at the first place that has any.
    fn find(&mut self, option: &ServerOption) -> Read<Option<Found>> {
        for place in [Place::Flags, Place::Variables, Place::File] {
            let own = self.agreed(option, option.name, place)?;
            let file = match option.file {
                Some(name) => self.agreed(option, name, place)?,
                None => None,
            };
            match (own, file) {
                (Some(own), Some(file)) => {
                    let text = format!(
                        "is given twice, by {} and {}; take one out",
                        own.origin, file.origin
                    );
                    return Err(self.fault(option, &text));
                }
                (Some(own), None) => return Ok(Some(own)),
                (None, Some(file)) => return self.read_secret(option, &file).map(Some),
                (None, None) => {}
            }
        }
        Ok(None)
    }

    /// What one place says, if all spellings there say the same.
    fn agreed(&mut self, option: &ServerOption, name: Name, place: Place) -> Read<Option<Found>> {
        let kind = if name == option.name {
            option.kind
        } else {
            Kind::Text
        };
        let mut agreed: Option<Found> = None;
        for (origin, value) in self.values(place, name) {
            let Ok(text) = value.into_string() else {
                return Err(self.fault(option, &format!("is not UTF-8 text in {origin}")));
            };
            let text = Secret::new(text);
            if text.is_empty() && kind != Kind::TextOrEmpty {
                if place == Place::Variables {
                    continue;
                }
                return Err(self.fault(
                    option,
                    &format!("is empty in {origin}; give it a value or take it out"),
                ));
            }
            match &agreed {
                Some(first) if !same(kind, &first.text, &text) => {
                    let text = format!(
                        "has two different values, by {} and {origin}; take one out",
                        first.origin
                    );
                    return Err(self.fault(option, &text));
                }
                Some(_) => {}
                None => agreed = Some(Found { text, origin }),
            }
        }
        Ok(agreed)
    }

    /// What a place says about a name: how it is spelt there, and the value.
    fn values(&self, place: Place, name: Name) -> Vec<(String, OsString)> {
        match place {
            Place::Flags => {
                let values = self.args.get(name.flag).iter();
                values
                    .map(|value| (format!("--{}", name.flag), value.clone()))
                    .collect()
            }
            Place::Variables => name
                .variables()
                .filter_map(|variable| {
                    let value = self.environment.get(&variable)?.to_owned();
                    Some((variable, value))
                })
                .collect(),
            Place::File => {
                let path = self.file.path().display();
                let entries = self.file.get(name.flag);
                entries
                    .map(|entry| (format!("{} in {path}", entry.key), entry.value.expose().into()))
                    .collect()
            }
        }
    }

    fn read_secret(&mut self, option: &ServerOption, file: &Found) -> Read<Found> {
        let path = file.text.expose();
        match read_secret_file(Path::new(path)) {
            Ok(text) => Ok(Found {
                text,
                origin: format!("the file {}", quoted(path)),
            }),
            Err(error) => {
                let text = format!("cannot be read from {} ({}): {error}", quoted(path), file.origin);
                Err(self.fault(option, &text))
            }
        }
    }
}

fn same(kind: Kind, one: &Secret, other: &Secret) -> bool {
    match kind {
        Kind::Switch => match (parse_switch(one.expose()), parse_switch(other.expose())) {
            (Ok(one), Ok(other)) => one == other,
            _ => one.expose() == other.expose(),
        },
        _ => one.expose() == other.expose(),
    }
}

pub(super) fn parse_switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("write true or false"),
    }
}

/// The content of a file without the newline at its end.
pub(super) fn read_secret_file(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    File::open(path)?
        .take(LONGEST_SECRET + 1)
        .read_to_string(&mut text)?;
    let text = Secret::new(text);
    let content = text.expose();
    if content.len() as u64 > LONGEST_SECRET {
        return Err(io::Error::other("the file is larger than 64 KiB"));
    }
    let line = content.strip_suffix('\n').unwrap_or(content);
    let line = line
        .strip_suffix('\r')
        .filter(|_| line.len() < content.len())
        .unwrap_or(line);
    if line.is_empty() {
        return Err(io::Error::other("the file is empty"));
    }
    Ok(Secret::new(line))
}
