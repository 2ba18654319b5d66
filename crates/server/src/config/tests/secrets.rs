//! Secrets: where they may come from, and that nobody sees them.

use super::*;

const KEY: &str = "CODER_AIBRIDGE_ANTHROPIC_KEY";
const KEY_FILE: &str = "CODER_AIBRIDGE_ANTHROPIC_KEY_FILE";

fn anthropic_key(config: &ServerConfig) -> Option<&str> {
    let provider = config
        .aibridge
        .providers
        .iter()
        .find(|provider| provider.name.as_str() == "anthropic")?;
    provider.key.as_ref().map(gateway_core::Secret::expose)
}

#[test]
fn a_file_gives_the_secret_without_its_last_newline() {
    for (content, expected) in [("sk-1", "sk-1"), ("sk-1\n", "sk-1"), ("sk-1\r\n", "sk-1")] {
        let setting = Setting::new();
        let path = setting.private_file("key", content);
        let path = path.to_str().unwrap();
        let config = setting.variable(KEY_FILE, path).config();
        assert_eq!(anthropic_key(&config), Some(expected), "{content:?}");
    }
    let setting = Setting::new();
    let path = setting.private_file("key", "sentinel-5d1f0c\n\n");
    let path = path.to_str().unwrap().to_owned();
    assert_contains(
        &setting.variable(KEY_FILE, &path).fault(),
        &[KEY, "line ends", &path],
    );
}

#[test]
fn every_secret_has_a_file_form() {
    for option in options().into_iter().filter(|option| option.is_secret()) {
        let file = option.file.unwrap();
        assert_eq!(file.flag, format!("{}-file", option.name.flag));
        assert_eq!(file.variable, format!("{}_FILE", option.name.variable));
        let missing = "/no/such/file";
        for setting in [
            Setting::new().variable(file.variable, missing),
            Setting::new().args(&[&format!("--{}", file.flag), missing]),
            Setting::new().yaml(&format!("{}: {missing}", file.flag)),
        ] {
            assert_contains(
                &setting.fault(),
                &[option.name.flag, option.name.variable, missing],
            );
        }
    }
}

#[test]
fn a_secret_and_its_file_are_not_given_together() {
    let setting = Setting::new();
    let path = setting.private_file("key", SENTINEL);
    let path = path.to_str().unwrap().to_owned();
    let setting = setting.variable(KEY_FILE, &path);
    let both = setting.variable("CODER_AI_GATEWAY_ANTHROPIC_KEY", SENTINEL);
    assert_contains(
        &both.fault(),
        &[
            "--aibridge-anthropic-key",
            "CODER_AI_GATEWAY_ANTHROPIC_KEY",
            KEY_FILE,
            "twice",
        ],
    );
    // A flag comes before any variable, in whichever form.
    let config = both.args(&["--aibridge-anthropic-key=sk-flag"]).config();
    assert_eq!(anthropic_key(&config), Some("sk-flag"));
}

#[test]
fn files_that_cannot_be_the_secret_are_named() {
    let setting = Setting::new();
    let empty = setting.private_file("empty", "");
    let newline = setting.private_file("newline", "\n");
    let large = setting.private_file("large", &"x".repeat(64 * 1024 + 1));
    let folder = setting.folder.path().to_owned();
    for path in [empty, newline, large, folder, PathBuf::from("/no/such/file")] {
        let path = path.to_str().unwrap();
        assert_contains(
            &Setting::new().variable(KEY_FILE, path).fault(),
            &[KEY, KEY_FILE, path],
        );
        let numbered = Setting::new()
            .variable("CODER_AIBRIDGE_PROVIDER_0_TYPE", "anthropic")
            .variable("CODER_AI_GATEWAY_PROVIDER_0_KEY_FILE", path);
        assert_contains(&numbered.fault(), &["CODER_AI_GATEWAY_PROVIDER_0_KEY_FILE", path]);
    }
}

#[test]
fn a_key_must_fit_into_a_header_and_be_no_gateway_token() {
    let token = gateway_core::ApiToken::generate(&mut rand::rng());
    let bad = [" ", "\t", "\r\n", "\u{7f}", "ü", token.expose()];
    for bad in bad.map(|bad| format!("{SENTINEL}{bad}")) {
        for variable in [KEY, "CODER_AIBRIDGE_PROVIDER_0_KEY"] {
            let setting = Setting::new()
                .variable("CODER_AIBRIDGE_PROVIDER_0_TYPE", "openai-compat")
                .variable("CODER_AIBRIDGE_PROVIDER_0_BASE_URL", "http://localhost:1")
                .variable(variable, &bad);
            let fault = setting.fault();
            assert_contains(&fault, &[variable]);
            assert!(!fault.contains(token.expose()), "{fault}");
        }
    }
}

#[test]
fn nothing_that_is_loaded_shows_a_secret() {
    let setting = Setting::new()
        .args(&["--aibridge-openai-key", SENTINEL])
        .variables(&[
            (KEY, SENTINEL),
            ("CODER_FIRST_USER_CODE", SENTINEL),
            ("CODER_PG_CONNECTION_URL", "postgres://u:sentinel-5d1f0c@h/d"),
            ("CODER_AIBRIDGE_PROVIDER_0_TYPE", "openai"),
            ("CODER_AIBRIDGE_PROVIDER_0_NAME", "other"),
            ("CODER_AIBRIDGE_PROVIDER_0_KEY", SENTINEL),
            ("https_proxy", "http://u:sentinel-5d1f0c@proxy:3128"),
        ]);
    let config = setting.config();
    assert_eq!(anthropic_key(&config), Some(SENTINEL));
    let environment: Environment = setting.variables.iter().cloned().collect();
    let reader = Reader::new(setting.parse(), &environment);
    for shown in [
        format!("{config:#?}"),
        format!("{:?}", setting.parse()),
        format!("{environment:?}"),
        format!("{reader:?}"),
    ] {
        assert!(!shown.contains(SENTINEL), "{shown}");
    }
}
