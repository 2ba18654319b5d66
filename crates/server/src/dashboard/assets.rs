//! Style sheet, script and icon: embedded in the binary, and served under names with a digest of their content, so that
//! browsers may keep them for ever.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::error::PageError;

const STYLE: &str = include_str!("../../assets/style.css");
const SCRIPT: &str = include_str!("../../assets/script.js");
const ICON: &str = include_str!("../../assets/icon.svg");

const FOLDER: &str = "/assets/";

/// How much of the digest is in a name, in bytes.
const DIGEST_PART: usize = 8;

/// What pages refer to.
pub(super) struct Assets {
    style: Asset,
    script: Asset,
    icon: Asset,
}

struct Asset {
    address: String,
    kind: &'static str,
    content: &'static str,
    /// The content again. Pages themselves are not packed: their length would tell of the secrets in them.
    gzip: Bytes,
}

// === impl Assets ===

impl Assets {
    pub(super) fn get() -> &'static Self {
        static ASSETS: OnceLock<Assets> = OnceLock::new();
        ASSETS.get_or_init(|| Self {
            style: Asset::new("style", "css", "text/css; charset=utf-8", STYLE),
            script: Asset::new("script", "js", "text/javascript; charset=utf-8", SCRIPT),
            icon: Asset::new("icon", "svg", "image/svg+xml", ICON),
        })
    }

    pub(super) fn style(&self) -> &str {
        &self.style.address
    }

    pub(super) fn script(&self) -> &str {
        &self.script.address
    }

    pub(super) fn icon(&self) -> &str {
        &self.icon.address
    }

    fn find(&self, name: &str) -> Option<&Asset> {
        [&self.style, &self.script, &self.icon]
            .into_iter()
            .find(|asset| asset.address.strip_prefix(FOLDER) == Some(name))
    }
}

// === impl Asset ===

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: &'static str) -> Self {
        let digest = Sha256::digest(content.as_bytes());
        let mut address = format!("{FOLDER}{stem}-");
        for byte in &digest[..DIGEST_PART] {
            write!(address, "{byte:02x}").expect("a string takes everything");
        }
        address.push('.');
        address.push_str(extension);
        Self {
            address,
            kind,
            content,
            gzip: packed(content),
        }
    }
}

fn packed(content: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(content.as_bytes())
        .and_then(|()| encoder.finish())
        .expect("a vector takes everything")
        .into()
}

/// Only under their present names: a page of an older server must not be shown with the style of a newer one.
pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = Assets::get().find(&name) else {
        return PageError::not_found().into_response();
    };
    let common = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    if takes_gzip(&headers) {
        let encoding = [(header::CONTENT_ENCODING, "gzip")];
        return (common, encoding, asset.gzip.clone()).into_response();
    }
    (common, asset.content).into_response()
}

/// RFC 9110, section 12.5.3, as browsers use it: by name, and not at all with a weight of 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    let mut encodings = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    encodings.any(|encoding| {
        let (name, weight) = encoding.split_once(';').unwrap_or((encoding, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight, Some(Ok(0.0) | Err(_)))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// With a page of 40 KB they stay below what a page may weigh, 60 KB.
    #[test]
    fn they_are_small() {
        let all = [STYLE, SCRIPT, ICON].map(packed);
        assert!(all.iter().map(Bytes::len).sum::<usize>() < 12_000);
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&all[0][..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, STYLE);
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, br", false),
            ("gzip;q=x", false),
            ("x-gzip, br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
