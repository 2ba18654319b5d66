//! Ready-made lines that point a client at this gateway, with a token in them.

use gateway_core::{ApiToken, ProviderKind};

use super::pages::proxy;
use super::parts::CopyBox;
use crate::api::ApiState;

/// How to set up one client.
pub(super) struct Snippet {
    pub(super) client: &'static str,
    /// Where the lines go.
    pub(super) hint: &'static str,
    pub(super) lines: CopyBox,
}

/// Names of the providers that clients are pointed at: the first of its kind.
#[derive(Clone, Copy)]
struct Names<'a> {
    anthropic: Option<&'a str>,
    openai: Option<&'a str>,
}

/// For what this server serves.
pub(super) fn snippets(state: &ApiState, token: &ApiToken) -> Vec<Snippet> {
    let first = |kind| {
        let mut providers = state.providers.iter();
        providers
            .find(|one| one.kind == kind)
            .map(|one| one.name.as_str())
    };
    let names = Names {
        anthropic: first(ProviderKind::Anthropic),
        openai: first(ProviderKind::OpenAi).or_else(|| first(ProviderKind::OpenAiCompat)),
    };
    let mut snippets = with_base_url(&state.access_url, token.expose(), names);
    let proxy = state
        .proxy
        .as_ref()
        .and_then(|facts| facts.description.url.as_deref());
    snippets.extend(proxy.map(|url| {
        Snippet {
            client: "Others, through the proxy",
            hint: "For what cannot set a base URL, in bash or zsh. The page of the proxy has the certificate, and lines \
                   for other shells.",
            lines: CopyBox {
                id: "proxy",
                label: "Others, through the proxy",
                text: proxy::posix(url, &state.access_url, token.expose()),
            },
        }
    }));
    snippets
}

/// Tokens are of letters, digits and underscores, and an access URL is what a URL parser has written: neither has
/// anything in it that a shell, TOML or JSON would take for more than text.
fn with_base_url(access_url: &str, token: &str, names: Names<'_>) -> Vec<Snippet> {
    let base = format!("{}/api/v2/aibridge", access_url.trim_end_matches('/'));
    let snippet = |client, id, hint, text| Snippet {
        client,
        hint,
        lines: CopyBox {
            id,
            label: client,
            text,
        },
    };
    let mut snippets = Vec::new();
    if let Some(name) = names.anthropic {
        snippets.push(snippet(
            "Claude Code",
            "claude-code",
            "In the shell that starts it, or in your shell's profile.",
            format!("export ANTHROPIC_BASE_URL={base}/{name}\nexport ANTHROPIC_AUTH_TOKEN={token}"),
        ));
    }
    if let Some(name) = names.openai {
        snippets.push(snippet(
            "Codex",
            "codex",
            "In ~/.codex/config.toml; the last line in the shell.",
            codex(&base, name, token),
        ));
    }
    if names.anthropic.is_some() || names.openai.is_some() {
        snippets.push(snippet(
            "OpenCode",
            "opencode",
            "In opencode.json.",
            opencode(&base, names, token),
        ));
    }
    if let Some(name) = names.anthropic {
        snippets.push(snippet(
            "Anthropic SDKs (Python, TypeScript)",
            "anthropic-sdk",
            "In the environment of the program. The address goes without /v1.",
            format!("export ANTHROPIC_BASE_URL={base}/{name}\nexport ANTHROPIC_API_KEY={token}"),
        ));
    }
    if let Some(name) = names.openai {
        snippets.push(snippet(
            "OpenAI SDKs (Python, TypeScript)",
            "openai-sdk",
            "In the environment of the program.",
            format!("export OPENAI_BASE_URL={base}/{name}/v1\nexport OPENAI_API_KEY={token}"),
        ));
    }
    snippets
}

fn codex(base: &str, name: &str, token: &str) -> String {
    format!(
        "model_provider = \"gateway\"\n\n\
         [model_providers.gateway]\n\
         name = \"AI gateway\"\n\
         base_url = \"{base}/{name}/v1\"\n\
         env_key = \"OPENAI_API_KEY\"\n\
         wire_api = \"responses\"\n\n\
         # in the shell\n\
         export OPENAI_API_KEY={token}"
    )
}

/// `anthropic` and `openai` are the client's own names for the formats.
fn opencode(base: &str, names: Names<'_>, token: &str) -> String {
    let formats = [("anthropic", names.anthropic), ("openai", names.openai)];
    let providers: Vec<String> = formats
        .iter()
        .filter_map(|(format, name)| {
            let name = (*name)?;
            Some(format!(
                r#"    "{format}": {{ "options": {{ "baseURL": "{base}/{name}/v1", "apiKey": "{token}" }} }}"#
            ))
        })
        .collect();
    format!(
        "{{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"provider\": {{\n{}\n  }}\n}}",
        providers.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'static> = Names {
        anthropic: Some("claude"),
        openai: Some("gpt"),
    };

    #[test]
    fn addresses_are_those_that_the_data_plane_serves() {
        for url in ["https://ai.example.com", "https://ai.example.com/"] {
            let snippets = with_base_url(url, "cdr_x", NAMES);
            assert_eq!(snippets.len(), 5);
            for snippet in snippets {
                let text = snippet.lines.text;
                assert!(
                    text.contains("https://ai.example.com/api/v2/aibridge/claude")
                        || text.contains("https://ai.example.com/api/v2/aibridge/gpt/v1"),
                    "{text}"
                );
                assert!(text.contains("cdr_x"), "{}", snippet.client);
            }
        }
    }

    #[test]
    fn what_is_not_served_is_left_out() {
        let openai = Names {
            anthropic: None,
            ..NAMES
        };
        let clients: Vec<&str> = with_base_url("https://x", "t", openai)
            .iter()
            .map(|snippet| snippet.client)
            .collect();
        assert_eq!(clients, ["Codex", "OpenCode", "OpenAI SDKs (Python, TypeScript)"]);
        for (names, both) in [(NAMES, true), (openai, false)] {
            let json: serde_json::Value = serde_json::from_str(&opencode("https://x/y", names, "t")).unwrap();
            let providers = &json["provider"];
            assert_eq!(providers["openai"]["options"]["baseURL"], "https://x/y/gpt/v1");
            assert_eq!(providers.get("anthropic").is_some(), both);
        }
        let none = Names {
            anthropic: None,
            openai: None,
        };
        assert!(with_base_url("https://x", "t", none).is_empty());
    }
}
