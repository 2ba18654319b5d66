//! Which client a request comes from, and to which session of that client it belongs.
//!
//! Both are what the client says of itself: good for sorting records, never for a decision. Only headers are read, and
//! of the body what [`crate::peek`] has found. SDKs and what is built on them without a name of its own are unknown.

use crate::peek::RequestView;
use crate::peek::text::id;

/// The longest version that is kept, in bytes.
const VERSION_MAX: usize = 64;

/// A known program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Agent {
    Xum,
    ClaudeCode,
    Codex,
    Zed,
    CopilotVsCode,
    CopilotCli,
    KiloCode,
    RooCode,
    CoderAgents,
    CharmCrush,
    Cursor,
    OpenCode,
    Junie,
    #[default]
    Unknown,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub agent: Agent,
    /// As the user agent has it, cut to 64 bytes; none if the client was told by other headers.
    pub version: Option<String>,
}

/// How a client gives itself away.
enum Sign {
    /// The user agent begins with this, in any case.
    UserAgent(&'static str),
    /// This header has this value, in any case.
    Header(&'static str, &'static str),
    /// All of these headers are there.
    Headers(&'static [&'static str]),
}

/// The first that fits decides.
const SIGNS: [(Sign, Agent); 18] = [
    (Sign::UserAgent("mux/"), Agent::Xum),
    (Sign::UserAgent("xum/"), Agent::Xum),
    // `claude-cli/`, and `claude-code/` for calls on the side.
    (Sign::UserAgent("claude"), Agent::ClaudeCode),
    // `codex_exec/`, `codex_cli_rs/`, `codex_vscode/` and others.
    (Sign::UserAgent("codex"), Agent::Codex),
    (Sign::UserAgent("zed/"), Agent::Zed),
    (Sign::UserAgent("githubcopilotchat/"), Agent::CopilotVsCode),
    (Sign::UserAgent("copilot/"), Agent::CopilotCli),
    (Sign::UserAgent("kilo-code/"), Agent::KiloCode),
    (Sign::Header("originator", "kilo-code"), Agent::KiloCode),
    (Sign::UserAgent("roo-code/"), Agent::RooCode),
    (Sign::Header("originator", "roo-code"), Agent::RooCode),
    (Sign::UserAgent("coder-agents/"), Agent::CoderAgents),
    (Sign::UserAgent("charm crush/"), Agent::CharmCrush),
    (Sign::UserAgent("charm-crush/"), Agent::CharmCrush),
    (Sign::Headers(&["x-cursor-client-version"]), Agent::Cursor),
    (Sign::UserAgent("opencode/"), Agent::OpenCode),
    (Sign::UserAgent("junie:"), Agent::Junie),
    // With a provider of the user's choice it has the user agent of the SDK. Last, since other clients that speak to
    // GitHub's own models send these headers too.
    (
        Sign::Headers(&["x-initiator", "x-interaction-type"]),
        Agent::CopilotCli,
    ),
];

/// Tells the client by its headers. `header` is asked for names in lower case.
pub fn detect<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Client {
    let user_agent = header("user-agent").unwrap_or_default();
    for (sign, agent) in SIGNS {
        let version = match sign {
            Sign::UserAgent(prefix) => match behind(user_agent, prefix) {
                Some(rest) => version(prefix, rest),
                None => continue,
            },
            Sign::Header(name, value)
                if header(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value)) =>
            {
                None
            }
            Sign::Headers(names) if names.iter().all(|name| header(name).is_some()) => None,
            Sign::Header(..) | Sign::Headers(_) => continue,
        };
        return Client { agent, version };
    }
    Client::default()
}

/// The session as this client names it: not empty, cut to 256 bytes. Two clients may name theirs alike, and nothing
/// keeps one user from naming another's. `header` is asked for names in lower case; `view` is of the body, if there is
/// one.
pub fn session_id<'h>(
    agent: Agent,
    header: impl Fn(&str) -> Option<&'h str>,
    view: &RequestView,
) -> Option<String> {
    let in_body = view
        .session_in_body
        .as_deref()
        .filter(|_| agent == Agent::ClaudeCode);
    agent
        .session_headers()
        .iter()
        .find_map(|name| header(name).and_then(id))
        .or_else(|| in_body.and_then(id))
}

/// What follows a prefix that is written in lower case.
fn behind<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (beginning, rest) = text.split_at_checked(prefix.len())?;
    beginning.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The version behind the slash of the product, `rest` being what follows `prefix` in the user agent.
fn version(prefix: &str, rest: &str) -> Option<String> {
    let is_end = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | ',' | ';');
    let token = rest.split(is_end).next()?;
    let version = if prefix.ends_with('/') {
        token
    } else {
        token.split_once('/')?.1
    };
    let mut version = id(version)?;
    version.truncate(version.floor_char_boundary(VERSION_MAX));
    Some(version)
}

// === impl Agent ===

impl Agent {
    /// The name under which the client is recorded.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xum => "Xum",
            Self::ClaudeCode => "Claude Code",
            Self::Codex => "Codex",
            Self::Zed => "Zed",
            Self::CopilotVsCode => "GitHub Copilot (VS Code)",
            Self::CopilotCli => "GitHub Copilot (CLI)",
            Self::KiloCode => "Kilo Code",
            Self::RooCode => "Roo Code",
            Self::CoderAgents => "Coder Agents",
            Self::CharmCrush => "Charm Crush",
            Self::Cursor => "Cursor",
            Self::OpenCode => "OpenCode",
            Self::Junie => "Junie",
            Self::Unknown => "Unknown",
        }
    }

    /// The headers that may hold the session, the first that does counts.
    const fn session_headers(self) -> &'static [&'static str] {
        match self {
            Self::Xum => &["x-mux-workspace-id"],
            Self::ClaudeCode => &["x-claude-code-session-id"],
            // The latter in older versions.
            Self::Codex => &["session-id", "session_id"],
            Self::CopilotVsCode => &["x-interaction-id"],
            Self::CopilotCli => &["x-client-session-id"],
            Self::KiloCode => &["x-kilocode-taskid"],
            Self::CoderAgents => &["x-coder-chat-id"],
            Self::OpenCode => &["x-opencode-session", "x-session-affinity", "x-session-id"],
            Self::Zed | Self::RooCode | Self::CharmCrush | Self::Cursor | Self::Junie | Self::Unknown => &[],
        }
    }
}

impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
