//! The AI gateway: whether it runs, whose credentials it takes, and which providers there are.

use gateway_core::{Lifetime, ProviderKind};
use gateway_relay::{ProviderConfig, ProxySettings, RecordingOptions, SideCalls, TokenInBody};
use url::Url;

use super::accounts::retention;
use super::environment::Environment;
use super::error::Read;
use super::names;
use super::option::{Section, ServerOption};
use super::providers::{self, BuiltIn};
use super::reader::Reader;

const ENABLED: ServerOption = ServerOption::switch(
    names::AIBRIDGE_ENABLED,
    "true",
    "Relay requests to AI providers; without it there is only the REST API",
);
const ALLOW_BYOK: ServerOption = ServerOption::switch(
    names::AIBRIDGE_ALLOW_BYOK,
    "true",
    "Let users bring provider credentials of their own",
);
const TOKEN_IN_BODY: ServerOption = ServerOption::text(
    names::AIBRIDGE_TOKEN_IN_BODY,
    "ACTION",
    "What to do with a request whose body holds a gateway token: allow it, refuse it, or revoke the token too",
)
.default("allow");
const SIDE_CALLS: ServerOption = ServerOption::text(
    names::AIBRIDGE_SIDE_CALLS,
    "ACTION",
    "What to do with Claude Code's own settings and telemetry calls: refuse them, or relay those made with a user's own \
     credential",
)
.default("refuse");
const RETENTION: ServerOption = ServerOption::text(
    names::AIBRIDGE_RETENTION,
    "DURATION",
    "How long the records of requests are kept; 0 for ever",
)
.default("60d");
const DISABLE_CONTENT_RECORDING: ServerOption = ServerOption::switch(
    names::AIBRIDGE_DISABLE_CONTENT_RECORDING,
    "false",
    "Record who used which model and tools and how much, but no prompts, arguments of tools or reasoning",
);
const RECORD_BEFORE_SEND: ServerOption = ServerOption::switch(
    names::AIBRIDGE_RECORD_BEFORE_SEND,
    "false",
    "Send a request only when its record is in the database, and not while it is being written",
);
const STRUCTURED_LOGGING: ServerOption = ServerOption::switch(
    names::AIBRIDGE_STRUCTURED_LOGGING,
    "false",
    "Write records as lines of JSON too, prompts included: to the file of --log-json, else to standard output",
);
const ANTHROPIC_KEY: ServerOption = ServerOption::secret(
    names::AIBRIDGE_ANTHROPIC_KEY,
    names::AIBRIDGE_ANTHROPIC_KEY_FILE,
    "KEY",
    "The organisation's key for the provider anthropic. Prefer the variable or the file: others can see flags",
);
const ANTHROPIC_BASE_URL: ServerOption = ServerOption::text(
    names::AIBRIDGE_ANTHROPIC_BASE_URL,
    "URL",
    "Where the provider anthropic is; its paths begin with /v1",
)
.default("https://api.anthropic.com/");
const OPENAI_KEY: ServerOption = ServerOption::secret(
    names::AIBRIDGE_OPENAI_KEY,
    names::AIBRIDGE_OPENAI_KEY_FILE,
    "KEY",
    "The organisation's key for the provider openai. Prefer the variable or the file: others can see flags",
);
const OPENAI_BASE_URL: ServerOption = ServerOption::text(
    names::AIBRIDGE_OPENAI_BASE_URL,
    "URL",
    "Where the provider openai is, with the version",
)
.default("https://api.openai.com/v1/");

pub(super) const SECTION: Section = Section {
    heading: "AI gateway",
    options: &[
        &ENABLED,
        &ALLOW_BYOK,
        &TOKEN_IN_BODY,
        &SIDE_CALLS,
        &RETENTION,
        &DISABLE_CONTENT_RECORDING,
        &RECORD_BEFORE_SEND,
        &STRUCTURED_LOGGING,
        &ANTHROPIC_KEY,
        &ANTHROPIC_BASE_URL,
        &OPENAI_KEY,
        &OPENAI_BASE_URL,
    ],
};

const BUILT_IN: [BuiltIn; 2] = [
    BuiltIn {
        kind: ProviderKind::Anthropic,
        key: &ANTHROPIC_KEY,
        base_url: &ANTHROPIC_BASE_URL,
    },
    BuiltIn {
        kind: ProviderKind::OpenAi,
        key: &OPENAI_KEY,
        base_url: &OPENAI_BASE_URL,
    },
];

/// What the data plane is to do.
#[derive(Clone, Debug)]
pub struct AibridgeConfig {
    pub enabled: bool,
    pub allow_byok: bool,
    pub token_in_body: TokenInBody,
    pub side_calls: SideCalls,
    /// How long records are kept; none: for ever.
    pub retention: Option<Lifetime>,
    pub recording: RecordingOptions,
    pub structured_logging: bool,
    /// No two of one name.
    pub providers: Vec<ProviderConfig>,
    /// Proxies on the way to providers.
    pub proxies: ProxySettings,
}

// === impl AibridgeConfig ===

impl AibridgeConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let enabled = reader.switch(&ENABLED);
        let allow_byok = reader.switch(&ALLOW_BYOK);
        let token_in_body = reader.value(&TOKEN_IN_BODY, |text| match text {
            "allow" => Ok(TokenInBody::Allow),
            "refuse" => Ok(TokenInBody::Refuse),
            "revoke" => Ok(TokenInBody::Revoke),
            _ => Err("write allow, refuse or revoke"),
        });
        let side_calls = reader.value(&SIDE_CALLS, |text| match text {
            "refuse" => Ok(SideCalls::Refuse),
            "relay" => Ok(SideCalls::Relay),
            _ => Err("write refuse or relay"),
        });
        let retention = reader.value(&RETENTION, retention);
        let without_content = reader.switch(&DISABLE_CONTENT_RECORDING);
        let before_send = reader.switch(&RECORD_BEFORE_SEND);
        let structured_logging = reader.switch(&STRUCTURED_LOGGING);
        let providers = providers::read(reader, &BUILT_IN);
        let proxies = read_proxies(reader);
        let (allow_byok, providers) = (allow_byok?, providers?);
        warn_of_unusable(reader, allow_byok, &providers);
        Ok(Self {
            enabled: enabled?,
            allow_byok,
            token_in_body: token_in_body?,
            side_calls: side_calls?,
            retention: retention?,
            recording: RecordingOptions {
                content: !without_content?,
                before_send: before_send?,
            },
            structured_logging: structured_logging?,
            providers,
            proxies: proxies?,
        })
    }
}

/// Of providers that serve nobody.
fn warn_of_unusable(reader: &mut Reader<'_>, allow_byok: bool, providers: &[ProviderConfig]) {
    for provider in providers {
        if !allow_byok && !provider.kind.has_central_key() {
            reader.warn(format!(
                "provider {} serves nobody, since it needs its users' own credentials and --{} is false",
                provider.name,
                names::AIBRIDGE_ALLOW_BYOK.flag
            ));
        }
    }
}

fn read_proxies(reader: &mut Reader<'_>) -> Read<ProxySettings> {
    let https = read_proxy(reader, names::HTTPS_PROXY);
    let http = read_proxy(reader, names::HTTP_PROXY);
    let all = read_proxy(reader, names::ALL_PROXY);
    let no = first_given(reader.environment, names::NO_PROXY).map(|(_, value)| value);
    Ok(ProxySettings {
        https: https?,
        http: http?,
        all: all?,
        no,
    })
}

/// The address of a proxy, which may hold a password and is never shown.
fn read_proxy(reader: &mut Reader<'_>, variables: [&str; 2]) -> Read<Option<String>> {
    let Some((variable, value)) = first_given(reader.environment, variables) else {
        return Ok(None);
    };
    let whole = if value.contains("://") {
        value.clone()
    } else {
        format!("http://{value}")
    };
    match whole.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(value)),
        _ => Err(reader.note(format!(
            "{variable} names no usable proxy; write http://HOST:PORT or https://HOST:PORT, or unset it"
        ))),
    }
}

/// The first of the variables that is not empty. One that is not text counts as text that nothing can be made of.
pub(super) fn first_given<'a>(
    environment: &Environment,
    variables: [&'a str; 2],
) -> Option<(&'a str, String)> {
    variables.into_iter().find_map(|variable| {
        let value = environment.get(variable)?.to_string_lossy().into_owned();
        (!value.is_empty()).then_some((variable, value))
    })
}
