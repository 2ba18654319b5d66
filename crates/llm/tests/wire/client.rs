//! Clients as they were seen on the wire, and what pretends to be one.

use std::collections::HashMap;

use gateway_llm::client::{Agent, Client, detect, session_id};
use gateway_llm::peek::{RequestView, peek};
use gateway_llm::route::Api;
use proptest::prelude::*;
use serde_json::json;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn detect_in(headers: Headers<'_>) -> Client {
    let headers: HashMap<&str, &str> = headers.iter().copied().collect();
    detect(|name| headers.get(name).copied())
}

fn session_in(agent: Agent, headers: Headers<'_>, view: &RequestView) -> Option<String> {
    let headers: HashMap<&str, &str> = headers.iter().copied().collect();
    session_id(agent, |name| headers.get(name).copied(), view)
}

#[test]
fn user_agents() {
    for (user_agent, name, version) in [
        ("claude-cli/2.1.330 (external, sdk-cli)", "Claude Code", "2.1.330"),
        ("claude-cli/2.1.330 (external, cli)", "Claude Code", "2.1.330"),
        ("claude-code/2.1.330", "Claude Code", "2.1.330"),
        ("Claude", "Claude Code", ""),
        ("claude (a/1; b)", "Claude Code", ""),
        (
            "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb (codex_exec; 0.169.0)",
            "Codex",
            "0.169.0",
        ),
        ("codex_cli_rs/0.169.0 (Mac OS 26.1.0; arm64)", "Codex", "0.169.0"),
        (
            "opencode/1.18.33 ai-sdk/provider-utils/4.0.46 runtime/bun/1.3.14",
            "OpenCode",
            "1.18.33",
        ),
        (
            "opencode/1.18.33 (linux 6.1.0; x64) ai-sdk/openai",
            "OpenCode",
            "1.18.33",
        ),
        ("GitHubCopilotChat/0.35.0", "GitHub Copilot (VS Code)", "0.35.0"),
        ("copilot/1.0.102 (linux)", "GitHub Copilot (CLI)", "1.0.102"),
        ("mux/0.9", "Xum", "0.9"),
        ("Xum/1.0.0-beta.2;x", "Xum", "1.0.0-beta.2"),
        ("Zed/0.214.3+stable (linux; x86_64)", "Zed", "0.214.3+stable"),
        ("Kilo-Code/4.1", "Kilo Code", "4.1"),
        ("Roo-Code/3.36", "Roo Code", "3.36"),
        ("coder-agents/2.37.0", "Coder Agents", "2.37.0"),
        ("Charm Crush/0.20 (https://charm.land)", "Charm Crush", "0.20"),
        ("charm-crush/0.21", "Charm Crush", "0.21"),
        ("junie:cli/2144.7", "Junie", "2144.7"),
        ("Junie:", "Junie", ""),
        // Nothing is said about these.
        ("Anthropic/Python 2.12.0", "Unknown", ""),
        ("Anthropic/JS 0.94.0", "Unknown", ""),
        ("OpenAI/JS 6.26.0", "Unknown", ""),
        ("langchain-anthropic/1.7.7", "Unknown", ""),
        ("litellm/1.106.2", "Unknown", ""),
        ("ai-sdk/openai-compatible/1.0.0", "Unknown", ""),
        ("my-opencode/1.0", "Unknown", ""),
        ("zed", "Unknown", ""),
        ("", "Unknown", ""),
        ("clau\u{e9}", "Unknown", ""),
    ] {
        let client = detect_in(&[("user-agent", user_agent)]);
        assert_eq!(client.agent.to_string(), name, "{user_agent}");
        assert_eq!(client.version.unwrap_or_default(), version, "{user_agent}");
    }
}

#[test]
fn versions_are_cut_between_characters() {
    let user_agent = format!("claude-cli/1{}", "\u{e9}".repeat(200));
    let version = detect_in(&[("user-agent", &user_agent)]).version.unwrap();
    assert_eq!(version, format!("1{}", "\u{e9}".repeat(31)));
}

#[test]
fn other_headers_betray_a_client() {
    let sdk = ("user-agent", "OpenAI/JS 5.20.1");
    for (headers, agent) in [
        (
            &[
                sdk,
                ("x-initiator", "user"),
                ("x-interaction-type", "conversation-agent"),
            ][..],
            Agent::CopilotCli,
        ),
        (&[sdk, ("x-initiator", "user")], Agent::Unknown),
        (&[sdk, ("originator", "Kilo-Code")], Agent::KiloCode),
        (&[sdk, ("originator", "roo-code")], Agent::RooCode),
        (&[sdk, ("originator", "opencode")], Agent::Unknown),
        (&[sdk, ("x-cursor-client-version", "")], Agent::Cursor),
        (&[("originator", "kilo-code")], Agent::KiloCode),
    ] {
        let client = detect_in(headers);
        assert_eq!((client.agent, client.version), (agent, None), "{headers:?}");
    }
    let opencode = detect_in(&[
        ("user-agent", "opencode/1.18.33"),
        ("x-initiator", "agent"),
        ("x-interaction-type", "conversation-agent"),
    ]);
    assert_eq!(opencode.agent, Agent::OpenCode, "the user agent is asked first");
}

#[test]
fn each_client_has_its_own_session_header() {
    let none = RequestView::default();
    for (agent, headers, session) in [
        (
            Agent::ClaudeCode,
            &[("x-claude-code-session-id", "a")][..],
            Some("a"),
        ),
        (
            Agent::Codex,
            &[("session_id", "b"), ("session-id", " a ")],
            Some("a"),
        ),
        (
            Agent::Codex,
            &[("session_id", "b"), ("session-id", " ")],
            Some("b"),
        ),
        (Agent::Xum, &[("x-mux-workspace-id", "a")], Some("a")),
        (Agent::CopilotVsCode, &[("x-interaction-id", "a")], Some("a")),
        (Agent::CopilotCli, &[("x-client-session-id", "a")], Some("a")),
        (Agent::CopilotCli, &[("x-interaction-id", "a")], None),
        (Agent::KiloCode, &[("x-kilocode-taskid", "a")], Some("a")),
        (Agent::CoderAgents, &[("x-coder-chat-id", "a")], Some("a")),
        (Agent::OpenCode, &[("x-session-id", "a")], Some("a")),
        (
            Agent::OpenCode,
            &[
                ("x-session-id", "c"),
                ("x-session-affinity", "b"),
                ("x-opencode-session", "a"),
            ],
            Some("a"),
        ),
        (
            Agent::Unknown,
            &[("session_id", "a"), ("x-session-id", "a")],
            None,
        ),
        (Agent::Zed, &[("session-id", "a")], None),
    ] {
        assert_eq!(
            session_in(agent, headers, &none).as_deref(),
            session,
            "{agent} {headers:?}"
        );
    }
}

#[test]
fn claude_code_also_names_its_session_in_the_body() {
    let body =
        json!({"metadata": {"user_id": json!({"device_id": "d", "session_id": "in-body"}).to_string()}});
    let view = peek(Api::Messages, body.to_string().as_bytes());
    let header = [("x-claude-code-session-id", "in-header")];
    let in_header = session_in(Agent::ClaudeCode, &header, &view);
    assert_eq!(in_header.as_deref(), Some("in-header"));
    assert_eq!(
        session_in(Agent::ClaudeCode, &[("x-claude-code-session-id", "")], &view).as_deref(),
        Some("in-body")
    );
    assert_eq!(session_in(Agent::Unknown, &[], &view), None);
}

proptest! {
    #[test]
    fn what_is_kept_is_bounded_and_can_be_stored(
        prefix in prop::sample::select(vec!["claude-cli/", "JUNIE:x/", "charm crush/", ""]),
        rest in "(\0|\\PC|[ a/;()]){0,300}",
    ) {
        let user_agent = format!("{prefix}{rest}");
        let headers = [("user-agent", user_agent.as_str()), ("x-claude-code-session-id", rest.as_str())];
        let client = detect_in(&headers);
        let session = session_in(Agent::ClaudeCode, &headers, &RequestView::default());
        for (text, max) in [(client.version, 64), (session.clone(), 256)] {
            if let Some(text) = text {
                prop_assert!(!text.is_empty() && text.len() <= max && !text.contains('\0'), "{:?}", text);
            }
        }
        prop_assert_eq!(session.is_none(), rest.trim().is_empty());
    }
}
