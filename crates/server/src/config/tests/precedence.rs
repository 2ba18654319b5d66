//! Which of several places and spellings counts.

use proptest::prelude::*;

use super::*;

/// The port that the server would listen on.
fn port(setting: &Setting) -> u16 {
    setting.config().listen.http.unwrap().port()
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flag_then_variable_then_file_then_default(
        flag in proptest::option::of(1u16..),
        variable in proptest::option::of(1u16..),
        key in proptest::option::of(1u16..),
    ) {
        let mut setting = Setting::new();
        if let Some(port) = flag {
            setting = setting.args(&["--http-address", &address(port)]);
        }
        if let Some(port) = variable {
            setting = setting.variable("CODER_HTTP_ADDRESS", &address(port));
        }
        if let Some(port) = key {
            setting = setting.yaml(&format!("http-address: {}", address(port)));
        }
        prop_assert_eq!(port(&setting), flag.or(variable).or(key).unwrap_or(3000));
    }

    #[test]
    fn both_spellings_of_a_switch_must_mean_the_same(
        first in "true|false|1|0",
        second in "true|false|1|0",
    ) {
        let means = |text: &str| matches!(text, "true" | "1");
        let setting = Setting::new().variables(&[
            ("CODER_AIBRIDGE_ALLOW_BYOK", &first),
            ("CODER_AI_GATEWAY_ALLOW_BYOK", &second),
        ]);
        if means(&first) == means(&second) {
            prop_assert_eq!(setting.config().aibridge.allow_byok, means(&first));
        } else {
            assert_contains(
                &setting.fault(),
                &["--aibridge-allow-byok", "CODER_AIBRIDGE_ALLOW_BYOK", "CODER_AI_GATEWAY_ALLOW_BYOK", "different"],
            );
        }
    }
}

#[test]
fn the_switch_of_a_flag_takes_a_value_or_none() {
    for (args, expected) in [
        (&[][..], true),
        (&["--aibridge-allow-byok"], true),
        (&["--aibridge-allow-byok=true"], true),
        (&["--aibridge-allow-byok=1"], true),
        (&["--aibridge-allow-byok=false"], false),
        (&["--aibridge-allow-byok=0"], false),
        (&["--ai-gateway-allow-byok=false"], false),
    ] {
        let config = Setting::new().args(args).config();
        assert_eq!(config.aibridge.allow_byok, expected, "{args:?}");
    }
    let flag_alone = Setting::new()
        .args(&["--aibridge-allow-byok"])
        .variable("CODER_AIBRIDGE_ALLOW_BYOK", "false");
    assert!(flag_alone.config().aibridge.allow_byok);
}

#[test]
fn every_alias_is_as_good_as_its_option() {
    let files = Setting::new();
    let defaults = format!("{:?}", Setting::new().config().aibridge);
    for option in aibridge::SECTION.options {
        for name in option.names() {
            let value = match option.kind {
                option::Kind::Switch if option.default == Some("true") => "false".to_owned(),
                option::Kind::Switch => "true".to_owned(),
                _ if name.flag.ends_with("-file") => {
                    let path = files.private_file("key", "sk-other");
                    path.to_str().unwrap().to_owned()
                }
                _ if name.flag.ends_with("url") => "https://other.example/v9".to_owned(),
                _ if name.flag.ends_with("retention") => "9d".to_owned(),
                _ if name.flag.ends_with("body") => "revoke".to_owned(),
                _ if name.flag.ends_with("side-calls") => "relay".to_owned(),
                _ => "sk-other".to_owned(),
            };
            let shown = |setting: Setting| format!("{:?}", setting.config().aibridge);
            let by_flag: Vec<_> = name
                .flags()
                .map(|flag| shown(Setting::new().args(&[&format!("--{flag}={value}")])))
                .collect();
            let by_variable: Vec<_> = name
                .variables()
                .map(|variable| shown(Setting::new().variable(&variable, &value)))
                .collect();
            assert_eq!((by_flag.len(), by_variable.len()), (2, 2), "{name:?}");
            assert_ne!(by_flag[0], defaults, "{name:?}");
            assert!(
                by_flag
                    .iter()
                    .chain(&by_variable)
                    .all(|shown| *shown == by_flag[0]),
                "{name:?}"
            );
        }
    }
}

#[test]
fn spellings_that_differ_are_a_fault_and_those_that_agree_are_not() {
    let flags = |second: &str| {
        Setting::new().args(&[
            "--aibridge-token-in-body=refuse",
            &format!("--ai-gateway-token-in-body={second}"),
        ])
    };
    assert_eq!(
        flags("refuse").config().aibridge.token_in_body,
        gateway_relay::TokenInBody::Refuse
    );
    assert_contains(
        &flags("revoke").fault(),
        &["--aibridge-token-in-body", "two different values"],
    );

    let keys = Setting::new().yaml("http-address: 127.0.0.1:1\nhttp_address: 127.0.0.1:2\n");
    assert_contains(
        &keys.fault(),
        &["http-address", "http_address", "config.yaml", "different"],
    );

    // What comes first settles it, whatever the spelling of what comes later.
    let setting = Setting::new()
        .args(&["--aibridge-token-in-body=refuse"])
        .variable("CODER_AI_GATEWAY_TOKEN_IN_BODY", "revoke");
    assert_eq!(
        setting.config().aibridge.token_in_body,
        gateway_relay::TokenInBody::Refuse
    );
}

#[test]
fn an_empty_variable_is_none_but_where_it_switches_off() {
    let setting = Setting::new().variables(&[
        ("CODER_SHUTDOWN_TIMEOUT", ""),
        ("CODER_AIBRIDGE_ANTHROPIC_KEY", ""),
        ("CODER_AI_GATEWAY_ANTHROPIC_KEY", "sk-1"),
        ("CODER_AIBRIDGE_PROVIDER_7_NAME", ""),
    ]);
    let config = setting.config();
    assert_eq!(config.listen.shutdown_timeout.as_secs(), 10);
    assert_eq!(
        config.aibridge.providers[0].key.as_ref().unwrap().expose(),
        "sk-1"
    );
    assert_contains(
        &Setting::new().variable("CODER_HTTP_ADDRESS", "").fault(),
        &["--http-address", "CODER_HTTP_ADDRESS", "--tls-enable"],
    );
    assert_contains(
        &Setting::new().args(&["--access-url", ""]).fault(),
        &["--access-url", "CODER_ACCESS_URL", "empty"],
    );
}

#[test]
fn the_help_names_every_option_with_its_variable_and_shows_no_value() {
    let mut command = ServerArgs::augment_args(Command::new("server"));
    command.clone().debug_assert();
    let help = command.render_long_help().to_string();
    for name in options().iter().flat_map(|option| option.names()) {
        for flag in name.flags() {
            assert!(help.contains(&format!("--{flag}")), "{flag}");
        }
        assert!(
            help.contains(&format!("[env: {}]", name.variable)),
            "{name:?}\n{help}"
        );
    }
    for section in SECTIONS {
        assert!(
            help.contains(&format!("{}:\n", section.heading)),
            "{}",
            section.heading
        );
    }
}

#[test]
fn no_name_is_used_twice() {
    let mut seen = std::collections::HashSet::new();
    for name in options().iter().flat_map(|option| option.names()) {
        for spelling in name.flags().chain(name.variables()) {
            assert!(seen.insert(spelling.clone()), "{spelling}");
        }
    }
}
