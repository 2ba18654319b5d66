//! Taking a content encoding off a bounded copy of a body, so that it can be understood. What is relayed stays as it
//! was sent.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// More layers than anybody has a reason to send.
const MAX_LAYERS: usize = 3;

/// Why a body could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("unknown content encoding {0:?}")]
    Unknown(String),
    #[error("more than {MAX_LAYERS} content encodings")]
    TooManyLayers,
    #[error("the decoded body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body is not valid {encoding}")]
    Invalid {
        encoding: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// Decodes a body by its `Content-Encoding` (RFC 9110, section 8.4): the encodings were applied in the order in which
/// they are listed, so they come off from the back. Never gives more than `limit` bytes, at no layer.
pub fn decode_bounded(content_encoding: &str, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let names: Vec<String> = content_encoding
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if names.len() > MAX_LAYERS {
        return Err(DecodeError::TooManyLayers);
    }
    let mut current: Option<Vec<u8>> = None;
    for name in names.iter().rev() {
        current = Some(decode_one(name, current.as_deref().unwrap_or(body), limit)?);
    }
    match current {
        Some(decoded) => Ok(decoded),
        None if body.len() > limit => Err(DecodeError::TooLarge { limit }),
        None => Ok(body.to_vec()),
    }
}

fn decode_one(name: &str, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    match name {
        "gzip" | "x-gzip" => read_bounded("gzip", MultiGzDecoder::new(body), limit),
        "deflate" => deflate(body, limit),
        "br" => read_bounded("br", brotli::Decompressor::new(body, 4096), limit),
        "zstd" => zstd(body, limit),
        _ => Err(DecodeError::Unknown(name.chars().take(32).collect())),
    }
}

/// `deflate` means zlib's format, but some senders mean the bare one (RFC 9110, section 8.4.1.2).
fn deflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let is_zlib = matches!(body, [first, second, ..]
        if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    let mut rest = body;
    let plain = if is_zlib {
        read_bounded("deflate", ZlibDecoder::new(&mut rest), limit)
    } else {
        read_bounded("deflate", DeflateDecoder::new(&mut rest), limit)
    }?;
    if rest.is_empty() {
        Ok(plain)
    } else {
        Err(trailing("deflate"))
    }
}

/// One frame after another, until nothing is left.
fn zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let invalid = |error: ruzstd::decoding::errors::FrameDecoderError| DecodeError::Invalid {
        encoding: "zstd",
        source: std::io::Error::other(error.to_string()),
    };
    let mut decoded = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(invalid)?;
        let part = read_bounded("zstd", frame, limit - decoded.len()).map_err(|error| {
            if matches!(error, DecodeError::TooLarge { .. }) {
                DecodeError::TooLarge { limit }
            } else {
                error
            }
        })?;
        decoded.extend_from_slice(&part);
    }
    Ok(decoded)
}

fn read_bounded(encoding: &'static str, reader: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut decoded)
        .map_err(|source| DecodeError::Invalid { encoding, source })?;
    if decoded.len() > limit {
        Err(DecodeError::TooLarge { limit })
    } else {
        Ok(decoded)
    }
}

fn trailing(encoding: &'static str) -> DecodeError {
    DecodeError::Invalid {
        encoding,
        source: std::io::Error::other("something follows the end"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn encode(name: &str, data: &[u8]) -> Vec<u8> {
        match name {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "raw" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoded = Vec::new();
                brotli::BrotliCompress(
                    &mut &data[..],
                    &mut encoded,
                    &brotli::enc::BrotliEncoderParams::default(),
                )
                .unwrap();
                encoded
            }
            "zstd" => ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest),
            _ => data.to_vec(),
        }
    }

    const NAMES: [(&str, &str); 6] = [
        ("gzip", "gzip"),
        ("zlib", "deflate"),
        ("raw", "deflate"),
        ("br", "br"),
        ("zstd", "ZSTD"),
        ("identity", "identity"),
    ];

    #[test]
    fn lists_come_off_from_the_back() {
        let body = encode("zstd", &encode("gzip", b"hello"));
        assert_eq!(decode_bounded("gzip, zstd", &body, LIMIT).unwrap(), b"hello");
        assert!(decode_bounded("zstd, gzip", &body, LIMIT).is_err());
        assert!(matches!(
            decode_bounded("gzip,gzip,gzip,gzip", b"", LIMIT),
            Err(DecodeError::TooManyLayers)
        ));
        assert!(matches!(
            decode_bounded("compress", b"", LIMIT),
            Err(DecodeError::Unknown(_))
        ));
        assert_eq!(decode_bounded("", b"as it is", LIMIT).unwrap(), b"as it is");
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = vec![0; 8 << 20];
        for (how, name) in NAMES {
            let encoded = encode(how, &bomb);
            assert!(
                matches!(
                    decode_bounded(name, &encoded, LIMIT),
                    Err(DecodeError::TooLarge { limit: LIMIT })
                ),
                "{how}"
            );
        }
        let nested = encode("gzip", &encode("gzip", &bomb));
        assert!(matches!(
            decode_bounded("gzip, gzip", &nested, LIMIT),
            Err(DecodeError::TooLarge { .. })
        ));
    }

    #[test]
    fn several_members_are_one_body_and_what_is_cut_or_added_is_an_error() {
        for (how, name) in [("gzip", "gzip"), ("zstd", "zstd")] {
            let two = [encode(how, b"one "), encode(how, b"two")].concat();
            assert_eq!(decode_bounded(name, &two, LIMIT).unwrap(), b"one two", "{how}");
        }
        let data: Vec<u8> = (0..10_000u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        for (how, name) in &NAMES[..5] {
            let encoded = encode(how, &data);
            assert!(
                decode_bounded(name, &encoded[..encoded.len() / 2], LIMIT).is_err(),
                "{how} cut"
            );
        }
        for (how, name) in [("gzip", "gzip"), ("zlib", "deflate"), ("zstd", "zstd")] {
            let mut encoded = encode(how, &data);
            encoded.extend_from_slice(b"garbage!");
            assert!(
                decode_bounded(name, &encoded, LIMIT).is_err(),
                "{how} with garbage"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn round_trips(data: Vec<u8>, which in 0..NAMES.len()) {
            let (how, name) = NAMES[which];
            prop_assert_eq!(decode_bounded(name, &encode(how, &data), LIMIT).unwrap(), data);
        }

        #[test]
        fn arbitrary_bytes_never_panic(data: Vec<u8>) {
            for name in ["gzip", "deflate", "br", "zstd"] {
                let _ = decode_bounded(name, &data, 1000);
            }
        }
    }
}
