//! Writing a PROXY header.

use super::{ALPN, AUTHORITY, CLIENT_CERTIFICATE, CLIENT_TLS, TLS, TLS_CN, TLS_VERSION, V2};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// For whom we connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProxyHeader<'a> {
    /// The client's address and the one it connected to. `None`: they are not known (a Unix socket).
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    pub alpn: Option<&'a [u8]>,
    pub authority: Option<&'a str>,
    pub tls: Option<ProxyTls<'a>>,
}

/// The TLS that the client spoke.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProxyTls<'a> {
    /// `TLSv1.3`
    pub version: Option<&'a str>,
    /// It has shown a certificate, which was verified.
    pub verified: bool,
    /// Of that certificate, which may have none.
    pub client_cn: Option<&'a str>,
}

impl ProxyHeader<'_> {
    /// Version 1, which has room for addresses only.
    pub fn put_v1(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = match self.addresses.map(alike) {
            None => write!(out, "PROXY UNKNOWN\r\n"),
            Some((source, destination)) => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
            }
        };
    }

    /// Version 2.
    pub fn put_v2(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        let family = match self.addresses.map(alike) {
            None => 0x00,
            Some((source, destination)) => {
                for ip in [source.ip(), destination.ip()] {
                    match ip {
                        IpAddr::V4(ip) => body.extend(ip.octets()),
                        IpAddr::V6(ip) => body.extend(ip.octets()),
                    }
                }
                body.extend(source.port().to_be_bytes());
                body.extend(destination.port().to_be_bytes());
                if source.is_ipv4() { 0x11 } else { 0x21 }
            }
        };
        put(&mut body, ALPN, self.alpn);
        put(&mut body, AUTHORITY, self.authority.map(str::as_bytes));
        if let Some(tls) = &self.tls {
            put(&mut body, TLS, Some(&tls.value()));
        }
        out.extend_from_slice(V2);
        // Names have at most 255 bytes each, so this is far from the bound.
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
        out.extend([0x21, family]);
        out.extend(length.to_be_bytes());
        out.extend_from_slice(&body);
    }
}

impl ProxyTls<'_> {
    fn value(&self) -> Vec<u8> {
        let certificate = if self.verified { CLIENT_CERTIFICATE } else { 0 };
        let unverified = u32::from(!self.verified);
        let mut value = vec![CLIENT_TLS | certificate];
        value.extend(unverified.to_be_bytes());
        put(&mut value, TLS_VERSION, self.version.map(str::as_bytes));
        put(&mut value, TLS_CN, self.client_cn.map(str::as_bytes));
        value
    }
}

/// What is longer than anything of its kind is left out.
fn put(out: &mut Vec<u8>, kind: u8, value: Option<&[u8]>) {
    const MOST: usize = 2 << 10;
    let Some(value) = value.filter(|value| value.len() <= MOST) else { return };
    out.push(kind);
    // At most `MOST`.
    out.extend((value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// One family for both: a header has room for one.
fn alike((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let wide = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (wide(source), wide(destination))
}
