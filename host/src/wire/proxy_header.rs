//! The PROXY protocol (haproxy.org, proxy-protocol.txt): a header before the first byte of a connection, in which a proxy says for whom it
//! connects. Version 1 is a line of text, version 2 binary. Whose word is believed is not decided here.

use crate::message::{PROXY_V1 as V1, PROXY_V2 as V2, Proxied, ProxiedTls};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod put;

pub use put::{ProxyHeader, ProxyTls};

/// A line of version 1 with its end (section 2.1).
const MOST_V1: usize = 107;
/// The whole header of version 2. The specification allows 64 KiB; a client's certificate, the longest thing that is ever in one, is less
/// than this.
const MOST_V2: usize = 8 << 10;

/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The proxy's own connection (a health check), or it does not know: the socket's addresses are the right ones.
    Nobody,
    Client {
        source: SocketAddr,
        destination: SocketAddr,
        more: Box<Proxied>,
    },
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProxyHeader {
    #[error("there is no PROXY header")]
    Missing,
    #[error("the PROXY header is too long")]
    TooLong,
    #[error("the PROXY header is malformed")]
    Malformed,
    /// A version, command or family that we do not know, or datagrams.
    #[error("the PROXY header is of a kind that does not fit here")]
    Unfit,
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// Reads a header at the beginning of `bytes`: its length and what it says. `None`: more bytes are needed.
///
/// # Errors
/// As soon as what is there cannot become a header.
pub fn read_proxy_header(bytes: &[u8]) -> Result<Option<(usize, Told)>, BadProxyHeader> {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(a, b)| a == b);
    if begins(V2) {
        v2(bytes)
    } else if begins(V1) {
        v1(bytes)
    } else {
        Err(BadProxyHeader::Missing)
    }
}

fn v1(bytes: &[u8]) -> Result<Option<(usize, Told)>, BadProxyHeader> {
    let within = bytes.get(..MOST_V1).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if within.len() == MOST_V1 { Err(BadProxyHeader::TooLong) } else { Ok(None) };
    };
    let line = std::str::from_utf8(within.get(..end).unwrap_or_default()).map_err(|_| BadProxyHeader::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let told = match words.next() {
        // Whatever else stands there is to be ignored.
        Some("UNKNOWN") => Told::Nobody,
        Some("TCP4") => client::<Ipv4Addr>(&mut words)?,
        Some("TCP6") => client::<Ipv6Addr>(&mut words)?,
        _ => return Err(BadProxyHeader::Unfit),
    };
    Ok(Some((end + 2, told)))
}

fn client<'l, A: std::str::FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'l str>) -> Result<Told, BadProxyHeader> {
    let mut ip = || words.next()?.parse::<A>().ok().map(Into::into);
    let (source, destination) = (ip(), ip());
    let mut port = || words.next().and_then(port);
    let (source_port, destination_port) = (port(), port());
    match (source.zip(source_port), destination.zip(destination_port), words.next()) {
        (Some(source), Some(destination), None) => {
            Ok(Told::Client { source: source.into(), destination: destination.into(), more: Box::default() })
        }
        _ => Err(BadProxyHeader::Malformed),
    }
}

/// Digits without leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn v2(bytes: &[u8]) -> Result<Option<(usize, Told)>, BadProxyHeader> {
    let Some(&[command, family, high, low]) = bytes.get(V2.len()..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || command & 15 > 1 {
        return Err(BadProxyHeader::Unfit);
    }
    if length > MOST_V2 {
        return Err(BadProxyHeader::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let rest = header.get(FIXED..).unwrap_or_default();
    if command & 15 == 0 {
        // LOCAL: addresses and what follows are to be ignored, whatever they are.
        return Ok(Some((length, Told::Nobody)));
    }
    let (addresses, tlvs) = match family {
        0x00 => (None, rest),
        0x11 => split(rest, 12, |part| pair(part, |ip: [u8; 4]| Ipv4Addr::from(ip).into()))?,
        0x21 => split(rest, 36, |part| pair(part, |ip: [u8; 16]| Ipv6Addr::from(ip).into()))?,
        // A Unix socket: two paths that mean nothing here.
        0x31 => split(rest, 216, |_| None)?,
        _ => return Err(BadProxyHeader::Unfit),
    };
    let more = more(header, tlvs)?;
    let told = addresses.map(|(source, destination)| Told::Client { source, destination, more: Box::new(more) });
    Ok(Some((length, told.unwrap_or(Told::Nobody))))
}

type Pair = (SocketAddr, SocketAddr);

fn split(rest: &[u8], length: usize, read: impl Fn(&[u8]) -> Option<Pair>) -> Result<(Option<Pair>, &[u8]), BadProxyHeader> {
    rest.split_at_checked(length).map(|(part, tlvs)| (read(part), tlvs)).ok_or(BadProxyHeader::Malformed)
}

/// Two addresses, then two ports.
fn pair<const N: usize>(part: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<Pair> {
    let (source, rest) = part.split_first_chunk::<N>()?;
    let (destination, ports) = rest.split_first_chunk::<N>()?;
    let &[a, b, c, d] = ports else { return None };
    Some(((ip(*source), u16::from_be_bytes([a, b])).into(), (ip(*destination), u16::from_be_bytes([c, d])).into()))
}

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const TLS: u8 = 0x20;
const TLS_VERSION: u8 = 0x21;
const TLS_CN: u8 = 0x22;
/// The client spoke TLS.
const CLIENT_TLS: u8 = 0x01;
/// It showed a certificate, on this connection or in its session.
const CLIENT_CERTIFICATE: u8 = 0x06;

/// What follows the addresses. Unknown types are to be ignored.
fn more(header: &[u8], tlvs: &[u8]) -> Result<Proxied, BadProxyHeader> {
    let (mut proxied, mut checked) = (Proxied::default(), false);
    let mut left = tlvs;
    while let Some((kind, value)) = next(&mut left)? {
        match kind {
            ALPN => proxied.alpn = Some(value.into()),
            AUTHORITY => proxied.authority = Some(text(value)?),
            CRC32C if std::mem::replace(&mut checked, true) => return Err(BadProxyHeader::Malformed),
            CRC32C => check(header, value)?,
            TLS => proxied.tls = tls(value)?,
            _ => {}
        }
    }
    Ok(proxied)
}

fn next<'b>(left: &mut &'b [u8]) -> Result<Option<(u8, &'b [u8])>, BadProxyHeader> {
    if left.is_empty() {
        return Ok(None);
    }
    let Some((&[kind, high, low], rest)) = left.split_first_chunk::<3>() else { return Err(BadProxyHeader::Malformed) };
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into()).ok_or(BadProxyHeader::Malformed)?;
    *left = rest;
    Ok(Some((kind, value)))
}

fn text(value: &[u8]) -> Result<Box<str>, BadProxyHeader> {
    let text = std::str::from_utf8(value).map_err(|_| BadProxyHeader::Malformed)?;
    // It will stand in logs and in headers.
    if text.chars().any(char::is_control) { Err(BadProxyHeader::Malformed) } else { Ok(text.into()) }
}

fn tls(value: &[u8]) -> Result<Option<ProxiedTls>, BadProxyHeader> {
    let Some((&[client, v0, v1, v2, v3], mut left)) = value.split_first_chunk::<5>() else { return Err(BadProxyHeader::Malformed) };
    let verified = u32::from_be_bytes([v0, v1, v2, v3]) == 0 && client & CLIENT_CERTIFICATE != 0;
    let mut tls = ProxiedTls::default();
    while let Some((kind, value)) = next(&mut left)? {
        match kind {
            TLS_VERSION => tls.version = Some(text(value)?),
            TLS_CN if verified => tls.client_cn = Some(text(value)?),
            _ => {}
        }
    }
    Ok((client & CLIENT_TLS != 0).then_some(tls))
}

/// The sum is over the whole header with zeros in its own place (section 2.2.3).
fn check(header: &[u8], value: &[u8]) -> Result<(), BadProxyHeader> {
    let &[a, b, c, d] = value else { return Err(BadProxyHeader::Malformed) };
    // Both are parts of one slice, so the distance is the place.
    let at = value.as_ptr().addr() - header.as_ptr().addr();
    let zeroed = header.iter().enumerate().map(|(index, byte)| if (at..at + 4).contains(&index) { 0 } else { *byte });
    if crc32c(zeroed) == u32::from_be_bytes([a, b, c, d]) { Ok(()) } else { Err(BadProxyHeader::Checksum) }
}

/// Bit by bit: a header has about 100 bytes, and few senders add a sum.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let byte = |sum: u32, byte: u8| (0..8).fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 });
    !bytes.fold(!0, byte)
}

#[cfg(test)]
mod tests;
