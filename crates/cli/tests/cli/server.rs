//! `coder server` as far as it does not serve, and the documents that are made from it.

use serde_json::Value;

use crate::support::Home;

#[test]
fn every_fault_of_the_configuration_is_told_on_its_own_line() {
    let home = Home::new()
        .with("CODER_HTTP_ADDRESS", "nonsense")
        .with("CODER_AIBRIDGE_ALOW_BYOK", "false");
    let stderr = home.run(&["server", "--max-token-lifetime", "30"]).failure(1);
    assert_eq!(stderr.lines().count(), 4, "{stderr}");
    for name in [
        "CODER_HTTP_ADDRESS",
        "CODER_AIBRIDGE_ALOW_BYOK",
        "--max-token-lifetime",
    ] {
        assert!(stderr.contains(name), "{stderr}");
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_told_without_its_password() {
    let home = Home::new().with(
        "CODER_PG_CONNECTION_URL",
        "postgres://u:hunter2hunter2@127.0.0.1:1/db",
    );
    let ended = home.run(&["server", "--http-address", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1);
    let said = ended.stderr.lines().last().unwrap();
    assert!(
        said.starts_with("error: ") && said.contains("postgres://u@127.0.0.1:1/db"),
        "{said}"
    );
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn options_of_the_server_are_not_those_of_its_commands() {
    let stderr = Home::new()
        .run(&["server", "--database-url", "sqlite:a.db", "create-admin-user"])
        .failure(2);
    assert!(stderr.contains("create-admin-user"), "{stderr}");
    let stderr = Home::new().run(&["server", "--no-such-option"]).failure(2);
    assert!(stderr.contains("--no-such-option"), "{stderr}");
}

#[test]
fn the_options_are_documented() {
    let page = Home::new().run(&["internal", "docs", "options"]).success();
    assert!(page.starts_with("# Options of the server\n"), "{page}");
    let row = page
        .lines()
        .find(|line| line.contains("`CODER_HTTP_ADDRESS`"))
        .unwrap();
    assert!(
        row.starts_with("| `--http-address <ADDRESS>` |") && row.contains("`127.0.0.1:3000`"),
        "{row}"
    );
    let row = page
        .lines()
        .find(|line| line.contains("`CODER_AIBRIDGE_ALLOW_BYOK`"))
        .unwrap();
    assert!(row.contains("`--ai-gateway-allow-byok`"), "{row}");
    for line in page.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
    }
}

#[test]
fn the_api_is_described() {
    let text = Home::new().run(&["internal", "docs", "openapi"]).success();
    let document: Value = serde_json::from_str(&text).unwrap();
    for path in ["/api/v2/users/{user}/keys/tokens", "/api/v2/users/first"] {
        assert!(document["paths"][path]["post"].is_object(), "{path}");
    }
}
