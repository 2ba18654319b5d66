//! Decoding: what is cut, added or damaged anywhere is an error, and a small body never costs much.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use gateway_llm::decode::{DecodeError, decode_bounded};

const LIMIT: usize = 1 << 20;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Name of the content encoding, and `data` encoded so.
fn encoded(data: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(data).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(data).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
    raw.write_all(data).unwrap();
    let mut br = Vec::new();
    brotli::BrotliCompress(
        &mut &data[..],
        &mut br,
        &brotli::enc::BrotliEncoderParams::default(),
    )
    .unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest);
    let gzip = gzip.finish().unwrap();
    vec![
        ("x-gzip", gzip.clone()),
        ("gzip", gzip),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
        ("br", br),
        ("zstd", zstd),
    ]
}

/// A zstd frame without a checksum: one stored block, in a window of 1 KiB times two to the `exponent`.
fn stored_frame(data: &[u8], exponent: u8) -> Vec<u8> {
    let header = u32::try_from(data.len()).unwrap() << 3 | 1;
    [&MAGIC[..], &[0, exponent << 3], &header.to_le_bytes()[..3], data].concat()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&0x184d_2a53_u32.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
}

fn is_invalid(result: &Result<Vec<u8>, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::Invalid { .. }))
}

#[test]
fn a_body_cut_anywhere_is_an_error() {
    let data = br#"{"model":"gpt-x","input":"some text, some text and some more text"}"#;
    for (name, body) in encoded(data) {
        assert_eq!(decode_bounded(name, &body, LIMIT).unwrap(), data);
        for end in 0..body.len() {
            let result = decode_bounded(name, &body[..end], LIMIT);
            assert!(is_invalid(&result), "{name} cut at {end} of {}", body.len());
        }
    }
}

#[test]
fn what_follows_the_end_is_an_error() {
    // Of any length, since decoders read ahead by buffers of their own.
    for size in [0, 10, 4000, 4096, 100_000] {
        let data: Vec<u8> = (0..size)
            .map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        for (name, body) in encoded(&data) {
            for garbage in [&b"\0"[..], b"x", b"garbage!", &[7; 5000]] {
                let result = decode_bounded(name, &[&body, garbage].concat(), LIMIT);
                assert!(
                    is_invalid(&result),
                    "{name} of {size} bytes with {}",
                    garbage.len()
                );
            }
        }
    }
}

#[test]
fn a_damaged_checksum_is_an_error() {
    for (name, mut body) in encoded(b"some text, some text") {
        let last = body.len() - 1;
        body[last] ^= 0x55;
        // Bare deflate and brotli have no checksum.
        if name == "gzip" || name == "zstd" {
            assert!(is_invalid(&decode_bounded(name, &body, LIMIT)), "{name}");
        }
    }
}

/// RFC 8878, section 3.1.2: readers pass over skippable frames, so a provider sees what stands beside them.
#[test]
fn skippable_frames_of_zstd_are_passed_over() {
    let [first, second] = [stored_frame(b"one ", 10), stored_frame(b"two", 10)];
    let body = [
        skippable(b""),
        first,
        skippable(b"whatever"),
        second,
        skippable(b"end"),
    ]
    .concat();
    assert_eq!(decode_bounded("zstd", &body, LIMIT).unwrap(), b"one two");
    let cut = &body[..body.len() - 1];
    assert!(is_invalid(&decode_bounded("zstd", cut, LIMIT)));
}

/// RFC 9659: in HTTP a window is at most 8 MiB. A larger one would be memory spent before the limit is looked at.
#[test]
fn windows_of_zstd_are_bounded() {
    assert_eq!(
        decode_bounded("zstd", &stored_frame(b"a", 13), LIMIT).unwrap(),
        b"a"
    );
    assert!(is_invalid(&decode_bounded(
        "zstd",
        &stored_frame(b"a", 14),
        64 << 20
    )));
}

/// Each part takes time even if it is empty, so a body of nothing else is given up.
#[test]
fn floods_of_empty_parts_are_given_up() {
    let gzip = encoded(b"").remove(1).1;
    let zstd = stored_frame(b"", 13);
    for (name, part) in [("gzip", gzip), ("zstd", zstd), ("zstd", skippable(b""))] {
        assert!(
            decode_bounded(name, &part.repeat(4096), LIMIT)
                .unwrap()
                .is_empty(),
            "{name}"
        );
        assert!(
            is_invalid(&decode_bounded(name, &part.repeat(4097), LIMIT)),
            "{name}"
        );
    }
}

#[test]
fn errors_say_what_was_wrong() {
    let zeros = vec![0; LIMIT + 1];
    for (name, body) in encoded(&zeros).into_iter().chain([("identity", zeros.clone())]) {
        let error = decode_bounded(name, &body, LIMIT).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the decoded body is larger than 1048576 bytes",
            "{name}"
        );
    }
    for (name, body) in encoded(&zeros[1..]) {
        assert_eq!(decode_bounded(name, &body, LIMIT).unwrap().len(), LIMIT, "{name}");
    }
    let unknown = decode_bounded("x-compress", b"", LIMIT).unwrap_err();
    assert_eq!(unknown.to_string(), "unknown content encoding \"x-compress\"");
    let invalid = decode_bounded("gzip", b"no", LIMIT).unwrap_err();
    assert_eq!(invalid.to_string(), "the body is not valid gzip");
}
