//! The help of every command, found by walking the tree as a reader would.

use crate::support::Home;

/// Every visible command below `path`, itself included, as the help lists them.
fn walk(home: &Home, path: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = home.run(&arguments).success();
    let children: Vec<String> = commands(&help);
    found.push((path.to_vec(), help));
    for child in children {
        let mut below = path.to_vec();
        below.push(child);
        walk(home, &below, found);
    }
}

/// The names under `Commands:`. Lines that continue a description are indented further.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn help_of_every_command() {
    let mut found = Vec::new();
    walk(&Home::new(), &[], &mut found);
    let names: Vec<String> = found.iter().map(|(path, _)| path.join(" ")).collect();
    for expected in [
        "tokens create",
        "users suspend",
        "server create-admin-user",
        "login token",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    for (path, help) in found {
        let name = std::iter::once("coder".to_owned())
            .chain(path)
            .collect::<Vec<_>>()
            .join("_");
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

#[test]
fn aliases_are_the_same_commands() {
    let home = Home::new();
    let help = |arguments: &[&str]| {
        let mut arguments = arguments.to_vec();
        arguments.push("--help");
        home.run(&arguments).success()
    };
    for (alias, command) in [
        (vec!["token"], vec!["tokens"]),
        (vec!["user"], vec!["users"]),
        (vec!["tokens", "ls"], vec!["tokens", "list"]),
        (vec!["token", "rm"], vec!["tokens", "remove"]),
        (vec!["tokens", "delete"], vec!["tokens", "remove"]),
        (vec!["audit", "ls"], vec!["audit", "list"]),
        (vec!["ai-gateway", "usage"], vec!["aibridge", "usage"]),
        (
            vec!["aibridge", "session", "ls"],
            vec!["aibridge", "sessions", "list"],
        ),
        (vec!["users", "ls"], vec!["users", "list"]),
        (vec!["user", "rm"], vec!["users", "delete"]),
        (vec!["users", "active"], vec!["users", "activate"]),
    ] {
        assert_eq!(help(&alias), help(&command), "{alias:?}");
    }
}

#[test]
fn help_does_not_show_what_variables_hold() {
    let home = Home::new()
        .with("CODER_SESSION_TOKEN", "hunter2hunter2")
        .with("CODER_FIRST_USER_PASSWORD", "hunter2hunter2")
        .with("CODER_USER_PASSWORD", "hunter2hunter2")
        .with("CODER_PG_CONNECTION_URL", "postgres://a:hunter2hunter2@h/d")
        .with("CODER_AIBRIDGE_OPENAI_KEY", "hunter2hunter2");
    for path in [
        &["login"][..],
        &["users", "create"],
        &["server"],
        &["reset-password"],
    ] {
        let mut arguments = path.to_vec();
        arguments.push("--help");
        assert!(!home.run(&arguments).success().contains("hunter2"), "{path:?}");
    }
}

#[test]
fn a_group_alone_shows_its_help_and_is_wrong_usage() {
    let ended = Home::new().run(&["tokens"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("Usage: coder tokens"), "{}", ended.stderr);
}

#[test]
fn the_version_is_a_result() {
    let version = Home::new().run(&["--version"]).success();
    assert_eq!(version, format!("coder {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn documents_describe_every_command() {
    let home = Home::new();
    let page = home.run(&["internal", "docs", "cli"]).success();
    let mut found = Vec::new();
    walk(&home, &[], &mut found);
    for (path, _) in found.iter().filter(|(path, _)| !path.is_empty()) {
        let heading = format!("\n## coder {}\n", path.join(" "));
        assert!(page.contains(&heading), "{heading:?}");
    }
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells = line.replace("\\|", "").matches('|').count();
        assert_eq!(cells, 5, "{line}");
    }
    assert!(
        home.run(&["--help"]).success().find("internal").is_none(),
        "it is hidden"
    );
}
