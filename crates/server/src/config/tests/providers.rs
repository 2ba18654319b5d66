//! The providers that are made of the configuration.

use gateway_core::ProviderKind;

use super::*;

fn numbered(fields: &[(u32, &str, &str)]) -> Setting {
    fields
        .iter()
        .fold(Setting::new(), |setting, (index, field, value)| {
            setting.variable(&format!("CODER_AIBRIDGE_PROVIDER_{index}_{field}"), value)
        })
}

/// Name, kind, base URL and key of each.
fn summary(setting: &Setting) -> Vec<(String, ProviderKind, String, Option<String>)> {
    let providers = setting.config().aibridge.providers;
    providers
        .into_iter()
        .map(|provider| {
            (
                provider.name.to_string(),
                provider.kind,
                provider.base_url.to_string(),
                provider.key.map(|key| key.expose().to_owned()),
            )
        })
        .collect()
}

#[test]
fn two_are_always_there() {
    assert_eq!(
        summary(&Setting::new()),
        [
            (
                "anthropic".to_owned(),
                ProviderKind::Anthropic,
                "https://api.anthropic.com/".to_owned(),
                None
            ),
            (
                "openai".to_owned(),
                ProviderKind::OpenAi,
                "https://api.openai.com/v1/".to_owned(),
                None
            ),
        ]
    );
}

#[test]
fn instances_are_added_by_number() {
    let setting = numbered(&[
        (0, "TYPE", "openai"),
        (0, "NAME", "chatgpt"),
        (0, "BASE_URL", "https://chatgpt.com/backend-api/codex"),
        (1, "TYPE", "openai-compat"),
        (1, "BASE_URL", "http://127.0.0.1:8000/v1"),
        (1, "KEY", "sk-2"),
        (2, "TYPE", "anthropic"),
        (2, "NAME", "eu"),
    ])
    .variable("CODER_AI_GATEWAY_PROVIDER_2_KEY", "sk-3");
    let summary = summary(&setting);
    let shown: Vec<_> = summary
        .iter()
        .skip(2)
        .map(|(name, kind, url, key)| (name.as_str(), *kind, url.as_str(), key.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            (
                "chatgpt",
                ProviderKind::OpenAi,
                "https://chatgpt.com/backend-api/codex",
                None
            ),
            (
                "openai-compat",
                ProviderKind::OpenAiCompat,
                "http://127.0.0.1:8000/v1",
                Some("sk-2")
            ),
            (
                "eu",
                ProviderKind::Anthropic,
                "https://api.anthropic.com/",
                Some("sk-3")
            ),
        ]
    );
    let config = setting.config();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn copilot_has_an_address_and_no_key() {
    let fields = [
        (0, "TYPE", "copilot"),
        (1, "TYPE", "copilot"),
        (1, "NAME", "copilot-business"),
        (1, "BASE_URL", "https://api.business.githubcopilot.com"),
    ];
    let shown: Vec<_> = summary(&numbered(&fields)).into_iter().skip(2).collect();
    let expected = |name: &str, url: &str| (name.to_owned(), ProviderKind::Copilot, url.to_owned(), None);
    assert_eq!(
        shown,
        [
            expected("copilot", "https://api.individual.githubcopilot.com/"),
            expected("copilot-business", "https://api.business.githubcopilot.com/"),
        ]
    );
    let config = numbered(&fields).config();
    assert!(
        config
            .aibridge
            .providers
            .iter()
            .skip(2)
            .all(|copilot| !copilot.inject_usage)
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let config = numbered(&fields)
        .variable("CODER_AIBRIDGE_ALLOW_BYOK", "false")
        .config();
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(
        config.warnings[1].contains("copilot-business"),
        "{:?}",
        config.warnings
    );
    let fault = numbered(&fields)
        .variable("CODER_AI_GATEWAY_PROVIDER_1_KEY", SENTINEL)
        .fault();
    for part in ["CODER_AI_GATEWAY_PROVIDER_1_KEY", "type copilot"] {
        assert!(fault.contains(part), "{fault}");
    }
    assert!(!fault.contains(SENTINEL), "{fault}");
}

#[test]
fn a_number_may_take_a_built_in_name_that_nothing_configures() {
    let fields = [
        (0, "TYPE", "openai-compat"),
        (0, "NAME", "openai"),
        (0, "BASE_URL", "https://o.example/v1"),
    ];
    let names: Vec<_> = summary(&numbered(&fields))
        .into_iter()
        .map(|(name, kind, ..)| (name, kind))
        .collect();
    assert_eq!(
        names,
        [
            ("anthropic".to_owned(), ProviderKind::Anthropic),
            ("openai".to_owned(), ProviderKind::OpenAiCompat)
        ]
    );
    for (variable, value) in [
        ("CODER_AIBRIDGE_OPENAI_KEY", SENTINEL),
        ("CODER_AI_GATEWAY_OPENAI_BASE_URL", "https://api.openai.com/v1/"),
    ] {
        let fault = numbered(&fields).variable(variable, value).fault();
        assert_contains(
            &fault,
            &["CODER_AIBRIDGE_PROVIDER_0_NAME", "CODER_AIBRIDGE_OPENAI_KEY"],
        );
    }
    numbered(&fields)
        .variable("CODER_AIBRIDGE_ANTHROPIC_KEY", "sk-1")
        .config();
}

#[test]
fn numbers_have_no_gaps() {
    for (indices, missing) in [
        (&[1][..], 0),
        (&[0, 2], 1),
        (&[0, 1, 3, 4], 2),
        (&[4_294_967_295_u32], 0),
    ] {
        let setting = indices.iter().fold(Setting::new(), |setting, index| {
            setting
                .variable(&format!("CODER_AIBRIDGE_PROVIDER_{index}_TYPE"), "anthropic")
                .variable(
                    &format!("CODER_AIBRIDGE_PROVIDER_{index}_NAME"),
                    &format!("p{index}"),
                )
        });
        assert_contains(
            &setting.fault(),
            &[
                &format!("CODER_AIBRIDGE_PROVIDER_{missing}_TYPE is missing"),
                "without gaps",
            ],
        );
    }
}

#[test]
fn each_fault_of_an_instance_names_its_variable() {
    let compat = [(0, "TYPE", "openai-compat"), (0, "BASE_URL", "https://o.example")];
    let with = |field: &'static str, value: &'static str| {
        let mut fields = compat.to_vec();
        fields.retain(|(_, name, _)| *name != field);
        fields.push((0, field, value));
        numbered(&fields)
    };
    for (setting, field, part) in [
        (with("TYPE", "bedrock"), "TYPE", "bedrock"),
        (with("TYPE", ""), "TYPE", "missing"),
        (with("NAME", "Big"), "NAME", "Big"),
        (with("NAME", "models"), "NAME", "management"),
        (with("BASE_URL", ""), "BASE_URL", "missing"),
        (with("BASE_URL", "o.example"), "BASE_URL", "not a URL"),
        (with("BASE_URL", "ftp://o.example"), "BASE_URL", "http://"),
        (with("BASE_URL", "https://o.example/?a"), "BASE_URL", "query"),
        (with("BASE_URL", "https://o.example/#a"), "BASE_URL", "fragment"),
        (with("BASE_URL", "https://u@o.example/"), "BASE_URL", "user name"),
    ] {
        assert_contains(
            &setting.fault(),
            &[&format!("CODER_AIBRIDGE_PROVIDER_0_{field}"), part],
        );
    }
}

#[test]
fn names_and_spellings_do_not_contradict() {
    let twice = numbered(&[
        (0, "TYPE", "anthropic"),
        (0, "NAME", "a"),
        (1, "TYPE", "openai"),
        (1, "NAME", "a"),
    ]);
    assert_contains(
        &twice.fault(),
        &[
            "CODER_AIBRIDGE_PROVIDER_0_NAME",
            "CODER_AIBRIDGE_PROVIDER_1_NAME",
            "\"a\"",
        ],
    );
    let same = numbered(&[(0, "TYPE", "anthropic"), (0, "NAME", "a")]);
    same.variable("CODER_AI_GATEWAY_PROVIDER_0_NAME", "a").config();
    let different = numbered(&[(0, "TYPE", "anthropic"), (0, "NAME", "a")]);
    assert_contains(
        &different
            .variable("CODER_AI_GATEWAY_PROVIDER_0_NAME", "b")
            .fault(),
        &[
            "CODER_AIBRIDGE_PROVIDER_0_NAME",
            "CODER_AI_GATEWAY_PROVIDER_0_NAME",
            "different",
        ],
    );
    let key_twice = numbered(&[
        (0, "TYPE", "anthropic"),
        (0, "NAME", "a"),
        (0, "KEY", SENTINEL),
        (0, "KEY_FILE", "/x"),
    ]);
    assert_contains(
        &key_twice.fault(),
        &[
            "CODER_AIBRIDGE_PROVIDER_0_KEY",
            "CODER_AIBRIDGE_PROVIDER_0_KEY_FILE",
        ],
    );
}

#[test]
fn plain_http_is_warned_of_unless_it_stays_on_the_machine() {
    for (url, warns) in [
        ("http://127.0.0.1:8000/v1", false),
        ("http://[::1]:8000/v1", false),
        ("http://localhost/v1", false),
        ("http://llm.localhost/v1", false),
        ("https://o.example/v1", false),
        ("http://o.example/v1", true),
        ("http://10.0.0.1/v1", true),
        ("http://localhost.example/v1", true),
    ] {
        let config = Setting::new()
            .variable("CODER_AIBRIDGE_OPENAI_BASE_URL", url)
            .config();
        assert_eq!(
            config.warnings.len(),
            usize::from(warns),
            "{url}: {:?}",
            config.warnings
        );
    }
}
