//! JA4, a fingerprint of the library that a TLS client uses: <https://github.com/FoxIO-LLC/ja4>, the part of it that is under the
//! BSD licence. Made only when a plugin asks for it.

use super::super::load::digest;
use crate::message::ClientHello;
use std::fmt::Write;

/// Server name and ALPN are in every hello or none of a client's, depending on whom it calls: counted, but not hashed.
const NOT_HASHED: [u16; 2] = [SERVER_NAME, 0x0010];
const SERVER_NAME: u16 = 0;

/// The fingerprint of a hello that came over TCP: `t13d1516h2_8daaf6152771_02713d6af862`.
pub(crate) fn ja4(hello: &ClientHello) -> String {
    let ciphers = sound(&hello.ciphers);
    let extensions = sound(&hello.extensions);
    let name = if hello.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    let [first, last] = alpn(hello.alpn.first().map_or(&[], Vec::as_slice));
    let (some, more) = (ciphers.len().min(99), extensions.len().min(99));
    let version = version(hello.highest_version());
    format!("t{version}{name}{some:02}{more:02}{first}{last}_{}_{}", ciphers_hash(ciphers), extensions_hash(extensions, hello))
}

fn ciphers_hash(mut ciphers: Vec<u16>) -> String {
    ciphers.sort_unstable();
    hash(&list(&ciphers), ciphers.is_empty())
}

fn extensions_hash(mut extensions: Vec<u16>, hello: &ClientHello) -> String {
    let none = extensions.is_empty();
    extensions.retain(|kind| !NOT_HASHED.contains(kind));
    extensions.sort_unstable();
    let mut text = list(&extensions);
    // In the client's order, which is part of what makes it recognisable.
    let algorithms = sound(&hello.signatures);
    if !algorithms.is_empty() {
        text = format!("{text}_{}", list(&algorithms));
    }
    hash(&text, none)
}

/// Twelve hexadecimal digits of SHA-256.
fn hash(text: &str, none: bool) -> String {
    if none {
        return "0".repeat(12);
    }
    digest(text.as_bytes()).iter().take(6).fold(String::new(), |mut hex, byte| {
        // Writing into a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn list(numbers: &[u16]) -> String {
    numbers.iter().map(|number| format!("{number:04x}")).collect::<Vec<_>>().join(",")
}

/// Without GREASE (RFC 8701), which is random.
fn sound(numbers: &[u16]) -> Vec<u16> {
    numbers.iter().copied().filter(|number| !ClientHello::is_grease(*number)).collect()
}

const fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the first protocol; of one that has others than letters and digits there, of its hexadecimal form.
fn alpn(protocol: &[u8]) -> [char; 2] {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else { return ['0', '0'] };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)];
    }
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0x0f)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification (technical_details/JA4.md): a Chromium.
    #[test]
    fn the_specifications_example() {
        let hello = ClientHello {
            version: 0x0303,
            sni: Some("example.com".into()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            versions: vec![0xdada, 0x0304, 0x0303],
            ciphers: vec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
                0x0035,
            ],
            extensions: vec![
                0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b,
                0x000a, 0x0015, 0x3a3a,
            ],
            signatures: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            ..ClientHello::default()
        };
        assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn a_hello_without_anything() {
        assert_eq!(ja4(&ClientHello { version: 0x0303, ..ClientHello::default() }), "t12i000000_000000000000_000000000000");
    }

    #[test]
    fn protocols_of_odd_bytes() {
        assert_eq!(alpn(b"h"), ['h', 'h']);
        assert_eq!(alpn(&[0xab]), ['a', 'b']);
        assert_eq!(alpn(&[0x30, 0xab]), ['3', 'b']);
    }
}
