//! The configuration as the audit log is told of it.

use super::*;

#[test]
fn every_option_is_told_with_its_value_in_effect() {
    let told = Setting::new()
        .args(&["--log-filter=debug"])
        .variables(&[
            ("CODER_AI_GATEWAY_ALLOW_BYOK", "0"),
            ("CODER_AIBRIDGE_OPENAI_KEY", SENTINEL),
            ("no_proxy", "localhost"),
        ])
        .config()
        .options;
    for option in options() {
        let has_value = option.is_secret() || option.default.is_some_and(|default| !default.is_empty());
        assert_eq!(
            told.contains_key(option.name.flag),
            has_value,
            "{}",
            option.name.flag
        );
    }
    for (option, value) in [
        ("log-filter", "debug"),
        ("aibridge-allow-byok", "false"),
        ("aibridge-enabled", "true"),
        ("session-duration", "24h"),
        ("aibridge-openai-key", "set"),
        ("aibridge-anthropic-key", "unset"),
        ("HTTPS_PROXY", "unset"),
        ("NO_PROXY", "localhost"),
    ] {
        assert_eq!(told[option], value, "{option}");
    }
}

#[test]
fn how_an_option_is_spelt_makes_no_difference() {
    let setting = Setting::new();
    let path = setting.private_file("key", SENTINEL);
    let path = path.to_str().unwrap().to_owned();
    let one = setting
        .variables(&[
            ("CODER_AIBRIDGE_OPENAI_KEY_FILE", &path),
            ("CODER_AIBRIDGE_PROVIDER_0_TYPE", "anthropic"),
            ("CODER_AIBRIDGE_PROVIDER_0_NAME", "own"),
            ("CODER_AIBRIDGE_PROVIDER_0_KEY_FILE", &path),
        ])
        .args(&["--tls-enable=0"])
        .config();
    let other = Setting::new()
        .variables(&[
            ("CODER_AI_GATEWAY_PROVIDER_0_TYPE", "anthropic"),
            ("CODER_AI_GATEWAY_PROVIDER_0_NAME", "own"),
            ("CODER_AI_GATEWAY_PROVIDER_0_KEY", SENTINEL),
        ])
        .args(&["--ai-gateway-openai-key", SENTINEL, "--tls-enable=false"])
        .config();
    assert_eq!(one.options, other.options);
    assert_eq!(one.options["CODER_AIBRIDGE_PROVIDER_0_NAME"], "own");
    assert_eq!(one.options["CODER_AIBRIDGE_PROVIDER_0_KEY"], "set");
}

#[test]
fn no_secret_is_told() {
    let mut setting = Setting::new();
    for option in options().into_iter().filter(|option| option.is_secret()) {
        let value = match option.name.flag {
            "database-url" | "postgres-url" => format!("postgres://u:{SENTINEL}@h/d"),
            "aibridge-proxy-upstream" => format!("http://u:{SENTINEL}@proxy:3128"),
            _ => SENTINEL.to_owned(),
        };
        setting = setting.variable(option.name.variable, &value);
    }
    let with_password = format!("http://u:{SENTINEL}@proxy:3128");
    let told = setting
        .variables(&[
            ("CODER_AIBRIDGE_PROVIDER_0_TYPE", "openai"),
            ("CODER_AIBRIDGE_PROVIDER_0_NAME", "other"),
            ("CODER_AIBRIDGE_PROVIDER_0_KEY", SENTINEL),
            ("https_proxy", &with_password),
            ("HTTP_PROXY", &with_password),
            ("ALL_PROXY", &with_password),
        ])
        .config()
        .options;
    assert!(!format!("{told:?}").contains(SENTINEL), "{told:?}");
    let set = told.values().filter(|value| *value == "set").count();
    let secrets = options().iter().filter(|option| option.is_secret()).count();
    assert_eq!(set, secrets + 4);
}
