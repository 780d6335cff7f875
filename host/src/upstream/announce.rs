//! The PROXY header that a connection begins with, where an upstream wants one: for whom it is made.

use crate::config::ProxyVersion;
use crate::message::Connection;
use crate::wire::{ProxyHeader, ProxyTls};

/// The header for a client's connection. What we know of TLS ourselves goes before what a proxy in front of us says of it.
pub(super) fn header(version: ProxyVersion, client: &Connection) -> Vec<u8> {
    let proxied = client.proxied.as_deref();
    let before = proxied.and_then(|proxied| proxied.tls.as_ref());
    let own = client.tls.as_ref();
    let version_name = own.map(|tls| format!("TLSv{}", tls.version.as_str()));
    let identity = own.and_then(|tls| tls.client.as_ref()?.identity.as_deref());
    let client_cn = identity.and_then(|identity| identity.common_name.as_deref());
    let tls = match (&version_name, before) {
        (Some(name), _) => Some(ProxyTls { version: Some(name), verified: identity.is_some(), client_cn }),
        (None, Some(tls)) => {
            let client_cn = tls.client_cn.as_deref();
            Some(ProxyTls { version: tls.version.as_deref(), verified: client_cn.is_some(), client_cn })
        }
        (None, None) => None,
    };
    let alpn = own.and_then(|tls| tls.alpn.name());
    // What was read in passing goes before what was said before it. A hello that is passed on says nothing of ALPN: what the client offers
    // is not what it will speak with the server, not even if it offers one protocol only.
    let asked = own.map_or(client.asked.as_deref(), |tls| tls.sni.as_deref());
    let header = ProxyHeader {
        addresses: (!client.unix).then_some((client.peer, client.local)),
        alpn: alpn.or_else(|| proxied?.alpn.as_deref()),
        authority: asked.or_else(|| proxied?.authority.as_deref()),
        tls,
    };
    let mut out = Vec::new();
    match version {
        ProxyVersion::V1 => header.put_v1(&mut out),
        ProxyVersion::V2 => header.put_v2(&mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Alpn, Proxied, ProxiedTls, TlsFacts, TlsVersion};
    use crate::wire::{Told, read_proxy_header};

    fn client() -> Connection {
        Connection::new("192.0.2.7:5000".parse().expect("an address"), "192.0.2.1:443".parse().expect("an address"))
    }

    fn read(header: &[u8]) -> Proxied {
        match read_proxy_header(header) {
            Ok(Some((length, Told::Client { source, more, .. }))) => {
                assert_eq!((length, source.port()), (header.len(), 5000));
                *more
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_known_of_tls_goes_along() {
        let tls = Some(TlsFacts { version: TlsVersion::V1_3, sni: Some("a.test".into()), alpn: Alpn::Http2, client: None });
        let told = read(&header(ProxyVersion::V2, &Connection { tls, ..client() }));
        assert_eq!((told.alpn.as_deref(), told.authority.as_deref()), (Some(&b"h2"[..]), Some("a.test")));
        assert_eq!(told.tls.and_then(|tls| tls.version).as_deref(), Some("TLSv1.3"));
    }

    #[test]
    fn a_name_that_is_passed_through_goes_along() {
        let asked = Connection { asked: Some("a.test".into()), ..client() };
        assert_eq!(read(&header(ProxyVersion::V2, &asked)), Proxied { authority: Some("a.test".into()), ..Proxied::default() });
        let before = Proxied { alpn: Some(b"h2"[..].into()), authority: Some("b.test".into()), tls: None };
        let both = Connection { proxied: Some(Box::new(before.clone())), ..asked };
        assert_eq!(read(&header(ProxyVersion::V2, &both)), Proxied { authority: Some("a.test".into()), ..before });
    }

    #[test]
    fn what_a_proxy_before_us_says_is_handed_on() {
        let tls = ProxiedTls { version: Some("TLSv1.2".into()), client_cn: Some("me".into()) };
        let proxied = Proxied { alpn: None, authority: Some("b.test".into()), tls: Some(tls) };
        let before = Connection { proxied: Some(Box::new(proxied.clone())), ..client() };
        assert_eq!(read(&header(ProxyVersion::V2, &before)), proxied);
    }

    #[test]
    fn who_has_no_address_is_unknown() {
        assert_eq!(header(ProxyVersion::V1, &Connection::unix()), b"PROXY UNKNOWN\r\n");
        assert_eq!(header(ProxyVersion::V1, &client()), b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n");
    }
}
