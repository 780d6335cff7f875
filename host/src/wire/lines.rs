//! Where a head ends and where its lines do. Line breaks are CRLF and nothing else; limits hold while the head is still coming in.

use memchr::memchr2;
use smallvec::SmallVec;

/// How large a head may be.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the request or status line.
    pub start_line: usize,
    /// Bytes of all field lines.
    pub fields: usize,
    /// Number of field lines.
    pub count: usize,
}

/// What is wrong with a head, whichever side sent it; becomes `Malformed` or `MalformedResponse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    StartLine,
    StartLineTooLong,
    Field,
    ObsoleteFolding,
    BareLineBreak,
    FieldsTooLarge,
    TooManyFields,
    LengthAndChunked,
    ContentLength,
    TransferEncoding,
}

/// Whether an empty line may stand before the start line (RFC 9112, section 2.2: a server should skip at least one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leading {
    Skip,
    Refuse,
    /// There is no start line: trailers.
    NoStartLine,
}

/// The lines found so far in a buffer that only grows at its end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where each line's CRLF stands. 24: more than most heads have.
    ends: SmallVec<[u32; 24]>,
    /// Where the first line starts: 2 after an empty line was skipped.
    first: usize,
    /// Where the line starts whose end is searched.
    start: usize,
    /// Everything before this has been looked at.
    searched: usize,
}

impl Lines {
    /// The head's length with the empty line that ends it, once it is there.
    pub fn scan(&mut self, buf: &[u8], limits: &HeadLimits, leading: Leading) -> Result<Option<usize>, Broken> {
        while let Some(offset) = buf.get(self.searched..).and_then(|rest| memchr2(b'\r', b'\n', rest)) {
            let at = self.searched + offset;
            match (buf.get(at), buf.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => {}
                (Some(b'\r'), None) => {
                    self.searched = at;
                    self.check(at, limits, leading)?;
                    return Ok(None);
                }
                _ => return Err(Broken::BareLineBreak),
            }
            if at == self.start {
                if !self.ends.is_empty() || leading == Leading::NoStartLine {
                    return Ok(Some(at + 2));
                }
                if leading == Leading::Refuse || self.first != 0 {
                    return Err(Broken::StartLine);
                }
                self.first = at + 2;
            } else {
                self.check(at, limits, leading)?;
                // Positions are below the limits, which nobody sets to 4 GiB; if somebody does, the head is too large.
                self.ends.push(u32::try_from(at).map_err(|_| Broken::FieldsTooLarge)?);
            }
            self.start = at + 2;
            self.searched = at + 2;
        }
        self.searched = buf.len();
        self.check(buf.len(), limits, leading)?;
        Ok(None)
    }

    /// Holds the line that ends (or has come so far) at `at` against the limits.
    fn check(&self, at: usize, limits: &HeadLimits, leading: Leading) -> Result<(), Broken> {
        let (fields_from, count) = match (leading, self.ends.first()) {
            (Leading::NoStartLine, _) => (0, self.ends.len()),
            (_, Some(&end)) => (end as usize + 2, self.ends.len() - 1),
            (_, None) if at.saturating_sub(self.start) > limits.start_line => return Err(Broken::StartLineTooLong),
            (_, None) => return Ok(()),
        };
        if at.saturating_sub(fields_from) > limits.fields {
            return Err(Broken::FieldsTooLarge);
        }
        if at > self.start && count >= limits.count {
            return Err(Broken::TooManyFields);
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Start and end of each line, without its CRLF.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut next = self.first;
        self.ends.iter().map(move |&end| {
            let start = std::mem::replace(&mut next, end as usize + 2);
            (start, end as usize)
        })
    }

    /// For the next head, in a buffer that starts anew.
    pub fn clear(&mut self) {
        self.ends.clear();
        (self.first, self.start, self.searched) = (0, 0, 0);
    }
}
