//! What the options are called: the flag without its dashes, and the variable. Every name is here once.

/// The flag and the variable of one option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Without the dashes in front. Also the key in the configuration file.
    pub(super) flag: &'static str,
    pub(super) variable: &'static str,
}

const fn name(flag: &'static str, variable: &'static str) -> Name {
    Name { flag, variable }
}

// === Configuration file ===

pub(super) const CONFIG: Name = name("config", "CODER_CONFIG_PATH");

// === Network ===

pub(super) const HTTP_ADDRESS: Name = name("http-address", "CODER_HTTP_ADDRESS");
pub(super) const ACCESS_URL: Name = name("access-url", "CODER_ACCESS_URL");
pub(super) const TLS_ENABLE: Name = name("tls-enable", "CODER_TLS_ENABLE");
pub(super) const TLS_ADDRESS: Name = name("tls-address", "CODER_TLS_ADDRESS");
pub(super) const TLS_CERT_FILE: Name = name("tls-cert-file", "CODER_TLS_CERT_FILE");
pub(super) const TLS_KEY_FILE: Name = name("tls-key-file", "CODER_TLS_KEY_FILE");
pub(super) const TLS_MIN_VERSION: Name = name("tls-min-version", "CODER_TLS_MIN_VERSION");
pub(super) const PROXY_TRUSTED_HEADERS: Name = name("proxy-trusted-headers", "CODER_PROXY_TRUSTED_HEADERS");
pub(super) const PROXY_TRUSTED_ORIGINS: Name = name("proxy-trusted-origins", "CODER_PROXY_TRUSTED_ORIGINS");
pub(super) const SHUTDOWN_TIMEOUT: Name = name("shutdown-timeout", "CODER_SHUTDOWN_TIMEOUT");

// === Database ===

pub(super) const POSTGRES_URL: Name = name("postgres-url", "CODER_PG_CONNECTION_URL");
pub(super) const POSTGRES_URL_FILE: Name = name("postgres-url-file", "CODER_PG_CONNECTION_URL_FILE");
pub(super) const DATABASE_URL: Name = name("database-url", "CODER_DATABASE_URL");
pub(super) const DATABASE_URL_FILE: Name = name("database-url-file", "CODER_DATABASE_URL_FILE");
pub(super) const POSTGRES_CONN_MAX_OPEN: Name = name("postgres-conn-max-open", "CODER_PG_CONN_MAX_OPEN");

pub(super) const SQLITE_SYNCHRONOUS: Name = name("sqlite-synchronous", "CODER_SQLITE_SYNCHRONOUS");

// === Accounts ===

pub(super) const SESSION_DURATION: Name = name("session-duration", "CODER_SESSION_DURATION");
pub(super) const DISABLE_SESSION_EXPIRY_REFRESH: Name = name(
    "disable-session-expiry-refresh",
    "CODER_DISABLE_SESSION_EXPIRY_REFRESH",
);
pub(super) const DEFAULT_TOKEN_LIFETIME: Name =
    name("default-token-lifetime", "CODER_DEFAULT_TOKEN_LIFETIME");
pub(super) const MAX_TOKEN_LIFETIME: Name = name("max-token-lifetime", "CODER_MAX_TOKEN_LIFETIME");
pub(super) const MAX_ADMIN_TOKEN_LIFETIME: Name =
    name("max-admin-token-lifetime", "CODER_MAX_ADMIN_TOKEN_LIFETIME");
pub(super) const API_KEYS_RETENTION: Name = name("api-keys-retention", "CODER_API_KEYS_RETENTION");
pub(super) const FIRST_USER_CODE: Name = name("first-user-code", "CODER_FIRST_USER_CODE");
pub(super) const FIRST_USER_CODE_FILE: Name = name("first-user-code-file", "CODER_FIRST_USER_CODE_FILE");

// === Audit log ===

pub(super) const AUDIT_RETENTION: Name = name("audit-retention", "CODER_AUDIT_RETENTION");

// === AI gateway ===

pub(super) const AIBRIDGE_ENABLED: Name = name("aibridge-enabled", "CODER_AIBRIDGE_ENABLED");
pub(super) const AIBRIDGE_ALLOW_BYOK: Name = name("aibridge-allow-byok", "CODER_AIBRIDGE_ALLOW_BYOK");
pub(super) const AIBRIDGE_TOKEN_IN_BODY: Name =
    name("aibridge-token-in-body", "CODER_AIBRIDGE_TOKEN_IN_BODY");
pub(super) const AIBRIDGE_SIDE_CALLS: Name = name("aibridge-side-calls", "CODER_AIBRIDGE_SIDE_CALLS");
pub(super) const AIBRIDGE_RETENTION: Name = name("aibridge-retention", "CODER_AIBRIDGE_RETENTION");
pub(super) const AIBRIDGE_DISABLE_CONTENT_RECORDING: Name = name(
    "aibridge-disable-content-recording",
    "CODER_AIBRIDGE_DISABLE_CONTENT_RECORDING",
);
pub(super) const AIBRIDGE_RECORD_BEFORE_SEND: Name =
    name("aibridge-record-before-send", "CODER_AIBRIDGE_RECORD_BEFORE_SEND");
pub(super) const AIBRIDGE_STRUCTURED_LOGGING: Name =
    name("aibridge-structured-logging", "CODER_AIBRIDGE_STRUCTURED_LOGGING");
pub(super) const AIBRIDGE_ANTHROPIC_KEY: Name =
    name("aibridge-anthropic-key", "CODER_AIBRIDGE_ANTHROPIC_KEY");
pub(super) const AIBRIDGE_ANTHROPIC_KEY_FILE: Name =
    name("aibridge-anthropic-key-file", "CODER_AIBRIDGE_ANTHROPIC_KEY_FILE");
pub(super) const AIBRIDGE_ANTHROPIC_BASE_URL: Name =
    name("aibridge-anthropic-base-url", "CODER_AIBRIDGE_ANTHROPIC_BASE_URL");
pub(super) const AIBRIDGE_OPENAI_KEY: Name = name("aibridge-openai-key", "CODER_AIBRIDGE_OPENAI_KEY");
pub(super) const AIBRIDGE_OPENAI_KEY_FILE: Name =
    name("aibridge-openai-key-file", "CODER_AIBRIDGE_OPENAI_KEY_FILE");
pub(super) const AIBRIDGE_OPENAI_BASE_URL: Name =
    name("aibridge-openai-base-url", "CODER_AIBRIDGE_OPENAI_BASE_URL");

// === AI Gateway Proxy ===

pub(super) const PROXY_ENABLED: Name = name("aibridge-proxy-enabled", "CODER_AIBRIDGE_PROXY_ENABLED");
pub(super) const PROXY_LISTEN_ADDR: Name =
    name("aibridge-proxy-listen-addr", "CODER_AIBRIDGE_PROXY_LISTEN_ADDR");
pub(super) const PROXY_ACCESS_URL: Name =
    name("aibridge-proxy-access-url", "CODER_AIBRIDGE_PROXY_ACCESS_URL");
pub(super) const PROXY_TLS_CERT_FILE: Name = name(
    "aibridge-proxy-tls-cert-file",
    "CODER_AIBRIDGE_PROXY_TLS_CERT_FILE",
);
pub(super) const PROXY_TLS_KEY_FILE: Name =
    name("aibridge-proxy-tls-key-file", "CODER_AIBRIDGE_PROXY_TLS_KEY_FILE");
pub(super) const PROXY_CERT_FILE: Name = name("aibridge-proxy-cert-file", "CODER_AIBRIDGE_PROXY_CERT_FILE");
pub(super) const PROXY_KEY_FILE: Name = name("aibridge-proxy-key-file", "CODER_AIBRIDGE_PROXY_KEY_FILE");
pub(super) const PROXY_UPSTREAM: Name = name("aibridge-proxy-upstream", "CODER_AIBRIDGE_PROXY_UPSTREAM");
pub(super) const PROXY_UPSTREAM_FILE: Name = name(
    "aibridge-proxy-upstream-file",
    "CODER_AIBRIDGE_PROXY_UPSTREAM_FILE",
);
pub(super) const PROXY_UPSTREAM_CA: Name =
    name("aibridge-proxy-upstream-ca", "CODER_AIBRIDGE_PROXY_UPSTREAM_CA");
pub(super) const PROXY_ALLOWED_PRIVATE_CIDRS: Name = name(
    "aibridge-proxy-allowed-private-cidrs",
    "CODER_AIBRIDGE_PROXY_ALLOWED_PRIVATE_CIDRS",
);
pub(super) const PROXY_ALLOWED_PORTS: Name = name(
    "aibridge-proxy-allowed-ports",
    "CODER_AIBRIDGE_PROXY_ALLOWED_PORTS",
);
pub(super) const PROXY_ALLOW_ANONYMOUS_TUNNELS: Name = name(
    "aibridge-proxy-allow-anonymous-tunnels",
    "CODER_AIBRIDGE_PROXY_ALLOW_ANONYMOUS_TUNNELS",
);
pub(super) const PROXY_IDLE_TIMEOUT: Name =
    name("aibridge-proxy-idle-timeout", "CODER_AIBRIDGE_PROXY_IDLE_TIMEOUT");

// === Logging ===

pub(super) const LOG_HUMAN: Name = name("log-human", "CODER_LOGGING_HUMAN");
pub(super) const LOG_JSON: Name = name("log-json", "CODER_LOGGING_JSON");
pub(super) const LOG_FILTER: Name = name("log-filter", "CODER_LOG_FILTER");

// === Prefixes ===

/// The two spellings of one prefix. The first is the one in the names above.
pub(super) const FLAG_PREFIXES: [&str; 2] = ["aibridge-", "ai-gateway-"];
pub(super) const VARIABLE_PREFIXES: [&str; 2] = ["CODER_AIBRIDGE_", "CODER_AI_GATEWAY_"];

/// What follows either prefix in the variables of numbered providers: `PROVIDER_<N>_<field>`.
pub(super) const PROVIDER: &str = "PROVIDER_";
pub(super) const PROVIDER_TYPE: &str = "TYPE";
pub(super) const PROVIDER_NAME: &str = "NAME";
pub(super) const PROVIDER_KEY: &str = "KEY";
pub(super) const PROVIDER_KEY_FILE: &str = "KEY_FILE";
pub(super) const PROVIDER_BASE_URL: &str = "BASE_URL";
pub(super) const PROVIDER_INJECT_USAGE: &str = "INJECT_USAGE";
pub(super) const PROVIDER_FIELDS: [&str; 6] = [
    PROVIDER_TYPE,
    PROVIDER_NAME,
    PROVIDER_KEY,
    PROVIDER_KEY_FILE,
    PROVIDER_BASE_URL,
    PROVIDER_INJECT_USAGE,
];

/// The variables that name the proxies towards providers, in the order in which they are looked at.
pub(super) const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
pub(super) const HTTP_PROXY: [&str; 2] = ["http_proxy", "HTTP_PROXY"];
pub(super) const ALL_PROXY: [&str; 2] = ["all_proxy", "ALL_PROXY"];
pub(super) const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

// === impl Name ===

impl Name {
    /// Both spellings of the flag, where there are two.
    pub(super) fn flags(self) -> impl Iterator<Item = String> {
        spellings(self.flag, FLAG_PREFIXES)
    }

    /// Both spellings of the variable, where there are two.
    pub(super) fn variables(self) -> impl Iterator<Item = String> {
        spellings(self.variable, VARIABLE_PREFIXES)
    }
}

fn spellings(name: &str, prefixes: [&str; 2]) -> impl Iterator<Item = String> {
    let other = name
        .strip_prefix(prefixes[0])
        .map(|rest| format!("{}{rest}", prefixes[1]));
    std::iter::once(name.to_owned()).chain(other)
}
