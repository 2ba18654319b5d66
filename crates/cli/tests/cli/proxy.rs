//! `coder aibridge proxy`: what is printed for a shell, and what is written for other programs.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Ended, FakeServer, Home, TOKEN};

const CA: &str = "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n";
const ROOT: &str = "-----BEGIN CERTIFICATE-----\nUm9vdA==\n-----END CERTIFICATE-----\n";

fn description(url: &str) -> Value {
    json!({
        "enabled": true,
        "url": url,
        "port": 8888,
        "tls": true,
        "ca": {"sha256_fingerprint": "00:11", "expires_at": "2036-01-01T00:00:00.000000Z"},
        "hosts": [{"host": "api.anthropic.com", "port": 443, "provider": "anthropic", "shadowed": []}],
        "a_field_of_a_newer_server": 1,
    })
}

/// A server whose proxy is at this address, and somebody who is logged in there.
fn set_up(url: &str) -> (FakeServer, Home) {
    let server = FakeServer::start();
    server.on("GET /aibridge/proxy", 200, &description(url)).on_text(
        "GET /aibridge/proxy/ca-cert.pem",
        200,
        CA,
        &[("content-type", "application/x-pem-file")],
    );
    let home = Home::logged_in(&server);
    fs::write(home.path().join("roots.pem"), format!("# The system's\n{ROOT}")).unwrap();
    (server, home)
}

fn env(home: &Home, arguments: &[&str]) -> Ended {
    let command = ["aibridge", "proxy", "env", "--roots", "roots.pem"];
    home.run(&[&command, arguments].concat())
}

/// With the home directory and the token named rather than shown.
fn shown(home: &Home, text: &str) -> String {
    text.replace(home.path().to_str().unwrap(), "HOME")
        .replace(TOKEN, "TOKEN")
}

#[test]
fn the_certificate_is_printed_alone_or_with_the_roots() {
    let (server, home) = set_up("https://proxy.example.com:8888");
    let ca = ["aibridge", "proxy", "ca"];
    assert_eq!(home.run(&ca).success(), CA);
    assert_eq!(server.asked()[0].token.as_deref(), Some(TOKEN));
    let bundle = [&ca[..], &["--bundle", "--roots", "roots.pem"]].concat();
    assert_eq!(home.run(&bundle).success(), format!("{CA}{ROOT}"));
    let to_file = [&bundle[..], &["--output-file", "bundle.pem"]].concat();
    assert_eq!(home.run(&to_file).success(), "");
    let written = fs::read_to_string(home.path().join("bundle.pem")).unwrap();
    assert_eq!(written, format!("{CA}{ROOT}"));

    let home = home.with("SSL_CERT_FILE", "roots.pem");
    assert_eq!(
        home.run(&[&ca[..], &["--bundle"]].concat()).success(),
        format!("{CA}{ROOT}")
    );
}

#[test]
fn what_is_no_certificate_is_not_printed() {
    let (server, home) = set_up("https://proxy.example.com:8888");
    for text in [
        "",
        "\u{1b}[2J",
        "-----BEGIN CERTIFICATE-----\n\u{1b}[2J\n-----END CERTIFICATE-----\n",
    ] {
        server.on_text(
            "GET /aibridge/proxy/ca-cert.pem",
            200,
            text,
            &[("content-type", "application/x-pem-file")],
        );
        let stderr = home.run(&["aibridge", "proxy", "ca"]).failure(1);
        assert!(stderr.contains("no certificate in PEM form"), "{stderr}");
    }
    server.on(
        "GET /aibridge/proxy/ca-cert.pem",
        404,
        &json!({"message": "the AI Gateway Proxy is off"}),
    );
    let stderr = home.run(&["aibridge", "proxy", "ca"]).failure(1);
    assert_eq!(stderr, "error: the AI Gateway Proxy is off\n");
    let stderr = home
        .run(&["aibridge", "proxy", "ca", "--bundle", "--roots", "/no/such"])
        .failure(1);
    assert!(stderr.contains("the AI Gateway Proxy is off"), "{stderr}");
}

#[test]
fn a_shell_is_set_up() {
    let (_server, home) = set_up("https://proxy.example.com:8888");
    let ended = env(&home, &[]);
    assert_eq!(ended.stderr, "");
    insta::assert_snapshot!("aibridge_proxy_env", shown(&home, &ended.success()));
    for shell in ["fish", "powershell"] {
        let text = env(&home, &["--shell", shell]).success();
        insta::assert_snapshot!(format!("aibridge_proxy_env_{shell}"), shown(&home, &text));
    }
    let read = |name: &str| fs::read_to_string(home.config().join(name)).unwrap();
    assert_eq!(read("proxy-ca.pem"), CA);
    assert_eq!(read("proxy-bundle.pem"), format!("{CA}{ROOT}"));
}

#[test]
fn the_lines_do_in_a_shell_what_they_say() {
    let (server, home) = set_up("http://[::1]:8888");
    let home = home
        .with("NO_PROXY", "a b,'c'$(false),::1")
        .with("https_proxy", "http://old:1");
    let lines = env(&home, &[]).success();
    let script = format!(
        "{lines}printf '%s\\n' \"$HTTPS_PROXY\" \"$https_proxy\" \"$NO_PROXY\" \"${{no_proxy-unset}}\"; cat \"$SSL_CERT_FILE\""
    );
    let output = Command::new("sh")
        .args(["-ec", &script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    let proxy = format!("http://coder:{TOKEN}@[::1]:8888");
    assert!(server.url.starts_with("http://127.0.0.1:"));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{proxy}\n{proxy}\nlocalhost,127.0.0.1,::1,a b,'c'$(false)\nunset\n{CA}{ROOT}")
    );
}

#[test]
fn a_second_run_does_not_take_its_own_bundle_for_the_systems() {
    let (_server, home) = set_up("https://proxy.example.com:8888");
    env(&home, &[]).success();
    let bundle = home.config().join("proxy-bundle.pem");
    let home = home.with("SSL_CERT_FILE", bundle.to_str().unwrap());
    // What the machine of this test trusts is not known, and may be nothing.
    let bundled = ["aibridge", "proxy", "ca", "--bundle"];
    let elsewhere = [&["--global-config", ".config/../.config/coderv2"], &bundled[..]].concat();
    for command in [&bundled[..], &elsewhere] {
        let ended = home.run(command);
        assert!(!ended.stdout.contains("Um9vdA=="), "{}", ended.stdout);
    }
}

#[test]
fn the_token_that_is_given_is_used() {
    let (_server, home) = set_up("https://proxy.example.com");
    let token = "cdr_0000000000_0000000000000000000000000000";
    let stderr = env(&home, &["--token", token]).failure(1);
    assert!(!stderr.contains(token), "{stderr}");
    let home = home.with("CODER_SESSION_TOKEN", TOKEN);
    let text = env(&home, &[]).success();
    assert!(
        text.contains(&format!("'https://coder:{TOKEN}@proxy.example.com:443'")),
        "{text}"
    );
}

#[test]
fn without_tls_to_the_proxy_there_is_a_warning() {
    let (_server, home) = set_up("http://proxy.example.com:8888");
    let ended = env(&home, &[]);
    assert!(ended.stderr.contains("without TLS"), "{}", ended.stderr);
    ended.success();
}

#[test]
fn a_proxy_that_is_off_or_nowhere_is_an_error() {
    let (server, home) = set_up("socks5://proxy.example.com:1080");
    let stderr = env(&home, &[]).failure(1);
    assert!(stderr.contains("no usable address of its proxy"), "{stderr}");
    server.on("GET /aibridge/proxy", 200, &json!({"enabled": false}));
    let stderr = env(&home, &[]).failure(1);
    assert!(stderr.contains("is off"), "{stderr}");
    assert!(!home.config().join("proxy-ca.pem").exists());
}

#[test]
fn an_authority_is_renewed_where_the_server_is() {
    let home = Home::new()
        .with("CODER_AIBRIDGE_PROXY_ENABLED", "true")
        .with("CODER_AIBRIDGE_PROVIDER_0_TYPE", "openai-compat")
        .with(
            "CODER_AIBRIDGE_PROVIDER_0_BASE_URL",
            "https://llm.corp.example/v1",
        );
    let renew = ["aibridge", "proxy", "ca", "renew"];
    let said = home.run(&renew).success();
    let certificate = home.config().join("aibridge-proxy-ca.pem");
    let first = fs::read_to_string(&certificate).unwrap();
    for part in [
        certificate.to_str().unwrap(),
        "SHA-256 fingerprint: ",
        "For: api.anthropic.com, api.openai.com, llm.corp.example",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    home.run(&renew).success();
    assert_ne!(fs::read_to_string(&certificate).unwrap(), first);
    let old = home.config().join("aibridge-proxy-ca.pem.old");
    assert_eq!(fs::read_to_string(old).unwrap(), first);

    let off = [&renew[..], &["--ai-gateway-proxy-enabled=false"]].concat();
    let stderr = home.run(&off).failure(1);
    assert!(
        stderr.contains("the proxy is off in this configuration"),
        "{stderr}"
    );
    let key = home.config().join("aibridge-proxy-ca-key.pem");
    let home = home
        .with("CODER_AIBRIDGE_PROXY_CERT_FILE", certificate.to_str().unwrap())
        .with("CODER_AIBRIDGE_PROXY_KEY_FILE", key.to_str().unwrap());
    let stderr = home.run(&renew).failure(1);
    assert!(stderr.contains("files of your own"), "{stderr}");
    let stderr = home
        .run(&[&renew[..], &["--aibridge-proxy-listen-addr=x"]].concat())
        .failure(1);
    assert!(stderr.contains("--aibridge-proxy-listen-addr"), "{stderr}");
}
