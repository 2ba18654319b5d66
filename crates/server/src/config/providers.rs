//! The providers: the two that are always there, and any number of instances by numbered variables.

use std::collections::BTreeSet;
use std::path::Path;

use gateway_core::token::find_shape;
use gateway_core::{ProviderKind, ProviderName, Secret};
use gateway_relay::ProviderConfig;
use url::Url;

use super::environment::Environment;
use super::error::{Faulty, Read, quoted};
use super::names::{
    PROVIDER, PROVIDER_BASE_URL, PROVIDER_FIELDS, PROVIDER_INJECT_USAGE, PROVIDER_KEY, PROVIDER_KEY_FILE,
    PROVIDER_NAME, PROVIDER_TYPE, VARIABLE_PREFIXES,
};
use super::option::ServerOption;
use super::reader::{Reader, read_secret_file};
use super::urls::{is_loopback, parse_base_url};

/// A provider that is there without being asked for; its name is that of its kind.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) kind: ProviderKind,
    pub(super) key: &'static ServerOption,
    pub(super) base_url: &'static ServerOption,
}

/// An instance by numbered variables.
#[derive(Debug)]
struct Numbered {
    index: u32,
    provider: ProviderConfig,
}

/// A variable of a numbered instance.
#[derive(Debug)]
struct Given {
    variable: String,
    value: Secret,
}

/// All providers. No two have one name.
pub(super) fn read(reader: &mut Reader<'_>, built_in: &[BuiltIn]) -> Read<Vec<ProviderConfig>> {
    let numbered = read_numbered(reader);
    let built_in: Vec<_> = built_in
        .iter()
        .map(|built_in| read_built_in(reader, built_in))
        .collect();
    let numbered = numbered?;
    let mut providers = Vec::with_capacity(numbered.len() + built_in.len());
    let mut faulty = false;
    for built_in in built_in {
        let (provider, is_configured) = built_in?;
        match numbered.iter().find(|other| other.provider.name == provider.name) {
            None => providers.push(provider),
            Some(_) if !is_configured => {}
            Some(other) => {
                faulty = true;
                let prefix = VARIABLE_PREFIXES[0];
                let upper = provider.name.as_str().to_uppercase();
                reader.note(format!(
                    "{prefix}{PROVIDER}{}_{PROVIDER_NAME} is {}, which {prefix}{upper}_KEY or {prefix}{upper}_BASE_URL \
                     configures too; take one of the two out, or choose another name",
                    other.index,
                    quoted(provider.name.as_str())
                ));
            }
        }
    }
    if faulty {
        return Err(Faulty);
    }
    providers.extend(numbered.into_iter().map(|numbered| numbered.provider));
    for provider in &providers {
        if provider.base_url.scheme() == "http" && !is_loopback(&provider.base_url) {
            reader.warn(format!(
                "the base URL of provider {} begins with http://, so that credentials and prompts are sent there \
                 unencrypted",
                provider.name
            ));
        }
    }
    Ok(providers)
}

/// Whether a variable belongs to a numbered instance.
pub(super) fn is_known(variable: &str) -> bool {
    parse_variable(variable).is_some()
}

/// The variables that are given for numbered instances, in their first spelling, with their values. A field of which
/// it is not known to be none has its value left out as a secret.
pub(super) fn plain_variables(environment: &Environment) -> impl Iterator<Item = (String, Option<&str>)> {
    environment.names().filter_map(|name| {
        let (index, field) = parse_variable(name)?;
        let value = environment
            .get(name)?
            .to_str()
            .filter(|value| !value.is_empty())?;
        Some(match field {
            PROVIDER_TYPE | PROVIDER_NAME | PROVIDER_BASE_URL | PROVIDER_INJECT_USAGE => {
                (variable(index, field), Some(value))
            }
            // Wherever it comes from, it is the key that is set.
            PROVIDER_KEY_FILE => (variable(index, PROVIDER_KEY), None),
            _ => (variable(index, field), None),
        })
    })
}

/// The names of the variables of an instance that `variable` could be meant for.
pub(super) fn variables_like(variable: &str) -> impl Iterator<Item = String> {
    let prefix = VARIABLE_PREFIXES
        .into_iter()
        .find(|prefix| variable.starts_with(prefix))
        .unwrap_or(VARIABLE_PREFIXES[0]);
    let index = variable
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix(PROVIDER))
        .and_then(|rest| rest.split('_').next())
        .filter(|index| parse_index(index).is_some())
        .unwrap_or("0")
        .to_owned();
    PROVIDER_FIELDS
        .into_iter()
        .map(move |field| format!("{prefix}{PROVIDER}{index}_{field}"))
}

/// Index and field of a variable of a numbered instance.
fn parse_variable(variable: &str) -> Option<(u32, &'static str)> {
    let rest = VARIABLE_PREFIXES
        .into_iter()
        .find_map(|prefix| variable.strip_prefix(prefix))?
        .strip_prefix(PROVIDER)?;
    let (index, field) = rest.split_once('_')?;
    let field = PROVIDER_FIELDS.into_iter().find(|known| *known == field)?;
    Some((parse_index(index)?, field))
}

/// A number as it is usually written, so that there is one variable for each.
fn parse_index(text: &str) -> Option<u32> {
    let index: u32 = text.parse().ok()?;
    (index.to_string() == text).then_some(index)
}

fn read_built_in(reader: &mut Reader<'_>, built_in: &BuiltIn) -> Read<(ProviderConfig, bool)> {
    let key = reader.secret(built_in.key, check_key);
    let given_base_url = reader.given(built_in.base_url, parse_base_url);
    let (key, given_base_url) = (key?, given_base_url?);
    let is_configured = key.is_some() || given_base_url.is_some();
    let base_url = match given_base_url {
        Some(base_url) => base_url,
        None => reader.value(built_in.base_url, parse_base_url)?,
    };
    let name = built_in.kind.as_str().parse().expect("kinds are good names");
    let provider = ProviderConfig {
        name,
        kind: built_in.kind,
        base_url,
        key,
        inject_usage: injects_usage(built_in.kind),
    };
    Ok((provider, is_configured))
}

fn read_numbered(reader: &mut Reader<'_>) -> Read<Vec<Numbered>> {
    let indices: BTreeSet<u32> = reader
        .environment
        .names()
        .filter(|name| {
            reader
                .environment
                .get(name)
                .is_some_and(|value| !value.is_empty())
        })
        .filter_map(|name| parse_variable(name).map(|(index, _)| index))
        .collect();
    let mut faulty = false;
    let gap = (0..).zip(&indices).find(|(expected, index)| expected != *index);
    if let Some((missing, next)) = gap {
        faulty = true;
        reader.note(format!(
            "{} is missing, though there is a provider {next}; number providers from 0 without gaps",
            variable(missing, PROVIDER_TYPE)
        ));
    }
    let mut found: Vec<Numbered> = Vec::with_capacity(indices.len());
    for index in indices {
        let Ok(provider) = read_instance(reader, index) else {
            faulty = true;
            continue;
        };
        if let Some(other) = found.iter().find(|other| other.provider.name == provider.name) {
            faulty = true;
            reader.note(format!(
                "{} and {} are both {}; give each provider a name of its own",
                variable(other.index, PROVIDER_NAME),
                variable(index, PROVIDER_NAME),
                quoted(provider.name.as_str())
            ));
        }
        found.push(Numbered { index, provider });
    }
    if faulty { Err(Faulty) } else { Ok(found) }
}

fn read_instance(reader: &mut Reader<'_>, index: u32) -> Read<ProviderConfig> {
    let kind = match field(reader, index, PROVIDER_TYPE) {
        Ok(Some(given)) => parsed(reader, &given, str::parse::<ProviderKind>),
        Ok(None) => Err(reader.note(format!(
            "{} is missing; write anthropic, openai, openai-compat or copilot",
            variable(index, PROVIDER_TYPE)
        ))),
        Err(faulty) => Err(faulty),
    };
    let name = match field(reader, index, PROVIDER_NAME) {
        Ok(Some(given)) => parsed(reader, &given, str::parse::<ProviderName>),
        Ok(None) => kind.map(|kind| kind.as_str().parse().expect("kinds are good names")),
        Err(faulty) => Err(faulty),
    };
    let key = read_key(reader, index).and_then(|key| match (key, kind) {
        (Some(key), Ok(kind)) if !kind.has_central_key() => Err(reader.note(format!(
            "{} is given, but a provider of type {kind} has no key of the organisation's: its users bring their own \
             credentials; take it out",
            key.variable
        ))),
        (key, _) => Ok(key.map(|key| key.value)),
    });
    let base_url = match field(reader, index, PROVIDER_BASE_URL) {
        Ok(Some(given)) => parsed(reader, &given, parse_base_url),
        Ok(None) => kind.and_then(|kind| default_base_url(reader, index, kind)),
        Err(faulty) => Err(faulty),
    };
    let inject_usage = match field(reader, index, PROVIDER_INJECT_USAGE) {
        Ok(Some(given)) => parsed(reader, &given, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("write true or false"),
        }),
        Ok(None) => kind.map(injects_usage),
        Err(faulty) => Err(faulty),
    };
    Ok(ProviderConfig {
        name: name?,
        kind: kind?,
        base_url: base_url?,
        key: key?,
        inject_usage: inject_usage?,
    })
}

/// Compatible providers are known to refuse what they do not know, and Copilot promises nothing.
fn injects_usage(kind: ProviderKind) -> bool {
    kind == ProviderKind::OpenAi
}

fn default_base_url(reader: &mut Reader<'_>, index: u32, kind: ProviderKind) -> Read<Url> {
    match kind.default_base_url() {
        Some(url) => Ok(url.parse().expect("the defaults are URLs")),
        None => Err(reader.note(format!(
            "{} is missing; a provider of type {kind} needs one",
            variable(index, PROVIDER_BASE_URL)
        ))),
    }
}

/// The key, and the variable that it comes from.
fn read_key(reader: &mut Reader<'_>, index: u32) -> Read<Option<Given>> {
    let own = field(reader, index, PROVIDER_KEY);
    let file = field(reader, index, PROVIDER_KEY_FILE);
    let (variable, key) = match (own?, file?) {
        (None, None) => return Ok(None),
        (Some(own), Some(file)) => {
            let text = format!(
                "{} and {} are both given; take one out",
                own.variable, file.variable
            );
            return Err(reader.note(text));
        }
        (Some(own), None) => (own.variable, own.value),
        (None, Some(file)) => match read_secret_file(Path::new(file.value.expose())) {
            Ok(key) => (file.variable, key),
            Err(error) => {
                let path = quoted(file.value.expose());
                return Err(reader.note(format!(
                    "{} is {path}, which cannot be read: {error}",
                    file.variable
                )));
            }
        },
    };
    match check_key(key) {
        Ok(value) => Ok(Some(Given { variable, value })),
        Err(text) => Err(reader.note(format!("{variable} cannot be used: {text}"))),
    }
}

/// A provider's key becomes the value of a header. A gateway token is never sent to a provider.
fn check_key(key: Secret) -> Result<Secret, &'static str> {
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key has no blanks, line ends or letters outside of ASCII; was it copied whole?");
    }
    if find_shape(key.expose().as_bytes()).is_some() {
        return Err("this is a token of the gateway, not a key of the provider");
    }
    Ok(key)
}

/// The value of a field, in either spelling of the variable.
fn field(reader: &mut Reader<'_>, index: u32, field: &str) -> Read<Option<Given>> {
    let mut found: Option<Given> = None;
    for prefix in VARIABLE_PREFIXES {
        let variable = format!("{prefix}{PROVIDER}{index}_{field}");
        let Some(value) = reader
            .environment
            .get(&variable)
            .filter(|value| !value.is_empty())
        else {
            continue;
        };
        let Some(value) = value.to_str().map(Secret::new) else {
            return Err(reader.note(format!("{variable} is not UTF-8 text")));
        };
        match &found {
            Some(first) if first.value.expose() != value.expose() => {
                let text = format!(
                    "{} and {variable} have two different values; take one out",
                    first.variable
                );
                return Err(reader.note(text));
            }
            Some(_) => {}
            None => found = Some(Given { variable, value }),
        }
    }
    Ok(found)
}

fn parsed<T, E: ToString>(
    reader: &mut Reader<'_>,
    given: &Given,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Read<T> {
    parse(given.value.expose()).map_err(|error| {
        let value = quoted(given.value.expose());
        reader.note(format!("{} is {value}: {}", given.variable, error.to_string()))
    })
}

fn variable(index: u32, field: &str) -> String {
    format!("{}{PROVIDER}{index}_{field}", VARIABLE_PREFIXES[0])
}
