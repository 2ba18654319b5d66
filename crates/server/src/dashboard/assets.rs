//! Style sheet, script and icon: embedded in the binary, and served under names with a digest of their content, so that
//! browsers may keep them for ever.

use std::fmt::Write as _;
use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::error::PageError;

const STYLE: &str = include_str!("../../assets/style.css");
const SCRIPT: &str = include_str!("../../assets/script.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// How much of the digest is in a name, in bytes.
const DIGEST_PART: usize = 8;

/// The addresses under which pages refer to them.
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

// === impl Assets ===

impl Assets {
    pub(super) fn get() -> &'static Self {
        static ASSETS: OnceLock<Assets> = OnceLock::new();
        ASSETS.get_or_init(|| Self {
            style: address("style", STYLE, "css"),
            script: address("script", SCRIPT, "js"),
            icon: address("icon", ICON, "svg"),
        })
    }
}

fn address(stem: &str, content: &str, extension: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    let mut address = format!("/assets/{stem}-");
    for byte in &digest[..DIGEST_PART] {
        write!(address, "{byte:02x}").expect("a string takes everything");
    }
    address.push('.');
    address.push_str(extension);
    address
}

/// Only under their present names: a page of an older server must not be shown with the style of a newer one.
pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let assets = Assets::get();
    let is_named = |address: &str| address.strip_prefix("/assets/") == Some(name.as_str());
    let (kind, content) = if is_named(&assets.style) {
        ("text/css; charset=utf-8", STYLE)
    } else if is_named(&assets.script) {
        ("text/javascript; charset=utf-8", SCRIPT)
    } else if is_named(&assets.icon) {
        ("image/svg+xml", ICON)
    } else {
        return PageError::not_found().into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a page of 30 KB they stay below what a page may weigh, 60 KB, without any compression.
    #[test]
    fn they_are_small() {
        assert!(STYLE.len() + SCRIPT.len() + ICON.len() < 30_000);
    }
}
