//! Content codings: encoding answers piece by piece, decoding request bodies to find the directives in them.

use std::io::{Read, Write};

use bytes::Bytes;

/// A content coding of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// The zlib form, RFC 1950.
    Deflate,
    /// RFC 7932.
    Br,
    /// RFC 8878.
    Zstd,
}

/// What a request body may grow to when decoded.
const MAX_DECODED: u64 = 64 << 20;

impl Coding {
    /// From the name in `Content-Encoding`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Br),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Decodes a whole body; at most 64 MiB of it.
    pub fn decode(self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        match self {
            Self::Gzip => {
                flate2::read::MultiGzDecoder::new(body)
                    .take(MAX_DECODED)
                    .read_to_end(&mut plain)?;
            }
            Self::Deflate => {
                flate2::read::ZlibDecoder::new(body)
                    .take(MAX_DECODED)
                    .read_to_end(&mut plain)?;
            }
            Self::Br => {
                brotli::Decompressor::new(body, 4096)
                    .take(MAX_DECODED)
                    .read_to_end(&mut plain)?;
            }
            Self::Zstd => {
                let mut rest = body;
                while !rest.is_empty() {
                    let frame =
                        ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(std::io::Error::other)?;
                    frame
                        .take(MAX_DECODED.saturating_sub(plain.len() as u64))
                        .read_to_end(&mut plain)?;
                    if plain.len() as u64 >= MAX_DECODED {
                        break;
                    }
                }
            }
        }
        Ok(plain)
    }
}

/// Encodes a body whose pieces must each be readable as soon as they arrive.
pub(crate) enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// One frame for each piece: a body of several frames is valid, and every frame can be decoded alone.
    Zstd,
}

impl Encoder {
    pub(crate) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::fast(),
            )),
            Coding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(
                Vec::new(),
                flate2::Compression::fast(),
            )),
            Coding::Br => Self::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20))),
            Coding::Zstd => Self::Zstd,
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> Bytes {
        let in_memory = "writing to a vector cannot fail";
        let out = match self {
            Self::Gzip(encoder) => {
                encoder
                    .write_all(piece)
                    .and_then(|()| encoder.flush())
                    .expect(in_memory);
                std::mem::take(encoder.get_mut())
            }
            Self::Deflate(encoder) => {
                encoder
                    .write_all(piece)
                    .and_then(|()| encoder.flush())
                    .expect(in_memory);
                std::mem::take(encoder.get_mut())
            }
            Self::Br(encoder) => {
                encoder
                    .write_all(piece)
                    .and_then(|()| encoder.flush())
                    .expect(in_memory);
                std::mem::take(encoder.get_mut())
            }
            Self::Zstd => {
                ruzstd::encoding::compress_to_vec(piece, ruzstd::encoding::CompressionLevel::Fastest)
            }
        };
        out.into()
    }

    pub(crate) fn finish(self) -> Bytes {
        let in_memory = "writing to a vector cannot fail";
        match self {
            Self::Gzip(encoder) => encoder.finish().expect(in_memory).into(),
            Self::Deflate(encoder) => encoder.finish().expect(in_memory).into(),
            Self::Br(encoder) => encoder.into_inner().into(),
            Self::Zstd => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_coding_round_trips() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Br, Coding::Zstd] {
            assert_eq!(Coding::parse(coding.name()), Some(coding));
            let mut encoder = Encoder::new(coding);
            let mut body = Vec::new();
            for piece in ["data: é🦀\n\n", "data: two\n\n"] {
                let bytes = encoder.push(piece.as_bytes());
                assert!(!bytes.is_empty(), "{coding:?} keeps a piece back");
                body.extend_from_slice(&bytes);
            }
            body.extend_from_slice(&encoder.finish());
            assert_eq!(
                coding.decode(&body).unwrap(),
                "data: é🦀\n\ndata: two\n\n".as_bytes(),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Br, Coding::Zstd] {
            assert!(coding.decode(b"not encoded at all").is_err(), "{coding:?}");
        }
    }
}
