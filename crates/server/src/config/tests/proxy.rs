//! The options of the AI Gateway Proxy.

use gateway_core::{Clock as _, SystemClock};
use gateway_mitm::ca::{self, CertificateAuthority};

use super::values::certificate;
use super::*;

fn enabled() -> Setting {
    Setting::new().variable("CODER_AIBRIDGE_PROXY_ENABLED", "true")
}

fn proxy_of(setting: &Setting) -> ProxyConfig {
    setting.config().proxy.unwrap()
}

#[test]
fn it_is_off_unless_asked_for() {
    assert!(Setting::new().config().proxy.is_none());
    let setting = enabled();
    let proxy = proxy_of(&setting);
    assert_eq!(proxy.address.to_string(), "[::]:8888");
    assert!(proxy.tls.is_none() && proxy.upstream.is_none());
    assert!(
        matches!(&proxy.authority, AuthoritySource::Directory(directory) if directory == setting.folder.path())
    );
    assert!(proxy.allowed_networks.is_empty() && !proxy.allow_anonymous_tunnels);
    assert_eq!(proxy.allowed_ports, [80, 443]);
    assert_eq!(proxy.idle_timeout.as_secs(), 600);
}

#[test]
fn every_alias_is_as_good_as_its_option() {
    let files = Setting::new();
    let values = [
        ("-listen-addr", "127.0.0.1:1"),
        ("-access-url", "https://proxy.example.com:3128"),
        ("-upstream", "http://u:p@other:3128"),
        ("-cidrs", "10.0.0.0/8"),
        ("-ports", "443,8443"),
        ("-tunnels", "true"),
        ("-timeout", "1h"),
    ];
    let shown = |setting: Setting| {
        let folder = setting.folder.path().to_str().unwrap();
        format!("{:?}", proxy_of(&setting)).replace(folder, "")
    };
    let defaults = shown(enabled());
    for (suffix, value) in values {
        let option = crate::config::proxy::SECTION
            .options
            .iter()
            .find(|option| option.name.flag.ends_with(suffix))
            .unwrap();
        for name in option.names() {
            let value = if name.flag.ends_with("-file") {
                files.private_file("value", value).to_str().unwrap().to_owned()
            } else {
                value.to_owned()
            };
            let by_flag = name
                .flags()
                .map(|flag| enabled().args(&[&format!("--{flag}={value}")]));
            let by_variable = name
                .variables()
                .map(|variable| enabled().variable(&variable, &value));
            let all: Vec<String> = by_flag.chain(by_variable).map(shown).collect();
            assert_eq!(all.len(), 4, "{name:?}");
            assert!(all.iter().all(|one| *one == all[0]), "{name:?}");
            // The secret is not shown, but that it is there.
            assert_ne!(all[0], defaults, "{name:?}");
        }
    }
}

#[test]
fn it_reads_from_the_file_as_other_options_do() {
    let setting = Setting::new().yaml(
        "ai_gateway:\n  proxy_enabled: true\n  proxy-listen-addr: '127.0.0.1:0'\n  \
         proxy_allowed_ports: [443, 8443]\n  proxy_allowed_private_cidrs: [10.0.0.0/8, 192.0.2.1]\n",
    );
    let proxy = proxy_of(&setting);
    assert_eq!(proxy.address.to_string(), "127.0.0.1:0");
    assert_eq!(proxy.allowed_ports, [443, 8443]);
    assert_eq!(proxy.allowed_networks.len(), 2);
}

#[test]
fn while_it_is_off_its_options_are_named_as_unused() {
    let setting = Setting::new().variables(&[
        ("CODER_AIBRIDGE_PROXY_CERT_FILE", "/no/such"),
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PORTS", "443"),
    ]);
    let warnings = setting.config().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_contains(
        &warnings[0],
        &[
            "CODER_AIBRIDGE_PROXY_ENABLED",
            "--aibridge-proxy-cert-file, --aibridge-proxy-allowed-ports",
        ],
    );
}

#[test]
fn another_listener_may_not_be_there_already() {
    let on = |address: &str| enabled().variable("CODER_AIBRIDGE_PROXY_LISTEN_ADDR", address);
    for address in ["127.0.0.1:3000", ":3000", "0.0.0.0:3000"] {
        assert_contains(
            &on(address).fault(),
            &[
                "--aibridge-proxy-listen-addr (CODER_AIBRIDGE_PROXY_LISTEN_ADDR)",
                "--http-address",
                "3000",
            ],
        );
    }
    for address in ["127.0.0.2:3000", "127.0.0.1:3001", "[::1]:3000"] {
        on(address).config();
    }
    on("127.0.0.1:0")
        .variable("CODER_HTTP_ADDRESS", "127.0.0.1:0")
        .config();
}

#[test]
fn without_the_gateway_there_is_nothing_to_intercept_for() {
    let setting = enabled().variable("CODER_AIBRIDGE_ENABLED", "false");
    assert_contains(
        &setting.fault(),
        &["--aibridge-proxy-enabled", "--aibridge-enabled"],
    );
}

#[test]
fn the_listener_has_both_files_or_neither() {
    let setting = Setting::new();
    let (certificate, key) = certificate(&setting, "listener");
    let with = |files: &[(&str, &str)]| enabled().variables(files);
    let (cert_file, key_file) = (
        "CODER_AIBRIDGE_PROXY_TLS_CERT_FILE",
        "CODER_AIBRIDGE_PROXY_TLS_KEY_FILE",
    );
    let tls = proxy_of(&with(&[(cert_file, &certificate), (key_file, &key)]))
        .tls
        .unwrap();
    assert_eq!(tls.alpn_protocols, [b"http/1.1".to_vec()]);
    assert_contains(
        &with(&[(cert_file, &certificate)]).fault(),
        &[key_file, "missing", "--aibridge-proxy-tls-cert-file"],
    );
    assert_contains(
        &with(&[(key_file, &key)]).fault(),
        &[cert_file, "missing", "--aibridge-proxy-tls-key-file"],
    );
    assert_contains(
        &with(&[(cert_file, "/no/such"), (key_file, &key)]).fault(),
        &[cert_file, "/no/such"],
    );
}

#[test]
fn the_upstream_proxy_is_a_whole_url_and_stays_secret() {
    let with = |url: &str| enabled().variable("CODER_AIBRIDGE_PROXY_UPSTREAM", url);
    for good in [
        "http://proxy:3128",
        "http://u:sentinel-5d1f0c@proxy",
        "http://:sentinel-5d1f0c@proxy:1/",
    ] {
        let config = with(good).config();
        assert!(config.proxy.as_ref().unwrap().upstream.is_some(), "{good}");
        assert!(!format!("{config:?}").contains(SENTINEL));
    }
    for bad in [
        "proxy:3128",
        "socks5://proxy",
        "http://@proxy",
        "http://:@proxy",
        "http://sentinel-5d1f0c@proxy/path",
        "http://proxy?sentinel-5d1f0c",
    ] {
        assert_contains(&with(bad).fault(), &["CODER_AIBRIDGE_PROXY_UPSTREAM"]);
    }
}

#[test]
fn the_upstream_proxy_may_have_roots_of_its_own() {
    let setting = Setting::new();
    let (certificate, _) = certificate(&setting, "root");
    let with = |url: &str, ca: &str| {
        enabled().variables(&[
            ("CODER_AIBRIDGE_PROXY_UPSTREAM", url),
            ("CODER_AIBRIDGE_PROXY_UPSTREAM_CA", ca),
        ])
    };
    assert!(
        proxy_of(&with("https://proxy:1", &certificate))
            .upstream
            .is_some()
    );
    for url in ["https://proxy:1", "http://proxy:1", ""] {
        assert_contains(
            &with(url, "/no/such").fault(),
            &["--aibridge-proxy-upstream-ca", "/no/such"],
        );
    }
    for url in ["http://proxy:1", ""] {
        let warnings = with(url, &certificate).config().warnings;
        assert_contains(&warnings[0], &["--aibridge-proxy-upstream-ca", "https://"]);
    }
}

#[test]
fn clients_know_it_by_the_host_of_the_server_unless_told_otherwise() {
    let url = |setting: Setting, server: &str| {
        let bound = "[::]:4711".parse().unwrap();
        proxy_of(&setting)
            .access_url(&server.parse().unwrap(), bound)
            .to_string()
    };
    assert_eq!(
        url(enabled(), "https://ai.example.com/coder"),
        "http://ai.example.com:4711/"
    );
    assert_eq!(url(enabled(), "http://[::1]:3000"), "http://[::1]:4711/");
    let given = enabled().variable("CODER_AIBRIDGE_PROXY_ACCESS_URL", "https://proxy.example.com");
    assert_eq!(url(given, "https://ai.example.com"), "https://proxy.example.com/");
    let with_path = enabled().variable("CODER_AIBRIDGE_PROXY_ACCESS_URL", "https://proxy.example.com/x");
    assert_contains(
        &with_path.fault(),
        &["CODER_AIBRIDGE_PROXY_ACCESS_URL", "must not hold a path"],
    );
}

#[test]
fn its_authority_is_read_from_both_files() {
    let (cert_file, key_file) = ("CODER_AIBRIDGE_PROXY_CERT_FILE", "CODER_AIBRIDGE_PROXY_KEY_FILE");
    for (given, missing) in [(cert_file, key_file), (key_file, cert_file)] {
        assert_contains(
            &enabled().variable(given, "/some/file").fault(),
            &[missing, "missing"],
        );
    }
    let setting = Setting::new();
    let with =
        |certificate: &str, key: &str| enabled().variables(&[(cert_file, certificate), (key_file, key)]);
    // No authority, but the certificate of a server.
    let (certificate, key) = certificate(&setting, "leaf");
    assert_contains(&with(&certificate, &key).fault(), &[cert_file, &certificate]);
    assert_contains(&with("/no/such", &key).fault(), &[cert_file, "/no/such"]);
    let directory = setting.folder.path();
    CertificateAuthority::load_or_create(directory, &[], SystemClock.now()).unwrap();
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let proxy = proxy_of(&with(&file(ca::CERTIFICATE_FILE), &file(ca::KEY_FILE)));
    assert!(matches!(proxy.authority, AuthoritySource::Loaded(_)));
}
