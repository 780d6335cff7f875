//! Bodies in: from a buffer of received bytes to pieces of body, by the framing that the head stated (RFC 9112, section 6).

use super::chunked::Chunked;
use super::{Framing, HeadLimits};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// What came of the bytes at hand.
#[derive(Debug)]
pub enum Decoded {
    /// Read more, then ask again.
    NeedMore,
    /// Never empty.
    Data(Bytes),
    /// After all data and before `End`. Without fields that must not be trailers; never empty.
    Trailers(HeaderMap),
    /// What is left in the buffer belongs to the next message.
    End,
}

/// Why a body cannot be understood. The connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadBody {
    ChunkSize,
    ChunkExtension,
    ChunkEnd,
    Trailer,
    /// The connection ended first.
    Incomplete,
}

impl BadBody {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ChunkSize => "a chunk size that is no hexadecimal number",
            Self::ChunkExtension => "chunk extensions that are too long or not text",
            Self::ChunkEnd => "a chunk that does not end with CRLF",
            Self::Trailer => "a bad trailer section",
            Self::Incomplete => "the connection ended before the body did",
        }
    }
}

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    Chunked(Chunked),
}

impl Decoder {
    /// `limits` hold for trailers as for the fields of a head.
    pub fn new(framing: Framing, limits: &HeadLimits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::UntilClose => State::UntilClose,
            Framing::Chunked => State::Chunked(Chunked::new(*limits)),
        };
        Self { state }
    }

    /// Takes the next piece off `buf` without copying it.
    ///
    /// # Errors
    /// If the bytes break the chunked coding (RFC 9112, section 7.1).
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, BadBody> {
        let decoded = match &mut self.state {
            State::Done => Decoded::End,
            State::UntilClose | State::Length(_) if buf.is_empty() => Decoded::NeedMore,
            State::UntilClose => Decoded::Data(buf.split().freeze()),
            State::Length(left) => {
                let data = buf.split_to(usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()))).freeze();
                *left -= data.len() as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Decoded::Data(data)
            }
            State::Chunked(chunked) => {
                let decoded = chunked.decode(buf)?;
                if matches!(decoded, Decoded::End | Decoded::Trailers(_)) {
                    self.state = State::Done;
                }
                decoded
            }
        };
        Ok(decoded)
    }

    /// Takes the end of a chunked body off `buf` if it directly follows and is all there; `true`: the body is over. So that the last
    /// piece of data is known to be the last, which saves a frame, and for small bodies the chunked coding.
    pub fn ends_here(&mut self, buf: &mut BytesMut) -> bool {
        if let State::Chunked(chunked) = &self.state
            && chunked.take_end(buf)
        {
            self.state = State::Done;
        }
        self.is_end()
    }

    /// The peer will send no more.
    ///
    /// # Errors
    /// If the body is not complete by that.
    pub fn eof(&mut self) -> Result<(), BadBody> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(BadBody::Incomplete),
        }
    }

    /// Whether the body's last byte has been taken.
    pub fn is_end(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of body still to come, if that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            State::UntilClose | State::Chunked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
