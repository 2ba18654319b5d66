//! Completion: the scripts, their installation, and what they ask the program for.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::{FakeServer, Home, key, user};

/// What bash would be offered for the last word.
fn offered(home: &Home, words: &[&str]) -> Vec<String> {
    let mut arguments = vec!["--", "coder"];
    arguments.extend(words);
    let output = home
        .command(&arguments)
        .env("COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_script_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let home = Home::new();
        let script = home.run(&["completion", shell]).success();
        let program = env!("CARGO_BIN_EXE_coder");
        assert!(script.contains(program), "{script}");
        insta::assert_snapshot!(
            format!("completion_{shell}"),
            script.replace(program, "/usr/bin/coder")
        );
        let by_flag = home.run(&["completion", "--shell", shell]).success();
        assert_eq!(script, by_flag);
    }
    let of_the_user = Home::new()
        .with("SHELL", "/usr/bin/zsh")
        .run(&["completion"])
        .success();
    assert!(of_the_user.starts_with("#compdef coder"), "{of_the_user}");
}

#[test]
fn bash_understands_the_script() {
    let home = Home::new();
    let script = home.path().join("script");
    fs::write(&script, home.run(&["completion", "bash"]).success()).unwrap();
    let output = Command::new("bash")
        .args(["--norc", "-c", "source \"$0\" && complete -p coder"])
        .arg(&script)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("_clap_complete_coder"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn installing_twice_leaves_one_block() {
    for (shell, file) in [
        ("bash", ".bashrc"),
        ("zsh", ".zshrc"),
        ("fish", ".config/fish/completions/coder.fish"),
        (
            "powershell",
            ".config/powershell/Microsoft.PowerShell_profile.ps1",
        ),
    ] {
        let home = Home::new();
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "# mine\n").unwrap();
        for _ in 0..2 {
            let said = home.run(&["completion", shell, "--install"]).success();
            assert!(said.contains(file), "{said}");
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# mine\n"), "{text}");
        assert_eq!(text.matches("# >>> coder completion >>>").count(), 1, "{text}");
        assert!(text.contains(env!("CARGO_BIN_EXE_coder")), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_linked_start_file_stays_a_link_and_keeps_its_mode() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = Home::new();
    let real = home.path().join("dotfiles");
    fs::write(&real, "# mine").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, home.path().join(".bashrc")).unwrap();
    home.run(&["completion", "bash", "--install"]).success();
    assert!(home.path().join(".bashrc").is_symlink());
    assert!(
        fs::read_to_string(&real)
            .unwrap()
            .starts_with("# mine\n# >>> coder")
    );
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn commands_options_and_values() {
    let home = Home::new();
    assert_eq!(offered(&home, &["tok"]), ["tokens"]);
    assert_eq!(offered(&home, &["completion", "p"]), ["powershell"]);
    assert!(offered(&home, &["tokens", "create", "--sc"]).contains(&"--scope".to_owned()));
    assert!(!offered(&home, &[""]).contains(&"internal".to_owned()));
}

#[test]
fn token_names_come_from_the_server_if_a_shell_takes_them_as_they_are() {
    let server = FakeServer::start();
    server.on(
        "GET /users/me/keys/tokens?include_expired=true",
        200,
        &json!([
            key("0123456789", "my-ai-token", "alice"),
            key("9999999999", "$(touch x)", "alice"),
            key("8888888888", "other", "alice"),
        ]),
    );
    let home = Home::logged_in(&server);
    let mut names = offered(&home, &["tokens", "rm", ""]);
    names.retain(|name| !name.starts_with('-'));
    assert_eq!(names, ["my-ai-token", "9999999999", "other"]);
    assert_eq!(offered(&home, &["tokens", "view", "my"]), ["my-ai-token"]);
}

#[test]
fn usernames_come_from_the_server() {
    let server = FakeServer::start();
    server.on(
        "GET /users?limit=200",
        200,
        &json!({"users": [user("alice", &[]), user("bob", &[])], "count": 2}),
    );
    // Logged in by what is typed on the line alone.
    let home = Home::new().with("CODER_SESSION_TOKEN", crate::support::TOKEN);
    assert_eq!(
        offered(&home, &["--url", &server.url, "users", "suspend", "b"]),
        ["bob"]
    );
    assert_eq!(
        offered(&home, &["--url", &server.url, "tokens", "create", "--user", "al"]),
        ["alice"]
    );
}

#[test]
fn failures_are_silent() {
    let server = FakeServer::start();
    let home = Home::logged_in(&server);
    assert!(offered(&home, &["tokens", "rm", "x"]).is_empty());
    assert!(offered(&Home::new(), &["tokens", "rm", "x"]).is_empty());
}

#[test]
fn names_in_records_are_asked_of_the_server() {
    let server = FakeServer::start();
    server
        .on(
            "GET /aibridge/models?limit=200",
            200,
            &json!(["claude-opus-4-1", "$(id)", "gpt-5"]),
        )
        .on(
            "GET /aibridge/clients?limit=200",
            200,
            &json!(["Claude Code", "Codex"]),
        )
        .on(
            "GET /aibridge/usage?group_by=provider",
            200,
            &json!({"results": [{
                "provider_name": "openai",
                "requests": 1,
                "errors": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_write_input_tokens": 0,
            }]}),
        );
    let home = Home::logged_in(&server);
    for (option, names) in [
        ("--model", &["claude-opus-4-1", "gpt-5"][..]),
        ("--client", &["Codex"]),
        ("--provider", &["openai"]),
    ] {
        let words = ["aibridge", "interceptions", "list", option, ""];
        assert_eq!(offered(&home, &words), names, "{option}");
    }
}
