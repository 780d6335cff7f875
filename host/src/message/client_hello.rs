//! What a TLS client says of itself before anything is encrypted: the vocabulary for choosing a corridor, for plugins and for
//! fingerprints. Read off the wire by `wire`; nothing here believes any of it.

use std::sync::Arc;

/// A client hello (RFC 8446, section 4.1.2), as sent: lists are in the client's order, with its GREASE values (RFC 8701) still in
/// them. Lists of extensions that were not sent are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// `legacy_version`; `0x0303` from every client of today. What it can really do is in `versions`.
    pub version: u16,
    pub ciphers: Vec<u16>,
    /// Types of all extensions.
    pub extensions: Vec<u16>,
    /// The host name of `server_name`, lower case, without a dot at its end. `None` also for an IP address, which is none (RFC 6066,
    /// section 3).
    pub sni: Option<Arc<str>>,
    /// Protocols of `application_layer_protocol_negotiation` (RFC 7301): `h2`, `http/1.1`, `postgresql` …; any bytes, none empty.
    pub alpn: Vec<Vec<u8>>,
    /// `supported_versions`: `0x0304` is TLS 1.3. Empty from clients that know none above 1.2.
    pub versions: Vec<u16>,
    /// `supported_groups`.
    pub groups: Vec<u16>,
    /// `signature_algorithms`.
    pub signatures: Vec<u16>,
}

impl ClientHello {
    /// Whether the client offers this protocol.
    pub fn offers(&self, protocol: &[u8]) -> bool {
        self.alpn.iter().any(|offered| offered == protocol)
    }

    /// The highest version that the client offers, GREASE left out: `0x0304` is TLS 1.3, `0x0303` is 1.2.
    pub fn highest_version(&self) -> u16 {
        let offered = self.versions.iter().copied().filter(|version| !Self::is_grease(*version));
        offered.max().unwrap_or(self.version)
    }

    /// Values that clients send so that servers do not get used to what there is (RFC 8701): `0x0a0a`, `0x1a1a` … `0xfafa`.
    pub const fn is_grease(value: u16) -> bool {
        value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_told_from_what_is_meant() {
        for value in [0x0a0a, 0x1a1a, 0xfafa] {
            assert!(ClientHello::is_grease(value), "{value:#x}");
        }
        for value in [0x0304, 0x0a1a, 0x1301, 0x0a0b] {
            assert!(!ClientHello::is_grease(value), "{value:#x}");
        }
        let hello = ClientHello { version: 0x0303, versions: vec![0xfafa, 0x0304, 0x0303], ..ClientHello::default() };
        assert_eq!(hello.highest_version(), 0x0304);
        assert_eq!(ClientHello { version: 0x0303, ..ClientHello::default() }.highest_version(), 0x0303);
    }
}
