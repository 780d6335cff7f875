//! One body on its way through a compressor.
//!
//! Of a body without a stated length nothing is held back: it may be a stream of events. One whose length is known is a file, of which the
//! end is sure to come.

use crate::Coding;
use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::write::GzEncoder;
use portcullis_sdk::body::{Output, Trailers, Transform};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;

pub struct Coder {
    encoder: Encoder,
    /// Everything that came goes on at once.
    streams: bool,
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Br(Box<CompressorWriter<Vec<u8>>>),
    /// Frame by frame (RFC 8878, section 3.1): what waits for the next.
    Zstd(Vec<u8>),
    Done,
}

/// Bytes of a frame, unless it must go sooner. A larger one compresses better, but a frame is made in one call, for which all others of the worker
/// wait: a millisecond, about. No more than a piece has, so that no call makes two.
const FRAME: usize = FULL;

/// Brotli's window: 256 KiB. The standard 4 MiB would be a quarter of what a guest has.
const WINDOW: i32 = 18;

/// What a piece has at most: one that is full is not the last that is there.
const FULL: usize = 32 << 10;

impl Coder {
    pub fn new(coding: Coding, level: u8, length: Option<u64>) -> Self {
        let encoder = match coding {
            Coding::Gzip => Encoder::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(level.into())))),
            Coding::Br => {
                let size_hint = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                let params = BrotliEncoderParams { quality: level.into(), lgwin: WINDOW, size_hint, ..BrotliEncoderParams::default() };
                Encoder::Br(Box::new(CompressorWriter::with_params(Vec::new(), 4096, &params)))
            }
            Coding::Zstd => Encoder::Zstd(Vec::new()),
        };
        Self { encoder, streams: length.is_none() }
    }

    /// What is compressed so far. Writing to a `Vec` does not fail, and neither do these encoders.
    pub fn compress(&mut self, piece: &[u8]) -> std::io::Result<Vec<u8>> {
        let flush = self.streams && piece.len() < FULL;
        match &mut self.encoder {
            Encoder::Gzip(encoder) => {
                encoder.write_all(piece)?;
                if flush {
                    encoder.flush()?;
                }
                Ok(std::mem::take(encoder.get_mut()))
            }
            Encoder::Br(encoder) => {
                encoder.write_all(piece)?;
                if flush {
                    encoder.flush()?;
                }
                Ok(std::mem::take(encoder.get_mut()))
            }
            Encoder::Zstd(waiting) => {
                waiting.extend_from_slice(piece);
                let ready = if flush { waiting.len() } else { FRAME };
                if waiting.len() < ready {
                    return Ok(Vec::new());
                }
                Ok(compress_to_vec(&waiting.drain(..ready).collect::<Vec<u8>>()[..], CompressionLevel::Fastest))
            }
            Encoder::Done => Ok(Vec::new()),
        }
    }

    pub fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        match std::mem::replace(&mut self.encoder, Encoder::Done) {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Br(encoder) => Ok(encoder.into_inner()),
            // An empty body is a frame too, if it is the only one: a decoder wants one.
            Encoder::Zstd(waiting) => Ok(compress_to_vec(&waiting[..], CompressionLevel::Fastest)),
            Encoder::Done => Ok(Vec::new()),
        }
    }
}

impl Transform for Coder {
    fn piece(&mut self, piece: &[u8], out: &mut Output<'_>) {
        // A panic is a fault, which breaks the body off: the only right thing with an encoder that fails.
        out.write(self.compress(piece).expect("encoders into memory do not fail"));
    }

    fn end(&mut self, out: &mut Output<'_>, _: &mut Trailers) {
        out.write(self.finish().expect("encoders into memory do not fail"));
    }
}
