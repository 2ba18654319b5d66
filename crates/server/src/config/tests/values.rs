//! What the sections make of their values.

use std::fs;

use gateway_store::Target;

use super::*;

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let setting = Setting::new();
    let config = setting.config();
    assert_eq!(config.listen.http.unwrap().to_string(), "127.0.0.1:3000");
    assert!(config.listen.tls.is_none());
    assert_eq!(config.listen.trusted_proxies, TrustedProxies::default());
    assert_eq!(config.listen.shutdown_timeout.as_secs(), 10);
    let Target::Sqlite { path } = &config.database.target else {
        panic!("{:?}", config.database)
    };
    assert_eq!(*path, setting.folder.path().join("coder.db"));
    assert_eq!(config.database.max_connections, 10);
    let accounts = &config.accounts;
    let hours = |lifetime: gateway_core::Lifetime| lifetime.as_duration().as_secs() / 3600;
    assert_eq!(hours(accounts.session_duration), 24);
    assert_eq!(hours(accounts.default_token_lifetime), 30 * 24);
    assert_eq!(hours(accounts.max_token_lifetime), 365 * 24);
    assert_eq!(hours(accounts.max_admin_token_lifetime), 365 * 24);
    assert_eq!(hours(accounts.expired_token_retention.unwrap()), 7 * 24);
    assert!(accounts.refresh_sessions && accounts.first_user_code.is_none());
    assert!(config.aibridge.enabled && config.aibridge.allow_byok);
    assert_eq!(config.aibridge.token_in_body, gateway_relay::TokenInBody::Allow);
    assert_eq!(config.aibridge.side_calls, gateway_relay::SideCalls::Refuse);
    assert_eq!(config.log.human, Some(LogTarget::Stderr));
    assert_eq!(config.log.json, None);
    assert!(config.warnings.is_empty());
}

#[test]
fn the_access_url_is_that_of_a_listener_unless_it_is_given() {
    let listener = |text: &str| Some(text.parse().unwrap());
    let derived = Setting::new().config().listen;
    for (http, tls, expected) in [
        (listener("127.0.0.1:4711"), None, "http://127.0.0.1:4711/"),
        (listener("0.0.0.0:80"), None, "http://127.0.0.1/"),
        (listener("[::]:3000"), None, "http://[::1]:3000/"),
        (
            listener("127.0.0.1:1"),
            listener("127.0.0.1:2"),
            "https://127.0.0.1:2/",
        ),
    ] {
        assert_eq!(derived.access_url(http, tls).as_str(), expected);
    }
    let given = Setting::new()
        .variable("CODER_ACCESS_URL", "https://ai.example.com")
        .config()
        .listen;
    assert_eq!(
        given.access_url(listener("127.0.0.1:1"), None).as_str(),
        "https://ai.example.com/"
    );
}

#[test]
fn the_database_is_named_once() {
    let postgres = "postgres://u:sentinel-5d1f0c@h/d";
    let is_postgres = |setting: Setting| matches!(setting.config().database.target, Target::Postgres { .. });
    assert!(is_postgres(
        Setting::new().variable("CODER_PG_CONNECTION_URL", postgres)
    ));
    assert!(is_postgres(
        Setting::new().variable("CODER_DATABASE_URL", postgres)
    ));
    assert!(is_postgres(
        Setting::new()
            .variable("CODER_DATABASE_URL", postgres)
            .args(&["--postgres-url", postgres])
    ));
    let Target::Sqlite { path } = Setting::new()
        .args(&["--database-url=sqlite:/x/y.db"])
        .config()
        .database
        .target
    else {
        panic!("not SQLite")
    };
    assert_eq!(path, Path::new("/x/y.db"));
    let both = Setting::new()
        .variable("CODER_DATABASE_URL", "sqlite:/x/y.db")
        .variable("CODER_PG_CONNECTION_URL", postgres);
    assert_contains(
        &both.fault(),
        &["CODER_DATABASE_URL", "CODER_PG_CONNECTION_URL", "different"],
    );
    let sqlite = Setting::new().variable("CODER_PG_CONNECTION_URL", "sqlite:x.db");
    assert_contains(&sqlite.fault(), &["CODER_PG_CONNECTION_URL", "--database-url"]);
}

#[test]
fn a_default_lifetime_that_nobody_may_have_is_a_fault() {
    let setting = |default: &str, max: &str, admin: &str| {
        Setting::new().variables(&[
            ("CODER_DEFAULT_TOKEN_LIFETIME", default),
            ("CODER_MAX_TOKEN_LIFETIME", max),
            ("CODER_MAX_ADMIN_TOKEN_LIFETIME", admin),
        ])
    };
    assert_contains(
        &setting("3d", "1d", "2d").fault(),
        &[
            "--default-token-lifetime (CODER_DEFAULT_TOKEN_LIFETIME)",
            "3d",
            "1d",
            "2d",
        ],
    );
    setting("2d", "1d", "2d").config();
    // The default's own default gives way.
    setting("", "1d", "1d").config();
    let forever = Setting::new().variable("CODER_API_KEYS_RETENTION", "0").config();
    assert!(forever.accounts.expired_token_retention.is_none());
}

#[test]
fn trusted_headers_need_somebody_to_trust() {
    let config = Setting::new()
        .variable("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8, ::1")
        .config();
    assert_eq!(config.listen.trusted_proxies.headers, ["x-forwarded-for"]);
    let named = Setting::new()
        .variable("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8")
        .variable("CODER_PROXY_TRUSTED_HEADERS", "X-Real-Ip,Cf-Connecting-Ip");
    assert_eq!(
        named.config().listen.trusted_proxies.headers,
        ["x-real-ip", "cf-connecting-ip"]
    );
    let alone = Setting::new().variable("CODER_PROXY_TRUSTED_HEADERS", "X-Real-Ip");
    assert_contains(
        &alone.fault(),
        &["CODER_PROXY_TRUSTED_HEADERS", "--proxy-trusted-origins"],
    );
    let bad = Setting::new().variable("CODER_PROXY_TRUSTED_HEADERS", "X Real");
    assert_contains(&bad.fault(), &["CODER_PROXY_TRUSTED_HEADERS", "X Real"]);
}

#[test]
fn proxies_towards_providers_come_from_the_usual_variables() {
    let config = Setting::new()
        .variables(&[
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://lower:1"),
            ("HTTP_PROXY", "plain:3128"),
            ("all_proxy", ""),
            ("ALL_PROXY", "https://all:1"),
            ("NO_PROXY", "localhost,.example.com"),
        ])
        .config();
    let proxies = config.aibridge.proxies;
    assert_eq!(proxies.https.as_deref(), Some("http://lower:1"));
    assert_eq!(proxies.http.as_deref(), Some("plain:3128"));
    assert_eq!(proxies.all.as_deref(), Some("https://all:1"));
    assert_eq!(proxies.no.as_deref(), Some("localhost,.example.com"));
}

/// Certificate and key files of a name, in PEM form.
pub(super) fn certificate(setting: &Setting, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = setting.private_file(&format!("{name}.pem"), &made.cert.pem());
    let key = setting.private_file(&format!("{name}.key"), &made.signing_key.serialize_pem());
    (
        certificate.to_str().unwrap().to_owned(),
        key.to_str().unwrap().to_owned(),
    )
}

fn with_tls(setting: Setting, certificate: &str, key: &str) -> Setting {
    setting.variables(&[
        ("CODER_TLS_ENABLE", "true"),
        ("CODER_TLS_CERT_FILE", certificate),
        ("CODER_TLS_KEY_FILE", key),
    ])
}

#[test]
fn tls_is_served_with_certificate_and_key() {
    let setting = Setting::new();
    let (certificate, key) = certificate(&setting, "one");
    let setting = with_tls(setting, &certificate, &key).variable("CODER_HTTP_ADDRESS", "");
    let listen = setting.config().listen;
    let tls = listen.tls.unwrap();
    assert!(listen.http.is_none());
    assert_eq!(tls.address.to_string(), "127.0.0.1:3443");
    assert_eq!(tls.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let secret = fs::read_to_string(&key).unwrap();
    let line = secret.lines().nth(1).unwrap();
    assert!(!format!("{tls:?}").contains(line));

    let same_port = setting.variable("CODER_HTTP_ADDRESS", "127.0.0.1:3443").fault();
    assert_contains(&same_port, &["--tls-address", "127.0.0.1:3443", "--http-address"]);
}

#[test]
fn what_is_wrong_with_tls_is_named() {
    let setting = Setting::new();
    let (certificate_one, key_one) = certificate(&setting, "one");
    let (_, key_two) = certificate(&setting, "two");
    let nothing = setting.private_file("nothing", SENTINEL);
    let nothing = nothing.to_str().unwrap();
    for (certificate, key, parts) in [
        (
            certificate_one.as_str(),
            key_two.as_str(),
            &["--tls-cert-file", "--tls-key-file"][..],
        ),
        (nothing, &key_one, &["--tls-cert-file", "no certificate"]),
        (&certificate_one, nothing, &["--tls-key-file", "no private key"]),
        ("/no/such", &key_one, &["--tls-cert-file", "/no/such"]),
        (&certificate_one, "/no/such", &["--tls-key-file", "/no/such"]),
    ] {
        assert_contains(&with_tls(Setting::new(), certificate, key).fault(), parts);
    }
    let unused = Setting::new()
        .variable("CODER_TLS_CERT_FILE", &certificate_one)
        .config();
    assert_contains(&unused.warnings[0], &["--tls-enable"]);
}

#[test]
fn log_files_are_told_from_streams() {
    let config = Setting::new()
        .args(&[
            "--log-human=",
            "--log-json=/var/log/coder.json",
            "-l",
            "warn,gateway_relay=debug",
        ])
        .config();
    assert_eq!(config.log.human, None);
    assert_eq!(
        config.log.json,
        Some(LogTarget::File("/var/log/coder.json".into()))
    );
    assert_eq!(config.log.filter().to_string(), "gateway_relay=debug,warn");
    let same = Setting::new().args(&["--log-human=/x", "--log-json=/x"]);
    assert_contains(&same.fault(), &["--log-json", "--log-human"]);
    let stdout = Setting::new().args(&["--log-json=/dev/stdout"]).config();
    assert_eq!(stdout.log.json, Some(LogTarget::Stdout));
}

#[test]
fn a_misspelt_level_does_not_silence_the_log() {
    for bad in ["inof", "info,relay", "relay=", "relay=loud"] {
        assert_contains(
            &Setting::new().variable("CODER_LOG_FILTER", bad).fault(),
            &["CODER_LOG_FILTER", "info"],
        );
    }
    for good in [
        "off",
        "INFO",
        "warn,gateway_relay=debug,h2=off",
        "info,[request{a=1}]=trace",
    ] {
        Setting::new().variable("CODER_LOG_FILTER", good).config();
    }
}
