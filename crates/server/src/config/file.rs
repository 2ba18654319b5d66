//! The configuration file: YAML whose keys are the long flags, with hyphens or underscores.
//!
//! Keys that begin with `aibridge-` may also stand without it under a key `aibridge` or `ai_gateway`. Nothing else
//! nests. What is not known is refused, and secrets are only read from a file that nobody else can read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use gateway_core::Secret;
use serde_yaml_ng::Value;

use super::error::quoted;
use super::names::{CONFIG, FLAG_PREFIXES};
use super::option::ServerOption;

/// Larger files are not configuration.
const LONGEST: u64 = 1024 * 1024;

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The flag that the key stands for, in its first spelling.
    flag: String,
    /// As it stands in the file.
    pub(super) key: String,
    pub(super) value: Secret,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// Reads the file; what is wrong is added to the faults, and left out.
    pub(super) fn read(path: &Path, options: &[&ServerOption], faults: &mut Vec<String>) -> Self {
        let mut file = Self {
            path: path.to_owned(),
            entries: Vec::new(),
        };
        let mut fault = |text: String| faults.push(format!("{}: {text}", path.display()));
        let (text, is_private) = match read(path) {
            Ok(read) => read,
            Err(error) => {
                faults.push(format!(
                    "--{} ({}): cannot read {}: {error}",
                    CONFIG.flag,
                    CONFIG.variable,
                    path.display()
                ));
                return file;
            }
        };
        let root = match serde_yaml_ng::from_str(text.expose()) {
            Ok(Value::Mapping(root)) => root,
            Ok(Value::Null) => return file,
            Ok(_) => {
                fault("not a list of options; write one a line, as http-address: 127.0.0.1:3000".to_owned());
                return file;
            }
            Err(error) => {
                // The parser's message may quote what stands there, which may be a secret.
                let place = error.location().map_or_else(String::new, |place| {
                    format!(" at line {}, column {}", place.line(), place.column())
                });
                fault(format!(
                    "not YAML, or a key stands twice{place}; write one option a line, as http-address: 127.0.0.1:3000"
                ));
                return file;
            }
        };
        let mut found = Vec::new();
        for (key, value) in root {
            collect(&key, "", value, &mut found);
        }
        for (key, flag, value) in found {
            match entry(key, flag, value, options, is_private) {
                Ok(entry) => file.entries.extend(entry),
                Err(text) => fault(text),
            }
        }
        file
    }

    /// What the file says about an option.
    pub(super) fn get(&self, flag: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.flag == flag)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The content, and whether only its owner can read it.
fn read(path: &Path) -> io::Result<(Secret, bool)> {
    let mut file = File::open(path)?;
    let is_private = is_private(&file.metadata()?);
    let mut text = String::new();
    file.by_ref().take(LONGEST + 1).read_to_string(&mut text)?;
    let text = Secret::new(text);
    if text.expose().len() as u64 > LONGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok((text, is_private))
}

/// Every right of the group and of all others.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

#[cfg(unix)]
fn is_private(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & OTHERS == 0
}

#[cfg(not(unix))]
fn is_private(_: &std::fs::Metadata) -> bool {
    true
}

/// Flattens the one level of nesting that there is. Gives key as written, flag, value.
fn collect(key: &Value, prefix: &str, value: Value, found: &mut Vec<(String, String, Value)>) {
    let written = match key {
        Value::String(key) => key.clone(),
        other => serde_yaml_ng::to_string(other).map_or_else(|_| "?".to_owned(), |key| key.trim().to_owned()),
    };
    let name = written.replace('_', "-");
    if prefix.is_empty()
        && let Some(section) = FLAG_PREFIXES
            .iter()
            .find(|known| known.trim_end_matches('-') == name)
    {
        if let Value::Mapping(inner) = value {
            for (key, value) in inner {
                let before = found.len();
                collect(&key, section, value, found);
                for (nested, ..) in &mut found[before..] {
                    *nested = format!("{written}.{nested}");
                }
            }
            return;
        }
        if value.is_null() {
            return;
        }
    }
    let mut flag = format!("{prefix}{name}");
    if let Some(rest) = flag.strip_prefix(FLAG_PREFIXES[1]) {
        flag = format!("{}{rest}", FLAG_PREFIXES[0]);
    }
    found.push((written, flag, value));
}

fn entry(
    key: String,
    flag: String,
    value: Value,
    options: &[&ServerOption],
    is_private: bool,
) -> Result<Option<Entry>, String> {
    let option = options
        .iter()
        .filter(|option| option.name != CONFIG)
        .find(|option| option.names().any(|name| name.flag == flag));
    let Some(option) = option else {
        let known = options
            .iter()
            .filter(|option| option.name != CONFIG)
            .flat_map(|option| option.names())
            .map(|name| name.flag);
        let nearest = nearest(&flag, known).unwrap_or_default();
        return Err(format!(
            "unknown key {}; did you mean {nearest}? Take it out or correct it",
            quoted(&key)
        ));
    };
    let Some(value) = scalar(value).map_err(|text| format!("key {}: {text}", quoted(&key)))? else {
        return Ok(None);
    };
    if option.is_secret() && option.name.flag == flag && !is_private {
        return Err(format!(
            "key {} is a secret, and others can read the file; do chmod 600, or name a file with {flag}-file",
            quoted(&key)
        ));
    }
    Ok(Some(Entry { flag, key, value }))
}

/// A value as it would be written on the command line; lists with commas. None for null.
fn scalar(value: Value) -> Result<Option<Secret>, &'static str> {
    Ok(Some(Secret::new(match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value,
        Value::Sequence(values) => {
            let mut texts = Vec::with_capacity(values.len());
            for value in values {
                match value {
                    Value::Sequence(_) | Value::Null => return Err("a list holds texts and nothing else"),
                    value => texts.extend(scalar(value)?.map(|text| text.expose().to_owned())),
                }
            }
            texts.join(",")
        }
        Value::Mapping(_) | Value::Tagged(_) => return Err("write a plain value, nothing nested"),
    })))
}

/// The known name that is most like the given one.
pub(super) fn nearest<T: AsRef<str>>(name: &str, known: impl Iterator<Item = T>) -> Option<T> {
    known.min_by_key(|known| strsim::damerau_levenshtein(name, known.as_ref()))
}
