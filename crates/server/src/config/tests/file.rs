//! The configuration file.

use super::*;

#[test]
fn keys_are_flags_in_either_style_nested_or_not() {
    let setting = Setting::new().yaml(
        "http_address: 127.0.0.1:1\n\
         session-duration: 2h\n\
         postgres_conn_max_open: 7\n\
         disable-session-expiry-refresh: true\n\
         proxy_trusted_origins: [10.0.0.0/8, 192.0.2.1]\n\
         access-url: null\n\
         ai-gateway-enabled: false\n\
         aibridge:\n  \
           allow_byok: false\n  \
           openai-key: sk-1\n\
         ai_gateway:\n  \
           token_in_body: refuse\n",
    );
    let config = setting.config();
    assert_eq!(config.listen.http.unwrap().port(), 1);
    assert_eq!(config.accounts.session_duration.as_duration().as_secs(), 7200);
    assert_eq!(config.database.max_connections, 7);
    assert!(!config.accounts.refresh_sessions);
    assert_eq!(config.listen.trusted_proxies.origins.len(), 2);
    assert!(!config.aibridge.enabled && !config.aibridge.allow_byok);
    assert_eq!(config.aibridge.token_in_body, gateway_relay::TokenInBody::Refuse);
    assert_eq!(
        config.aibridge.providers[1].key.as_ref().unwrap().expose(),
        "sk-1"
    );
}

#[test]
fn an_empty_file_says_nothing() {
    for content in ["", "# nothing\n", "---\n", "aibridge:\n"] {
        Setting::new().yaml(content).config();
    }
}

#[test]
fn unknown_keys_are_named_with_their_neighbours() {
    for (content, key, nearest) in [
        ("http-adress: x", "http-adress", "http-address"),
        ("config: /etc/x", "config", "log"),
        (
            "aibridge: {alow-byok: true}",
            "aibridge.alow-byok",
            "aibridge-allow-byok",
        ),
        (
            "ai_gateway: {aibridge: {enabled: true}}",
            "ai_gateway.aibridge",
            "aibridge-",
        ),
        ("aibridge: true", "aibridge", "aibridge-"),
        ("7: x", "7", ""),
    ] {
        let fault = Setting::new().yaml(content).fault();
        assert_contains(&fault, &["config.yaml", "unknown key", key, nearest]);
    }
}

#[test]
fn what_is_not_a_list_of_options_is_refused_without_showing_it() {
    for content in [
        "sentinel-5d1f0c",
        "- sentinel-5d1f0c",
        "first-user-code: sentinel-5d1f0c\n  x: y",
        "first-user-code: sentinel-5d1f0c\nfirst-user-code: sentinel-5d1f0c",
        "first-user-code: {sentinel-5d1f0c: 1}",
        "first-user-code: [[sentinel-5d1f0c]]",
        "first-user-code: !tag sentinel-5d1f0c",
        "first-user-code: \"sentinel-5d1f0c",
    ] {
        assert_contains(&Setting::new().yaml(content).fault(), &["config.yaml"]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let setting = Setting::new();
    let folder = setting.folder.path().to_str().unwrap().to_owned();
    let latin1 = setting.folder.path().join("latin1");
    std::fs::write(&latin1, [b'a', 0xff]).unwrap();
    let large = setting.file("large", &"#".repeat(1024 * 1024 + 1));
    for path in [
        "/no/such/file",
        &folder,
        latin1.to_str().unwrap(),
        large.to_str().unwrap(),
    ] {
        for args in [&["-c", path], &["--config", path]] {
            assert_contains(
                &Setting::new().args(args).fault(),
                &["--config (CODER_CONFIG_PATH)", path],
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn secrets_are_only_taken_from_a_private_file() {
    let content =
        "first-user-code: sentinel-5d1f0c\naibridge: {openai-key: sentinel-5d1f0c}\nlog-filter: info\n";
    for mode in [0o640, 0o604, 0o644, 0o620] {
        let setting = Setting::new();
        let path = setting.file("shared.yaml", content);
        set_mode(&path, mode);
        let faults = setting.args(&["--config", path.to_str().unwrap()]).faults();
        assert_eq!(faults.len(), 2, "{faults:#?}");
        assert_contains(&faults[0], &["shared.yaml", "first-user-code", "chmod 600"]);
        assert_contains(&faults[1], &["shared.yaml", "aibridge.openai-key", "chmod 600"]);
    }
    // The name of a file with a secret is no secret.
    let setting = Setting::new();
    let key = setting.private_file("key", "sk-1\n");
    let path = setting.file(
        "shared.yaml",
        &format!("aibridge-openai-key-file: {}", key.display()),
    );
    set_mode(&path, 0o644);
    setting.args(&["--config", path.to_str().unwrap()]).config();
    assert!(
        Setting::new()
            .yaml(content)
            .config()
            .accounts
            .first_user_code
            .is_some()
    );
}
