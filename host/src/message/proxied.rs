//! What a trusted proxy in front of us says about a connection, in a PROXY header; and how such a header begins, which is an error from everybody else.

/// Beyond the addresses, which take the place of the socket's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxied {
    /// The protocol that the client and that proxy agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The host name that the client asked for, as in SNI.
    pub authority: Option<Box<str>>,
    /// If the client spoke TLS with that proxy.
    pub tls: Option<ProxiedTls>,
}

/// TLS that ended before us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxiedTls {
    /// As that proxy writes it: `TLSv1.3`.
    pub version: Option<Box<str>>,
    /// The common name of the client's certificate, which that proxy has verified.
    pub client_cn: Option<Box<str>>,
}

/// How a PROXY header of version 1 begins.
pub const PROXY_V1: &[u8] = b"PROXY ";
/// And one of version 2.
pub const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Looks out for a PROXY header at the beginning of a connection that must have none, in whatever pieces it comes. Nothing is held back:
/// what has come so far may go on, as without its last byte a beginning is nobody's header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeaderWatch {
    #[default]
    Start,
    /// So many bytes were those of this version.
    V1(u8),
    V2(u8),
    /// It has begun in another way; whatever comes is the connection's own.
    Over,
}

impl HeaderWatch {
    /// Takes note of what has come. `true`: with it, a header has begun; the connection must go no further.
    pub fn sees_header(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if *self == Self::Over {
                return false;
            }
            *self = self.then(*byte);
            if self.is_whole() {
                return true;
            }
        }
        false
    }

    fn then(self, byte: u8) -> Self {
        match self {
            Self::Start if PROXY_V1.starts_with(&[byte]) => Self::V1(1),
            Self::Start if PROXY_V2.starts_with(&[byte]) => Self::V2(1),
            Self::V1(count) if PROXY_V1.get(usize::from(count)) == Some(&byte) => Self::V1(count + 1),
            Self::V2(count) if PROXY_V2.get(usize::from(count)) == Some(&byte) => Self::V2(count + 1),
            _ => Self::Over,
        }
    }

    fn is_whole(self) -> bool {
        match self {
            Self::V1(count) => usize::from(count) == PROXY_V1.len(),
            Self::V2(count) => usize::from(count) == PROXY_V2.len(),
            Self::Start | Self::Over => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_seen_in_any_pieces() {
        for header in [PROXY_V1, PROXY_V2] {
            let more = [header, b"TCP4 ..."].concat();
            assert!(HeaderWatch::default().sees_header(&more));
            for cut in 0..more.len() {
                let (first, second) = more.split_at(cut);
                let mut watch = HeaderWatch::default();
                assert!(watch.sees_header(first) || watch.sees_header(second), "cut at {cut}");
            }
            let mut watch = HeaderWatch::default();
            let seen: Vec<bool> = header.iter().map(|byte| watch.sees_header(&[*byte])).collect();
            assert_eq!(seen.iter().position(|seen| *seen), Some(header.len() - 1), "not before its last byte");
        }
    }

    #[test]
    fn whatever_else_begins_is_let_alone() {
        for other in
            [&b"PROXI PROXY "[..], b" PROXY ", b"\r\n\r\nPROXY ", b"P\r\n\r\n\0\r\nQUIT\n", b"\x16\x03\x01", b"\r\n\r\n\0\r\nQUITS"]
        {
            assert!(!HeaderWatch::default().sees_header(other), "{other:?}");
            let mut watch = HeaderWatch::default();
            assert!(!other.iter().any(|byte| watch.sees_header(&[*byte])), "{other:?}");
            assert!(!watch.sees_header(PROXY_V1) && !watch.sees_header(PROXY_V2), "{other:?}");
        }
    }
}
