//! Where to go after signing in: a path of this server, and never anywhere else.

use std::fmt;

use url::Url;

/// More than any page's own address.
const LONGEST: usize = 2048;

/// A path with its query that leads nowhere but to this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalPath(String);

// === impl LocalPath ===

impl LocalPath {
    /// The start page.
    pub(super) fn start() -> Self {
        Self("/".to_owned())
    }

    /// None for whatever a browser might take for an address elsewhere. What is returned is what the URL parser of
    /// browsers has made of it, so that both mean the same.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const BASE: &str = "http://local.invalid";
        let is_plain = text.len() <= LONGEST
            && text.starts_with('/')
            && !text.starts_with("//")
            && !text.contains('\\')
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            return None;
        }
        let base = Url::parse(BASE).ok()?;
        let url = base.join(text).ok()?;
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        // Dots may have gone from between slashes: `/.//other.example`.
        (url.origin() == base.origin() && !path.starts_with("//")).then_some(Self(path))
    }

    /// What was asked for, or the start page. Signing in and out again are no places to go back to.
    pub(super) fn parse_or_start(text: &str) -> Self {
        Self::parse(text)
            .filter(|path| {
                let path = path.0.split('?').next().unwrap_or_default();
                !matches!(path, "/login" | "/logout" | "/setup")
            })
            .unwrap_or_else(Self::start)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the page that signs in and comes back here.
    pub(super) fn login(&self) -> String {
        if self.0 == "/" {
            return "/login".to_owned();
        }
        let next: String = url::form_urlencoded::byte_serialize(self.0.as_bytes()).collect();
        format!("/login?next={next}")
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths() {
        for (given, path) in [
            ("/settings/tokens", "/settings/tokens"),
            ("/cli-auth?port=1&state=a%20b", "/cli-auth?port=1&state=a%20b"),
            ("/a/../b", "/b"),
            ("/a#b", "/a"),
            ("/?next=//evil.example", "/?next=//evil.example"),
        ] {
            assert_eq!(LocalPath::parse(given).unwrap().as_str(), path);
        }
        for bad in [
            "",
            "evil.example",
            "https://evil.example/",
            "//evil.example/",
            "///evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /settings",
            "/é",
            "javascript:alert(1)",
            "data:text/html,x",
            "@evil.example",
            &format!("/{}", "a".repeat(LONGEST)),
        ] {
            assert_eq!(LocalPath::parse(bad), None, "{bad:?}");
        }
        for no_place in ["/login", "/logout", "/login?next=/logout", "//evil.example"] {
            assert_eq!(LocalPath::parse_or_start(no_place).as_str(), "/");
        }
    }

    #[test]
    fn the_way_back_survives_signing_in() {
        let path = LocalPath::parse("/cli-auth?port=1&state=a+b").unwrap();
        let login = Url::parse("http://local.invalid")
            .unwrap()
            .join(&path.login())
            .unwrap();
        let next = login.query_pairs().find(|(name, _)| name == "next").unwrap().1;
        assert_eq!(LocalPath::parse(&next), Some(path));
        assert_eq!(LocalPath::start().login(), "/login");
    }
}
