//! Ready-made lines that point a client at this gateway, with a token in them.

use super::parts::CopyBox;

/// How to set up one client.
pub(super) struct Snippet {
    pub(super) client: &'static str,
    /// Where the lines go.
    pub(super) hint: &'static str,
    pub(super) lines: CopyBox,
}

/// Tokens are of letters, digits and underscores, and an access URL is what a URL parser has written: neither has
/// anything in it that a shell, TOML or JSON would take for more than text.
pub(super) fn snippets(access_url: &str, token: &str) -> Vec<Snippet> {
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
    vec![
        snippet(
            "Claude Code",
            "claude-code",
            "In the shell that starts it, or in your shell's profile.",
            format!("export ANTHROPIC_BASE_URL={base}/anthropic\nexport ANTHROPIC_AUTH_TOKEN={token}"),
        ),
        snippet(
            "Codex",
            "codex",
            "In ~/.codex/config.toml; the last line in the shell.",
            codex(&base, token),
        ),
        snippet(
            "OpenCode",
            "opencode",
            "In opencode.json.",
            opencode(&base, token),
        ),
        snippet(
            "Anthropic SDKs (Python, TypeScript)",
            "anthropic-sdk",
            "In the environment of the program. The address goes without /v1.",
            format!("export ANTHROPIC_BASE_URL={base}/anthropic\nexport ANTHROPIC_API_KEY={token}"),
        ),
        snippet(
            "OpenAI SDKs (Python, TypeScript)",
            "openai-sdk",
            "In the environment of the program.",
            format!("export OPENAI_BASE_URL={base}/openai/v1\nexport OPENAI_API_KEY={token}"),
        ),
    ]
}

fn codex(base: &str, token: &str) -> String {
    format!(
        "model_provider = \"gateway\"\n\n\
         [model_providers.gateway]\n\
         name = \"AI gateway\"\n\
         base_url = \"{base}/openai/v1\"\n\
         env_key = \"OPENAI_API_KEY\"\n\
         wire_api = \"responses\"\n\n\
         # in the shell\n\
         export OPENAI_API_KEY={token}"
    )
}

fn opencode(base: &str, token: &str) -> String {
    format!(
        r#"{{
  "$schema": "https://opencode.ai/config.json",
  "provider": {{
    "anthropic": {{ "options": {{ "baseURL": "{base}/anthropic/v1", "apiKey": "{token}" }} }},
    "openai": {{ "options": {{ "baseURL": "{base}/openai/v1", "apiKey": "{token}" }} }}
  }}
}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_the_data_plane_serves() {
        for url in ["https://ai.example.com", "https://ai.example.com/"] {
            for snippet in snippets(url, "cdr_x") {
                assert!(
                    snippet
                        .lines
                        .text
                        .contains("https://ai.example.com/api/v2/aibridge/")
                );
                assert!(snippet.lines.text.contains("cdr_x"), "{}", snippet.client);
            }
        }
        let json: serde_json::Value = serde_json::from_str(&opencode("https://x/y", "t")).unwrap();
        assert_eq!(
            json["provider"]["openai"]["options"]["baseURL"],
            "https://x/y/openai/v1"
        );
    }
}
