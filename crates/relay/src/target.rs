//! What a path on the gateway names: the provider instance and the rest.

/// The canonical prefix of the data plane and the one that clients may use just as well.
pub const PREFIXES: [&str; 2] = ["/api/v2/aibridge/", "/api/v2/ai-gateway/"];

/// A path below one of the prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The first segment, as it stands in the path.
    pub provider: &'a str,
    /// All that follows it: empty, or beginning with a slash.
    pub rest: &'a str,
}

// === impl Target ===

impl<'a> Target<'a> {
    /// None for a path outside of the data plane.
    pub fn parse(path: &'a str) -> Option<Self> {
        let below = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?;
        let end = below.find('/').unwrap_or(below.len());
        let (provider, rest) = below.split_at(end);
        Some(Self { provider, rest })
    }

    /// The base URL itself, which clients probe to see whether somebody is there.
    pub fn is_base(&self) -> bool {
        self.rest.is_empty() || self.rest == "/"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_after_the_instance() {
        let parse = |path| Target::parse(path).map(|target| (target.provider, target.rest));
        assert_eq!(
            parse("/api/v2/aibridge/anthropic/v1/messages"),
            Some(("anthropic", "/v1/messages"))
        );
        assert_eq!(
            parse("/api/v2/ai-gateway/openai/v1/models"),
            Some(("openai", "/v1/models"))
        );
        assert_eq!(parse("/api/v2/aibridge/anthropic"), Some(("anthropic", "")));
        assert_eq!(parse("/api/v2/aibridge/anthropic/"), Some(("anthropic", "/")));
        assert_eq!(parse("/api/v2/aibridge/"), Some(("", "")));
        assert_eq!(parse("/api/v2/aibridge//v1/messages"), Some(("", "/v1/messages")));
        for outside in [
            "/",
            "/api/v2/aibridge",
            "/api/v2/users",
            "/API/v2/aibridge/a",
            "//api/v2/aibridge/a",
        ] {
            assert_eq!(parse(outside), None, "{outside}");
        }
    }
}
