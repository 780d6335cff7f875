//! Decisions out of guest memory: straight into checked types, with every length bounded before anything is copied.
//!
//! A pure function of the bytes, so that it can be fuzzed without a guest. Whatever the bytes are, it returns a decision that keeps the
//! contract (`wit/types.wit`) or says what is wrong; nothing in it slices or panics.

use super::fields;
use crate::chain::{Decision, Edit, Verdict};
use crate::message::Reply;
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::cell::Cell;

/// A decision that breaks the contract, and how. For the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadOutput(String);

impl BadOutput {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// With the offending bytes, shortened.
    pub(super) fn quoting(what: &str, bytes: &[u8]) -> Self {
        let start = bytes.get(..80).unwrap_or(bytes);
        Self(format!("{what}: \"{}\"", start.escape_ascii()))
    }
}

/// Which phase a decision was made in; some verdicts and edits belong to one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Request,
    Response,
}

/// Edits of a decision, and header lines of a reply.
const MOST_ITEMS: usize = 256;
/// All that a decision's edits and headers may make the host copy. Without it, 256 edits could all point at the same 16 MiB.
const MOST_BYTES: usize = 1 << 20;
/// The body of a reply, on its own.
const MOST_BODY: usize = 1 << 20;

/// Layout in memory (canonical ABI, 32 bit): sizes and where the parts of a record stand.
pub(super) const DECISION: usize = 32;
const DECISION_EDITS: usize = 24;
const VERDICT_PAYLOAD: usize = 4;
const REPLY_HEADERS: usize = 4;
const REPLY_BODY: usize = 12;
pub(super) const HEADER: usize = 16;
const HEADER_VALUE: usize = 8;
pub(super) const EDIT: usize = 20;
const EDIT_PAYLOAD: usize = 4;

/// Reads the decision whose record is `area` (32 bytes) out of a guest's whole `memory`.
pub fn decision(memory: &[u8], area: &[u8], phase: Phase) -> Result<Decision, BadOutput> {
    let reader = Reader { memory, left: Cell::new(MOST_BYTES) };
    let verdict = reader.verdict(area, phase)?;
    let edits = reader.edits(at(area, DECISION_EDITS)?, phase)?;
    Ok(Decision { verdict, edits: edits.into() })
}

/// The list of edits whose pointer and length stand at the start of `pair`.
pub(super) fn edits(memory: &[u8], pair: &[u8], phase: Phase) -> Result<Vec<Edit>, BadOutput> {
    Reader { memory, left: Cell::new(MOST_BYTES) }.edits(pair, phase)
}

/// A list of at most `most` records of `size` bytes.
#[inline(always)]
pub(super) fn records<'m>(memory: &'m [u8], pair: &[u8], size: usize, most: usize) -> Result<std::slice::ChunksExact<'m, u8>, BadOutput> {
    let (start, count) = span(pair)?;
    if count > most {
        return Err(BadOutput::new(format!("a list of {count}, more than {most}")));
    }
    if start % 4 != 0 {
        return Err(BadOutput::new("a list that is not aligned"));
    }
    Ok(within(memory, start, count * size)?.chunks_exact(size))
}

#[inline(always)]
pub(super) fn within(memory: &[u8], start: usize, length: usize) -> Result<&[u8], BadOutput> {
    let bytes = memory.get(start..).and_then(|memory| memory.get(..length));
    bytes.ok_or_else(|| BadOutput::new(format!("a pointer out of bounds: {length} bytes at {start}")))
}

struct Reader<'m> {
    memory: &'m [u8],
    left: Cell<usize>,
}

impl<'m> Reader<'m> {
    #[inline(always)]
    fn edits(&self, pair: &[u8], phase: Phase) -> Result<Vec<Edit>, BadOutput> {
        let list = self.list(pair, EDIT)?;
        let mut edits = Vec::with_capacity(list.len());
        for record in list {
            edits.push(self.edit(record, phase)?);
        }
        Ok(edits)
    }

    #[inline(always)]
    fn verdict(&self, area: &[u8], phase: Phase) -> Result<Verdict, BadOutput> {
        let payload = at(area, VERDICT_PAYLOAD)?;
        match (byte(area)?, phase) {
            (0, _) => Ok(Verdict::Next),
            (1, Phase::Request) => Ok(Verdict::Forward(ByteString::from(self.text(payload)?))),
            (1, Phase::Response) => Err(BadOutput::new("`forward` in the response phase")),
            (2, _) => self.reply(payload).map(|reply| Verdict::Reply(Box::new(reply))),
            (3, _) => Ok(Verdict::Abort),
            (other, _) => Err(BadOutput::new(format!("no such verdict: {other}"))),
        }
    }

    #[cold]
    fn reply(&self, record: &[u8]) -> Result<Reply, BadOutput> {
        let code: [u8; 2] = *record.first_chunk().ok_or_else(cut_short)?;
        let status = fields::status(u16::from_le_bytes(code))?;
        let mut headers = HeaderMap::new();
        for line in self.list(at(record, REPLY_HEADERS)?, HEADER)? {
            let (name, value) = self.header(line)?;
            headers.append(name, value);
        }
        let (start, length) = span(at(record, REPLY_BODY)?)?;
        if length > MOST_BODY {
            return Err(BadOutput::new(format!("a body of {length} bytes, more than 1 MiB")));
        }
        let body = self.within(start, length)?;
        if !body.is_empty() && !fields::may_have_body(status) {
            return Err(BadOutput::new(format!("a body with status {status}")));
        }
        Ok(Reply { status, headers, body: Bytes::copy_from_slice(body) })
    }

    #[inline(always)]
    fn edit(&self, record: &[u8], phase: Phase) -> Result<Edit, BadOutput> {
        let payload = at(record, EDIT_PAYLOAD)?;
        match (byte(record)?, phase) {
            (0, _) => self.header(payload).map(|(name, value)| Edit::SetHeader(name, value)),
            (1, _) => self.header(payload).map(|(name, value)| Edit::AppendHeader(name, value)),
            (2, _) => fields::name(self.bytes(payload)?).map(Edit::RemoveHeader),
            (7, _) => self.attribute(payload),
            (kind @ 3..=6, Phase::Request) => self.request_edit(kind, payload),
            (3..=6, Phase::Response) => Err(BadOutput::new("an edit of the request in the response phase")),
            (other, _) => Err(BadOutput::new(format!("no such edit: {other}"))),
        }
    }

    fn request_edit(&self, kind: u8, payload: &[u8]) -> Result<Edit, BadOutput> {
        match kind {
            3 => fields::method(self.text(payload)?).map(Edit::SetMethod),
            4 => fields::authority(self.text(payload)?).map(Edit::SetAuthority),
            5 => fields::path(self.text(payload)?).map(Edit::SetPath),
            _ => self.optional(payload)?.map(fields::query).transpose().map(Edit::SetQuery),
        }
    }

    fn attribute(&self, record: &[u8]) -> Result<Edit, BadOutput> {
        let name = fields::attribute_name(self.text(record)?)?;
        let value = self.text(at(record, HEADER_VALUE)?)?;
        Ok(Edit::SetAttribute(name, ByteString::from(value)))
    }

    #[inline(always)]
    fn header(&self, record: &[u8]) -> Result<(HeaderName, HeaderValue), BadOutput> {
        Ok((fields::name(self.bytes(record)?)?, fields::value(self.bytes(at(record, HEADER_VALUE)?)?)?))
    }

    fn optional(&self, record: &[u8]) -> Result<Option<&'m str>, BadOutput> {
        match byte(record)? {
            0 => Ok(None),
            1 => self.text(at(record, 4)?).map(Some),
            other => Err(BadOutput::new(format!("no such option: {other}"))),
        }
    }

    #[inline(always)]
    fn text(&self, pair: &[u8]) -> Result<&'m str, BadOutput> {
        let bytes = self.bytes(pair)?;
        std::str::from_utf8(bytes).map_err(|_| BadOutput::quoting("not UTF-8", bytes))
    }

    /// A string or byte list: its pointer and length stand at the start of `pair`.
    #[inline(always)]
    fn bytes(&self, pair: &[u8]) -> Result<&'m [u8], BadOutput> {
        let (start, length) = span(pair)?;
        self.spend(length)?;
        self.within(start, length)
    }

    /// A list of records of `size` bytes.
    #[inline(always)]
    fn list(&self, pair: &[u8], size: usize) -> Result<std::slice::ChunksExact<'m, u8>, BadOutput> {
        records(self.memory, pair, size, MOST_ITEMS)
    }

    #[inline(always)]
    fn spend(&self, length: usize) -> Result<(), BadOutput> {
        match self.left.get().checked_sub(length) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(BadOutput::new("more than 1 MiB in one decision")),
        }
    }

    #[inline(always)]
    fn within(&self, start: usize, length: usize) -> Result<&'m [u8], BadOutput> {
        within(self.memory, start, length)
    }
}

#[inline(always)]
pub(super) fn at(record: &[u8], offset: usize) -> Result<&[u8], BadOutput> {
    record.get(offset..).ok_or_else(cut_short)
}

#[inline(always)]
pub(super) fn byte(record: &[u8]) -> Result<u8, BadOutput> {
    record.first().copied().ok_or_else(cut_short)
}

/// Pointer and length.
#[inline(always)]
pub(super) fn span(pair: &[u8]) -> Result<(usize, usize), BadOutput> {
    let both = u64::from_le_bytes(*pair.first_chunk().ok_or_else(cut_short)?);
    Ok((both as u32 as usize, (both >> 32) as usize))
}

/// A `u32`.
pub(super) fn word(record: &[u8]) -> Result<usize, BadOutput> {
    let number: [u8; 4] = *record.first_chunk().ok_or_else(cut_short)?;
    Ok(u32::from_le_bytes(number) as usize)
}

#[cold]
fn cut_short() -> BadOutput {
    BadOutput::new("a record that is cut short")
}
