//! Addresses of sites: `example.com`, `http://example.com`, `:8080`, `*.example.com:8443`.

use super::super::draft::Tls;
use super::Top;

/// A site's name, and how it is reached.
pub struct Address {
    pub name: String,
    pub tls: Tls,
}

/// Notes the port that is listened on.
pub fn read(text: &str, top: &mut Top) -> Result<Address, &'static str> {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    if rest.contains('/') {
        return Err("a path: write it as a route");
    }
    if !["", "http", "https"].contains(&scheme) {
        return Err("neither http nor https");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, Some(port.parse::<u16>().map_err(|_| "no port")?)),
        _ => (rest, None),
    };
    let (http, https) = (top.http_port.unwrap_or(80), top.https_port.unwrap_or(443));
    // Without a name nobody can have a certificate.
    let plain = scheme == "http" || port == Some(http) || (host.is_empty() && port != Some(https) && scheme.is_empty());
    match plain {
        true => top.http.push(port.unwrap_or(http)),
        false => top.https.push(port.unwrap_or(https)),
    }
    let tls = match (plain, top.local_certs) {
        (true, _) => Tls::Off,
        (false, true) => Tls::Local,
        (false, false) => Tls::Implied,
    };
    let name = if host.is_empty() { "*" } else { host.trim_start_matches('[').trim_end_matches(']') };
    Ok(Address { name: name.to_ascii_lowercase(), tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_name_port_and_whether_tls_is_spoken() {
        let mut top = Top::default();
        let mut of = |text: &str| read(text, &mut top).ok().map(|address| (address.name, address.tls == Tls::Off));
        assert_eq!(of("Example.com"), Some(("example.com".into(), false)));
        assert_eq!(of("http://a.test"), Some(("a.test".into(), true)));
        assert_eq!(of(":8080"), Some(("*".into(), true)));
        assert_eq!(of("a.test:8443"), Some(("a.test".into(), false)));
        assert_eq!((of("a.test/x"), of("a.test:x")), (None, None));
        assert_eq!((top.http, top.https), (vec![80, 8080], vec![443, 8443]));
    }
}
