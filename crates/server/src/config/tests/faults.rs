//! Everything that is wrong is told at once, and each fault says which option it is about.

use super::*;

/// Each is wrong in a way of its own.
const BAD_VARIABLES: [(&str, &str); 22] = [
    ("CODER_HTTP_ADDRESS", "nonsense"),
    ("CODER_ACCESS_URL", "ftp://ai.example.com"),
    ("CODER_TLS_MIN_VERSION", "tls11"),
    ("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/33"),
    ("CODER_PG_CONNECTION_URL", "mysql://u:sentinel-5d1f0c@h/d"),
    ("CODER_PG_CONN_MAX_OPEN", "0"),
    ("CODER_SESSION_DURATION", "1 day"),
    ("CODER_MAX_TOKEN_LIFETIME", "30"),
    ("CODER_DISABLE_SESSION_EXPIRY_REFRESH", "maybe"),
    ("CODER_FIRST_USER_CODE", "short"),
    ("CODER_AIBRIDGE_ALOW_BYOK", "false"),
    ("CODER_AI_GATEWAY_ENABLED", "yes"),
    ("CODER_AIBRIDGE_TOKEN_IN_BODY", "ignore"),
    ("CODER_AIBRIDGE_SIDE_CALLS", "allow"),
    ("CODER_AIBRIDGE_ANTHROPIC_KEY", "sk sentinel-5d1f0c"),
    ("CODER_AIBRIDGE_OPENAI_BASE_URL", "ftp://example.com"),
    ("CODER_AIBRIDGE_PROVIDER_1_TYPE", "bedrock"),
    ("HTTPS_PROXY", "socks5://u:sentinel-5d1f0c@proxy:1080"),
    ("CODER_AIBRIDGE_PROXY_LISTEN_ADDR", ":http"),
    (
        "CODER_AIBRIDGE_PROXY_UPSTREAM",
        "socks5://u:sentinel-5d1f0c@proxy:1080",
    ),
    ("CODER_AIBRIDGE_PROXY_ALLOWED_PORTS", "443,0"),
    ("CODER_AI_GATEWAY_PROXY_IDLE_TIMEOUT", "600"),
];

/// What each of the faults says, those of a file and of flags included.
const EXPECTED: &[&[&str]] = &[
    &[
        "--http-address (CODER_HTTP_ADDRESS)",
        "\"nonsense\"",
        "127.0.0.1:3000",
    ],
    &[
        "--access-url (CODER_ACCESS_URL)",
        "ftp://ai.example.com",
        "http:// or https://",
    ],
    &[
        "--tls-min-version (CODER_TLS_MIN_VERSION)",
        "\"tls11\"",
        "tls12 or tls13",
    ],
    &["--tls-cert-file (CODER_TLS_CERT_FILE)", "missing"],
    &["--tls-key-file (CODER_TLS_KEY_FILE)", "missing"],
    &[
        "--proxy-trusted-origins (CODER_PROXY_TRUSTED_ORIGINS)",
        "10.0.0.0/33",
    ],
    &["--shutdown-timeout (CODER_SHUTDOWN_TIMEOUT)", "\"10\"", "unit"],
    &["--postgres-url (CODER_PG_CONNECTION_URL)", "postgres://"],
    &[
        "--postgres-conn-max-open (CODER_PG_CONN_MAX_OPEN)",
        "\"0\"",
        "1 to 1000",
    ],
    &["--session-duration (CODER_SESSION_DURATION)", "\"1 day\""],
    &[
        "--max-token-lifetime (CODER_MAX_TOKEN_LIFETIME)",
        "\"30\"",
        "unit",
    ],
    &[
        "--disable-session-expiry-refresh (CODER_DISABLE_SESSION_EXPIRY_REFRESH)",
        "\"maybe\"",
        "true or false",
    ],
    &[
        "--api-keys-retention (CODER_API_KEYS_RETENTION)",
        "\"1w\"",
        "config.yaml",
    ],
    &["--first-user-code (CODER_FIRST_USER_CODE)", "8 to 128"],
    &["CODER_AIBRIDGE_ALOW_BYOK", "CODER_AIBRIDGE_ALLOW_BYOK"],
    &[
        "--aibridge-enabled (CODER_AIBRIDGE_ENABLED)",
        "CODER_AI_GATEWAY_ENABLED",
        "\"yes\"",
        "true or false",
    ],
    &[
        "--aibridge-token-in-body (CODER_AIBRIDGE_TOKEN_IN_BODY)",
        "\"ignore\"",
        "allow, refuse or revoke",
    ],
    &[
        "--aibridge-side-calls (CODER_AIBRIDGE_SIDE_CALLS)",
        "\"allow\"",
        "refuse or relay",
    ],
    &[
        "--aibridge-anthropic-key (CODER_AIBRIDGE_ANTHROPIC_KEY)",
        "blanks",
    ],
    &[
        "--aibridge-openai-key (CODER_AIBRIDGE_OPENAI_KEY)",
        "CODER_AIBRIDGE_OPENAI_KEY_FILE",
        "empty",
    ],
    &[
        "--aibridge-openai-base-url (CODER_AIBRIDGE_OPENAI_BASE_URL)",
        "ftp://example.com",
    ],
    &["CODER_AIBRIDGE_PROVIDER_0_TYPE", "missing", "without gaps"],
    &["CODER_AIBRIDGE_PROVIDER_1_TYPE", "\"bedrock\""],
    &["HTTPS_PROXY", "http://HOST:PORT"],
    &[
        "--aibridge-proxy-listen-addr (CODER_AIBRIDGE_PROXY_LISTEN_ADDR)",
        "\":http\"",
        ":8888",
    ],
    &[
        "--aibridge-proxy-upstream (CODER_AIBRIDGE_PROXY_UPSTREAM)",
        "http(s)://",
    ],
    &[
        "--aibridge-proxy-allowed-ports (CODER_AIBRIDGE_PROXY_ALLOWED_PORTS)",
        "\"443,0\"",
    ],
    &[
        "--aibridge-proxy-idle-timeout (CODER_AIBRIDGE_PROXY_IDLE_TIMEOUT)",
        "unit",
    ],
    &["--log-filter (CODER_LOG_FILTER)", "\"relay=loud\""],
    &["config.yaml", "\"no-such-key\""],
    &["config.yaml", "\"log-json\""],
];

#[test]
fn every_kind_of_fault_is_reported_in_one_start() {
    let setting = Setting::new();
    let empty = setting.private_file("empty", "\n");
    let setting = setting
        .args(&["--tls-enable", "--shutdown-timeout=10", "--log-filter=relay=loud"])
        .variables(&BAD_VARIABLES)
        .variable("CODER_AIBRIDGE_OPENAI_KEY_FILE", empty.to_str().unwrap())
        .variable("CODER_AIBRIDGE_PROXY_ENABLED", "true")
        .yaml("no-such-key: 1\nlog-json: [[1]]\napi-keys-retention: 1w\n");
    let faults = setting.faults();
    for parts in EXPECTED {
        let count = faults
            .iter()
            .filter(|fault| parts.iter().all(|part| fault.contains(part)))
            .count();
        assert_eq!(count, 1, "{parts:?} in {faults:#?}");
    }
    assert_eq!(faults.len(), EXPECTED.len(), "{faults:#?}");
}

#[test]
fn the_error_lists_its_faults_one_a_line() {
    let setting = Setting::new()
        .variable("CODER_HTTP_ADDRESS", "a\nb")
        .variable("CODER_LOG_FILTER", "=");
    let text = setting.load().unwrap_err().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].starts_with("  --http-address") && lines[2].starts_with("  --log-filter"),
        "{text}"
    );
}

#[test]
fn unknown_variables_are_refused_with_the_nearest_known_name() {
    for (variable, nearest) in [
        ("CODER_AIBRIDGE_ALOW_BYOK", "CODER_AIBRIDGE_ALLOW_BYOK"),
        ("CODER_AI_GATEWAY_ANTROPIC_KEY", "CODER_AI_GATEWAY_ANTHROPIC_KEY"),
        ("CODER_AIBRIDGE_OPENAI_KEYFILE", "CODER_AIBRIDGE_OPENAI_KEY_FILE"),
        ("CODER_AIBRIDGE_PROVIDER_3_KEYS", "CODER_AIBRIDGE_PROVIDER_3_KEY"),
        (
            "CODER_AI_GATEWAY_PROVIDER_3_URL",
            "CODER_AI_GATEWAY_PROVIDER_3_KEY",
        ),
        (
            "CODER_AIBRIDGE_PROVIDER_00_TYPE",
            "CODER_AIBRIDGE_PROVIDER_0_TYPE",
        ),
        (
            "CODER_AIBRIDGE_PROVIDER_-1_TYPE",
            "CODER_AIBRIDGE_PROVIDER_0_TYPE",
        ),
        ("CODER_AIBRIDGE_", "CODER_AIBRIDGE_ENABLED"),
    ] {
        let fault = Setting::new().variable(variable, SENTINEL).fault();
        assert_contains(&fault, &[variable, &format!("did you mean {nearest}?")]);
        // Empty or not, somebody has meant something by it.
        assert_contains(&Setting::new().variable(variable, "").fault(), &[variable]);
    }
}

#[test]
fn other_variables_are_left_alone() {
    Setting::new()
        .variables(&[
            ("CODER_URL", "x"),
            ("CODER_AIBRIDGE", "x"),
            ("CODER_AI_GATEWAY", "x"),
            ("CODER_SOMETHING", "x"),
            ("AIBRIDGE_ALLOW", "x"),
            ("HOME", "/"),
        ])
        .config();
}

#[cfg(unix)]
#[test]
fn what_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let bad = OsString::from_vec(vec![b'a', 0xff]);
    for (variable, label) in [
        ("CODER_HTTP_ADDRESS", "--http-address (CODER_HTTP_ADDRESS)"),
        (
            "CODER_AIBRIDGE_OPENAI_KEY",
            "--aibridge-openai-key (CODER_AIBRIDGE_OPENAI_KEY)",
        ),
    ] {
        let environment = [(OsString::from(variable), bad.clone())].into_iter().collect();
        let error = ServerConfig::load(ServerArgs::default(), &environment, Path::new("/")).unwrap_err();
        assert_contains(&error.faults()[0], &[label, "UTF-8"]);
    }
    let environment = [
        (OsString::from("CODER_AIBRIDGE_PROVIDER_0_TYPE"), "openai".into()),
        (OsString::from("CODER_AIBRIDGE_PROVIDER_0_NAME"), bad),
    ];
    let environment = environment.into_iter().collect();
    let error = ServerConfig::load(ServerArgs::default(), &environment, Path::new("/")).unwrap_err();
    assert_contains(&error.faults()[0], &["CODER_AIBRIDGE_PROVIDER_0_NAME", "UTF-8"]);
}

#[test]
fn a_gateway_token_in_a_value_is_not_shown() {
    let token = gateway_core::ApiToken::generate(&mut rand::rng());
    for variable in [
        "CODER_HTTP_ADDRESS",
        "CODER_SESSION_DURATION",
        "CODER_LOG_FILTER",
        "CODER_AIBRIDGE_PROVIDER_0_TYPE",
        "CODER_CONFIG_PATH",
        "CODER_AIBRIDGE_OPENAI_KEY_FILE",
    ] {
        let fault = Setting::new().variable(variable, token.expose()).fault();
        assert_contains(&fault, &[variable, &token.id().to_string()]);
        assert!(!fault.contains(token.expose()), "{fault}");
    }
}

#[test]
fn an_address_that_may_hold_a_password_is_not_shown() {
    for url in [
        "https://u:sentinel-5d1f0c@example.com",
        "https://sentinel-5d1f0c@example.com",
        "https://example.com/?key=sentinel-5d1f0c",
        "u:sentinel-5d1f0c@example.com",
    ] {
        for variable in ["CODER_ACCESS_URL", "CODER_AIBRIDGE_OPENAI_BASE_URL"] {
            assert_contains(&Setting::new().variable(variable, url).fault(), &[variable]);
        }
    }
}
