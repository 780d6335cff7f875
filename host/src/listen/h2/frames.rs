//! Frame headers (RFC 9113, section 4.1) as they pass by in a byte stream. Payloads are skipped, not looked at.

/// What a frame header says, as far as anybody here asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHeader {
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    /// Of SETTINGS and PING.
    pub const ACK: u8 = 1;
}

/// The connection preface of a client (section 3.4).
const PREFACE: usize = 24;

/// Where in the stream of frames we are.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; 9],
    /// Bytes of `header` that are there.
    known: usize,
    /// Bytes to skip before the next header.
    skip: usize,
}

impl Frames {
    /// What a client sends.
    pub fn after_preface() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Takes the next bytes, and tells of each frame header that is complete with them.
    pub fn pass(&mut self, mut bytes: &[u8], mut tell: impl FnMut(FrameHeader)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let (_, rest) = bytes.split_at(skipped);
            let (head, rest) = rest.split_at((self.header.len() - self.known).min(rest.len()));
            for (place, byte) in self.header.iter_mut().skip(self.known).zip(head) {
                *place = *byte;
            }
            self.known += head.len();
            if self.known == self.header.len() {
                let [a, b, c, kind, flags, d, e, f, g] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.known = 0;
                tell(FrameHeader { kind, flags, stream: u32::from_be_bytes([d & 0x7f, e, f, g]) });
            }
            bytes = rest;
        }
    }

    /// Whether a frame may begin here.
    pub fn is_boundary(&self) -> bool {
        self.skip == 0 && self.known == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0x80, 0, 0, stream];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn headers_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, b""));
        bytes.extend(frame(1, 5, 3, b"payload"));
        bytes.extend(frame(3, 0, 3, b"\0\0\0\x08"));
        let want = [(4, 0, 0), (1, 5, 3), (3, 0, 3)].map(|(kind, flags, stream)| FrameHeader { kind, flags, stream });

        for cut in 1..=bytes.len() {
            let mut frames = Frames::after_preface();
            let mut found = Vec::new();
            for piece in bytes.chunks(cut) {
                frames.pass(piece, |header| found.push(header));
            }
            assert_eq!(found, want, "{cut}");
            assert!(frames.is_boundary());
        }
    }
}
