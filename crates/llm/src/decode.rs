//! Taking a content encoding off a bounded copy of a body, so that it can be understood. What is relayed stays as it
//! was sent.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// More layers than anybody has a reason to send.
const MAX_LAYERS: usize = 3;

/// More members or frames than anybody has a reason to send. Each costs time, even if it is empty.
const MAX_PARTS: usize = 4096;

/// The largest window that HTTP allows (RFC 9659). The decoder gives nothing away before its window is full, so this
/// much is held beside the limit.
const ZSTD_WINDOW_MAX: u64 = 8 << 20;

/// How much is read from an encoded body at once.
const BUFFER: usize = 4096;

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
    let mut zstd_decoder = FrameDecoder::new();
    zstd_decoder.set_max_window_size(ZSTD_WINDOW_MAX);
    match name {
        "gzip" | "x-gzip" => parts("gzip", body, limit, |rest, room| {
            read_bounded("gzip", &mut GzDecoder::new(rest), room)
        }),
        "deflate" => deflate(body, limit),
        "br" => brotli(body, limit),
        "zstd" => parts("zstd", body, limit, |rest, room| {
            zstd_frame(&mut zstd_decoder, rest, room)
        }),
        _ => Err(DecodeError::Unknown(name.chars().take(32).collect())),
    }
}

/// Members of gzip or frames of zstd, one after another until nothing is left. At least one must be there, and each
/// whole.
fn parts(
    encoding: &'static str,
    body: &[u8],
    limit: usize,
    mut decode_part: impl FnMut(&mut &[u8], usize) -> Result<Vec<u8>, DecodeError>,
) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    let mut rest = body;
    for _ in 0..MAX_PARTS {
        let part = decode_part(&mut rest, limit - decoded.len()).map_err(|error| match error {
            // The room that was left is not the limit that was set.
            DecodeError::TooLarge { .. } => DecodeError::TooLarge { limit },
            other => other,
        })?;
        if decoded.is_empty() {
            decoded = part;
        } else {
            decoded.extend_from_slice(&part);
        }
        if rest.is_empty() {
            return Ok(decoded);
        }
    }
    Err(invalid(encoding, "it has too many parts"))
}

/// `deflate` means zlib's format, but some senders mean the bare one (RFC 9110, section 8.4.1.2).
fn deflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let is_zlib = matches!(body, [first, second, ..]
        if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    let mut rest = body;
    let plain = if is_zlib {
        read_bounded("deflate", &mut ZlibDecoder::new(&mut rest), limit)
    } else {
        read_bounded("deflate", &mut DeflateDecoder::new(&mut rest), limit)
    }?;
    if rest.is_empty() {
        Ok(plain)
    } else {
        Err(invalid("deflate", "something follows the end"))
    }
}

fn brotli(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut rest = body;
    let mut reader = brotli::Decompressor::new(&mut rest, BUFFER);
    let plain = read_bounded("br", &mut reader, limit)?;
    // What its buffer still holds it reports only to who reads on behind the end.
    let held_back = reader.read(&mut [0]);
    drop(reader);
    match held_back {
        Ok(0) if rest.is_empty() => Ok(plain),
        _ => Err(invalid("br", "something follows the end")),
    }
}

/// One frame, or none where a skippable one stands (RFC 8878, section 3.1.2).
fn zstd_frame(decoder: &mut FrameDecoder, rest: &mut &[u8], room: usize) -> Result<Vec<u8>, DecodeError> {
    let mut frame = match StreamingDecoder::new_with_decoder(&mut *rest, &mut *decoder) {
        Ok(frame) => frame,
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            *rest = usize::try_from(length)
                .ok()
                .and_then(|length| rest.get(length..))
                .ok_or_else(|| invalid("zstd", "a skippable frame is cut"))?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(invalid("zstd", error.to_string())),
    };
    let plain = read_bounded("zstd", &mut frame, room)?;
    let stated = decoder.get_checksum_from_data();
    if stated.is_some() && stated != decoder.get_calculated_checksum() {
        return Err(invalid("zstd", "the checksum does not match"));
    }
    Ok(plain)
}

/// Reads to the end, or until `limit` is passed.
fn read_bounded(
    encoding: &'static str,
    reader: &mut impl Read,
    limit: usize,
) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    reader
        .take((limit as u64).saturating_add(1))
        .read_to_end(&mut decoded)
        .map_err(|source| DecodeError::Invalid { encoding, source })?;
    if decoded.len() > limit {
        Err(DecodeError::TooLarge { limit })
    } else {
        Ok(decoded)
    }
}

fn invalid(encoding: &'static str, why: impl Into<String>) -> DecodeError {
    DecodeError::Invalid {
        encoding,
        source: std::io::Error::other(why.into()),
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
