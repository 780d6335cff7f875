//! Small grammars inside strings: addresses, networks, names, header fields, methods, digests. Each error says where in the text.

use super::{Component, ListenAddress, PluginName, Protocol, ServerAddress, SiteName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

/// What is wrong with a text, and which bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub at: Range<usize>,
    pub message: String,
    pub help: Option<String>,
    /// Right, but in a later version.
    pub later: bool,
}

impl Wrong {
    pub fn at(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: None, later: false }
    }

    pub fn whole(text: &str, message: impl Into<String>) -> Self {
        Self::at(0..text.len(), message)
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `"0.0.0.0:443"`, `"[::]:443"`; `":443"` is both of these.
pub fn listen_address(text: &str) -> Result<Vec<SocketAddr>, Wrong> {
    let Some(colon) = text.rfind(':') else {
        return Err(Wrong::at(text.len()..text.len(), "the port is missing").help("for example: 0.0.0.0:443, or :443 for every address"));
    };
    let port = port(text, colon + 1)?;
    let host = text.get(..colon).unwrap_or_default();
    if host.is_empty() {
        return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]);
    }
    let ip: Option<IpAddr> = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    let wrong = || Wrong::at(0..colon, "not an IP address").help("IPv4 as 127.0.0.1:443, IPv6 in brackets as [::1]:443");
    Ok(vec![(ip.ok_or_else(wrong)?, port).into()])
}

/// As [`listen_address`], or a Unix socket: `"unix:/run/p.sock"`, `"unix:/run/p.sock?mode=0600"`.
pub fn listen_addresses(text: &str) -> Result<Vec<ListenAddress>, Wrong> {
    let Some(rest) = text.strip_prefix("unix:") else {
        return listen_address(text).map(|addresses| addresses.into_iter().map(ListenAddress::Ip).collect());
    };
    let (path, mode) = match rest.split_once('?') {
        None => (rest, ListenAddress::MODE),
        Some((path, asked)) => {
            let wrong =
                || Wrong::at(text.len() - asked.len()..text.len(), "wanted is `mode=` with octal digits").help("for example: ?mode=0660");
            let digits = asked.strip_prefix("mode=").ok_or_else(wrong)?;
            let octal = digits.len() <= 4 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
            let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777).ok_or_else(wrong)?;
            (path, mode)
        }
    };
    Ok(vec![ListenAddress::Unix { path: unix_path(text, path)?, mode }])
}

/// One of the peers that something is granted to.
pub enum Peer {
    Network(IpNet),
    /// Whoever comes over a Unix socket.
    Unix,
}

/// `"10.0.0.0/8"`, `"unix"`.
pub fn peer(text: &str) -> Result<Peer, Wrong> {
    if text == "unix" { Ok(Peer::Unix) } else { network(text).map(Peer::Network) }
}

/// What the scheme of a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// As it is written.
    pub written: &'static str,
    pub tls: bool,
    /// `None`: nothing is said of it.
    pub protocol: Option<Protocol>,
}

impl Scheme {
    pub const NONE: Self = Self { written: "", tls: false, protocol: None };

    const fn http2(written: &'static str, tls: bool) -> Self {
        Self { written, tls, protocol: Some(Protocol::Http2) }
    }
}

/// gRPC is HTTP/2; what else it asks for goes by the content type of requests.
const SCHEMES: [Scheme; 5] = [
    Scheme { written: "https://", tls: true, protocol: None },
    Scheme::http2("h2c://", false),
    Scheme::http2("h2://", true),
    Scheme::http2("grpc://", false),
    Scheme::http2("grpcs://", true),
];

/// A server, and what its scheme asks for: `"10.0.0.1:8080"`, `"https://backend.internal"`, `"h2c://10.0.0.1:8080"`, `"unix:/run/app.sock"`.
pub fn server(text: &str) -> Result<(ServerAddress, Scheme), Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(text, path).map(|path| (ServerAddress::Unix(path), Scheme::NONE));
    }
    if let Some(what) = text.strip_prefix("component:") {
        return component(text, what).map(|component| (ServerAddress::Component(component), Scheme::NONE));
    }
    for (scheme, tls) in [("srv+http://", false), ("srv+https://", true)] {
        if let Some(name) = text.strip_prefix(scheme) {
            return service(text, name).map(|address| (address, Scheme { written: scheme, tls, protocol: None }));
        }
    }
    let found = SCHEMES.into_iter().find_map(|scheme| Some((scheme, text.strip_prefix(scheme.written)?)));
    let Some((scheme, rest)) = found else { return server_address(text).map(|address| (address, Scheme::NONE)) };
    let skipped = text.len() - rest.len();
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    // With TLS, a port is known that is usual.
    let bare = scheme.tls && (!authority.contains(':') || authority.ends_with(']'));
    let address = if bare && !authority.is_empty() { server_address(&format!("{authority}:443")) } else { server_address(authority) };
    address.map(|address| (address, scheme)).map_err(|wrong| {
        let within = |at: usize| (at + skipped).min(text.len());
        Wrong { at: within(wrong.at.start)..within(wrong.at.end), ..wrong }
    })
}

/// The name of SRV records, `_service._proto.domain` (RFC 2782), which ends `text`.
fn service(text: &str, name: &str) -> Result<ServerAddress, Wrong> {
    const HELP: &str = "for example: srv+http://_api._tcp.svc.example.com";
    let after = text.len() - name.len();
    let name = name.strip_suffix('/').unwrap_or(name);
    let whole = || Wrong::at(after..after + name.len(), "not the name of SRV records").help(HELP);
    if name.contains([':', '/']) {
        return Err(Wrong::at(after..after + name.len(), "the records say which ports there are, and no path is added").help(HELP));
    }
    let mut labels = name.trim_end_matches('.').split('.');
    let underscored = |label: Option<&str>| label.is_some_and(|label| label.len() > 1 && label.starts_with('_'));
    if !underscored(labels.next()) || !underscored(labels.next()) || labels.next().is_none() {
        return Err(whole());
    }
    host_name(name).map(|name| ServerAddress::Service { name }).map_err(|_| whole())
}

/// A DNS server, on port 53 unless written: `"127.0.0.1"`, `"127.0.0.1:5353"`, `"[::1]:53"`.
pub fn nameserver(text: &str) -> Result<SocketAddr, Wrong> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let wrong = || Wrong::whole(text, "not an IP address, with or without a port").help("for example: 127.0.0.1:5353");
    bare.or_else(|_| text.parse::<SocketAddr>()).ok().filter(|address| address.port() != 0).ok_or_else(wrong)
}

/// `"shop.v1.Orders"`; empty: the server as a whole.
pub fn grpc_service(text: &str) -> Result<String, Wrong> {
    match text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        _ if text.len() > 256 => Err(Wrong::whole(text, "the name of a service has at most 256 characters")),
        Some((at, c)) => Err(Wrong::at(at..at + c.len_utf8(), "not in the name of a service").help("for example: shop.v1.Orders")),
        None => Ok(text.to_owned()),
    }
}

/// `"zone-a"`, `"rack=7"`.
pub fn tag(text: &str) -> Result<String, Wrong> {
    let odd = text.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !"-_.:=/".contains(*c));
    match odd {
        _ if text.is_empty() || text.len() > 64 => Err(Wrong::whole(text, "a tag has 1 to 64 characters")),
        Some((at, c)) => Err(Wrong::at(at..at + c.len_utf8(), "a tag is letters, digits and - _ . : = /")),
        None => Ok(text.to_owned()),
    }
}

/// A plugin's name, or the path of a file, as written.
fn component(text: &str, what: &str) -> Result<Component, Wrong> {
    let after = text.len() - what.len();
    if what.is_empty() || what.contains("://") {
        let wrong = Wrong::at(after..text.len(), "neither the name of a plugin nor the path of a component");
        return Err(
            wrong.help("for example: component:services/hello.wasm; one from a registry is declared in [plugin.x] and called component:x")
        );
    }
    if what.contains(['/', '.']) {
        return Ok(Component::File(what.into()));
    }
    let named = plugin_name(what).map(|name| Component::Declared(PluginName(name)));
    named.map_err(|wrong| Wrong { at: wrong.at.start + after..wrong.at.end + after, ..wrong })
}

/// The path of a Unix socket, as written.
pub fn unix_path(text: &str, path: &str) -> Result<PathBuf, Wrong> {
    if path.is_empty() || path.starts_with("//") {
        return Err(Wrong::at(5..text.len(), "the path of a socket is missing").help("for example: unix:/run/app.sock"));
    }
    match path.find('\0') {
        Some(at) => Err(Wrong::at(5 + at..6 + at, "a path has no NUL")),
        None => Ok(path.into()),
    }
}

/// `"10.0.0.1:8080"`, `"[2001:db8::1]:8080"`, `"backend.internal:8080"`.
pub fn server_address(text: &str) -> Result<ServerAddress, Wrong> {
    if text.starts_with("srv+") {
        return Err(Wrong::at(0..4, "wanted is srv+http:// or srv+https://").help("for example: srv+http://_api._tcp.svc.example.com"));
    }
    if let Some(rest) = text.strip_prefix("http://") {
        return Err(Wrong::at(0..7, "an address in the clear has no scheme").help(format!("write {}", rest.trim_end_matches('/'))));
    }
    if let Some(slash) = text.find('/') {
        return Err(Wrong::at(slash..text.len(), "an address has no path")
            .help("a prefix is added with { use = \"rewrite\", add-prefix = \"/…\" }"));
    }
    let bare_v6 = text.parse::<Ipv6Addr>().is_ok();
    let Some(colon) = text.rfind(':').filter(|_| !bare_v6 && !text.ends_with(']')) else {
        let help = if bare_v6 { format!("write [{text}]:80") } else { format!("for example: {text}:80") };
        return Err(Wrong::at(text.len()..text.len(), "the port is missing").help(help));
    };
    let port = port(text, colon + 1)?;
    if port == 0 {
        return Err(Wrong::at(colon + 1..text.len(), "port 0 cannot be connected to"));
    }
    host(text.get(..colon).unwrap_or_default()).map(|host| ServerAddress::Tcp { host, port })
}

/// A host without a port: a name, an IPv4 address, or an IPv6 address in brackets, which come off.
fn host(text: &str) -> Result<String, Wrong> {
    let Some(v6) = text.strip_prefix('[') else { return host_name(text) };
    let ip = v6.strip_suffix(']').and_then(|ip| ip.parse::<Ipv6Addr>().ok());
    let ip = ip.ok_or_else(|| Wrong::whole(text, "not an IPv6 address in brackets").help("for example: [2001:db8::1]:8080"))?;
    Ok(ip.to_string())
}

/// What a certificate can be asked for: a name or an IP address.
pub fn peer_name(text: &str) -> Result<String, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    if let Some(colon) = text.find(':') {
        return Err(Wrong::at(colon..text.len(), "a name has no scheme and no port").help("for example: backend.internal"));
    }
    host(text)
}

/// A DNS name: what SNI can carry (RFC 6066, section 3).
pub fn dns_name(text: &str) -> Result<String, Wrong> {
    let name = peer_name(text)?;
    if name.parse::<IpAddr>().is_ok() {
        return Err(Wrong::whole(text, "SNI carries names, not addresses"));
    }
    Ok(name)
}

fn port(text: &str, from: usize) -> Result<u16, Wrong> {
    let port = text.get(from..).unwrap_or_default();
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { port.parse().ok() } else { None };
    number.ok_or_else(|| Wrong::at(from..text.len(), "not a port").help("a port is a number from 1 to 65535"))
}

/// A host name (RFC 1123, `_` allowed) or IPv4 address, in lower case without a trailing dot.
fn host_name(text: &str) -> Result<String, Wrong> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err(Wrong::whole(text, "the host is missing"));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
        let wrong = Wrong::at(at..at + c.len_utf8(), format!("`{c}` cannot stand in a host name"));
        return Err(if c.is_ascii() { wrong } else { wrong.help("write international names in their xn-- form") });
    }
    let mut at = 0;
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            let message = "a label has 1 to 63 characters and neither begins nor ends with `-`";
            return Err(Wrong::at(at..at + label.len(), message));
        }
        at += label.len() + 1;
    }
    if name.len() > 253 {
        return Err(Wrong::whole(text, "a host name has at most 253 characters"));
    }
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(Wrong::whole(text, "not an IPv4 address"));
    }
    Ok(name.to_ascii_lowercase())
}

/// `"app.example.com"`, `"*.example.com"`, `"*"`, `"127.0.0.1"`, `"[::1]"`.
pub fn site_name(text: &str) -> Result<SiteName, Wrong> {
    if text == "*" {
        return Ok(SiteName::Any);
    }
    if let Some(scheme) = text.find("://") {
        return Err(Wrong::at(0..scheme + 3, "a site's name has no scheme").help("write the host name alone"));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
        return Ok(SiteName::Exact(format!("[{ip}]")));
    }
    if let Some(colon) = text.find(':') {
        return Err(Wrong::at(colon..text.len(), "a site's name has no port").help("which addresses are bound is said in [listen]"));
    }
    if let Some(slash) = text.find('/') {
        return Err(Wrong::at(slash..text.len(), "a site's name has no path").help("paths are matched by routes"));
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return host_name(suffix).map(SiteName::Wildcard).map_err(|wrong| Wrong { at: wrong.at.start + 2..wrong.at.end + 2, ..wrong });
    }
    if let Some(star) = text.find('*') {
        return Err(Wrong::at(star..star + 1, "`*` can only be the first label").help("for example: *.example.com"));
    }
    host_name(text).map(SiteName::Exact)
}

/// `"10.0.0.0/8"`, `"2001:db8::/32"`, or a single address.
pub fn network(text: &str) -> Result<IpNet, Wrong> {
    let Some(slash) = text.find('/') else {
        return text
            .parse::<IpAddr>()
            .map(IpNet::from)
            .map_err(|_| Wrong::whole(text, "not an IP address or network").help("for example: 10.0.0.0/8"));
    };
    let (address, length) = (text.get(..slash).unwrap_or_default(), text.get(slash + 1..).unwrap_or_default());
    let ip: IpAddr = address.parse().map_err(|_| Wrong::at(0..slash, "not an IP address").help("for example: 10.0.0.0/8"))?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let wrong = || Wrong::at(slash + 1..text.len(), format!("a prefix length is a number from 0 to {most}"));
    let length: u8 = length.parse().map_err(|_| wrong())?;
    let network = IpNet::new(ip, length).map_err(|_| wrong())?;
    if network.trunc() != network {
        return Err(Wrong::at(0..slash, "the address has bits beyond the prefix").help(format!("write {}", network.trunc())));
    }
    Ok(network)
}

/// A field name (RFC 9110, section 5.1), in lower case.
pub fn header_name(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::whole(text, "a header name is missing"));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(*c)) {
        return Err(Wrong::at(at..at + c.len_utf8(), "cannot stand in a header name").help("for example: x-request-id"));
    }
    Ok(text.to_ascii_lowercase())
}

/// A cookie's name (RFC 6265, section 4.1.1), which is a token as header names are, in the case that is written.
pub fn cookie_name(text: &str) -> Result<String, Wrong> {
    match header_name(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) if text.is_empty() => Err(Wrong::whole(text, "a cookie's name is missing")),
        Err(wrong) => Err(Wrong::at(wrong.at, "cannot stand in a cookie's name").help("for example: sid")),
    }
}

/// A field value without line breaks and other control characters (RFC 9110, section 5.5).
pub fn header_value(text: &str) -> Result<String, Wrong> {
    match text.char_indices().find(|(_, c)| *c != '\t' && c.is_ascii_control()) {
        Some((at, _)) => Err(Wrong::at(at..at + 1, "a control character cannot stand in a header value")),
        None => Ok(text.to_owned()),
    }
}

/// `"GET"`. Methods are case-sensitive (RFC 9110, section 9.1).
pub fn method(text: &str) -> Result<http::Method, Wrong> {
    let method = http::Method::from_bytes(text.as_bytes()).map_err(|_| Wrong::whole(text, "not a method").help("for example: GET"))?;
    let upper = text.to_ascii_uppercase();
    if upper != text && ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"].contains(&&*upper) {
        return Err(Wrong::whole(text, "methods are case-sensitive").help(format!("write {upper}")));
    }
    Ok(method)
}

/// 64 hexadecimal digits.
pub fn sha256(text: &str) -> Result<[u8; 32], Wrong> {
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(Wrong::at(at..at + c.len_utf8(), "not a hexadecimal digit").help("as sha256sum prints it"));
    }
    if text.len() != 64 {
        return Err(Wrong::whole(text, format!("a SHA-256 has 64 hexadecimal digits, this has {}", text.len())));
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    }
    Ok(digest)
}

/// A protocol's name in the handshake (RFC 7301, section 6): registered ones are printable, and an operator can write no others.
pub fn alpn(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.len() > 255 {
        return Err(Wrong::whole(text, "a protocol has 1 to 255 characters").help("for example: h2"));
    }
    match text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        Some((at, c)) => Err(Wrong::at(at..at + c.len_utf8(), "cannot stand in the name of a protocol").help("for example: http/1.1")),
        None => Ok(text.to_owned()),
    }
}

/// A name of an upstream, plugin or chain: letters, digits, `-`, `_` and `.`, at most 100.
pub fn name(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.len() > 100 {
        return Err(Wrong::whole(text, "a name has 1 to 100 characters"));
    }
    match text.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
        Some((at, c)) => Err(Wrong::at(at..at + c.len_utf8(), "a name has letters, digits, `-`, `_` and `.`")),
        None => Ok(text.to_owned()),
    }
}

/// A name of a plugin or link: lower-case letters, digits and `-`, at most 100.
pub fn plugin_name(text: &str) -> Result<String, Wrong> {
    name(text)?;
    match text.char_indices().find(|(_, c)| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-') {
        Some((at, c)) => Err(Wrong::at(at..at + c.len_utf8(), "a plugin's name has lower-case letters, digits and `-`")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(listen_address(":443").expect("fine").len(), 2);
        assert_eq!(listen_address("[::1]:80").expect("fine"), ["[::1]:80".parse().expect("fine")]);
        for (text, at) in [("0.0.0.0", 7..7), ("1.2.3:80", 0..5), ("1.2.3.4:99999", 8..13), ("::1:80", 0..3), ("1.2.3.4:+80", 8..11)] {
            assert_eq!(listen_address(text).expect_err(text).at, at, "{text}");
        }
        let address = server_address("[2001:DB8::1]:80").expect("fine");
        assert_eq!(address, ServerAddress::Tcp { host: "2001:db8::1".into(), port: 80 });
        assert_eq!(server_address("App.Example.COM.:80").expect("fine").to_string(), "app.example.com:80");
        for text in ["app", "http://app:80", "app:80/x", "::1", "[::1]", "a b:80", "1.2.3.4.5:80", ":80", "app:0", "ä:80"] {
            let wrong = server_address(text).expect_err(text);
            assert!(!wrong.later && wrong.at.end <= text.len(), "{text}");
        }
    }

    #[test]
    fn servers_with_a_scheme() {
        let tcp = |host: &str, port| ServerAddress::Tcp { host: host.into(), port };
        let scheme = |written: &str| SCHEMES.into_iter().find(|scheme| scheme.written == written).expect("known");
        assert_eq!(server("https://App.test").expect("fine"), (tcp("app.test", 443), scheme("https://")));
        assert_eq!(server("https://[::1]:8443/").expect("fine"), (tcp("::1", 8443), scheme("https://")));
        assert_eq!(server("https://[::1]").expect("fine"), (tcp("::1", 443), scheme("https://")));
        assert_eq!(server("h2c://app:80").expect("fine"), (tcp("app", 80), scheme("h2c://")));
        assert_eq!(server("grpcs://app").expect("fine"), (tcp("app", 443), scheme("grpcs://")));
        assert!(server("grpc://app").is_err_and(|wrong| wrong.message == "the port is missing"));
        assert_eq!(server("app:80").expect("fine"), (tcp("app", 80), Scheme::NONE));
        assert_eq!(server("unix:/run/x").expect("fine"), (ServerAddress::Unix("/run/x".into()), Scheme::NONE));
        let service = |name: &str| ServerAddress::Service { name: name.into() };
        let srv = |written, tls| Scheme { written, tls, protocol: None };
        assert_eq!(server("srv+https://_api._tcp.Svc.test.").expect("fine"), (service("_api._tcp.svc.test"), srv("srv+https://", true)));
        assert_eq!(server("srv+http://_api._tcp.svc/").expect("fine"), (service("_api._tcp.svc"), srv("srv+http://", false)));
        for (text, at) in
            [("srv+_a._tcp.b", 0..4), ("srv+http://a.b", 11..14), ("srv+http://_a._tcp.b:1", 11..22), ("srv+http://_a._tcp", 11..18)]
        {
            assert_eq!(server(text).expect_err(text).at, at, "{text}");
        }
        assert_eq!(nameserver("127.0.0.1").expect("fine"), "127.0.0.1:53".parse().expect("fine"));
        assert!(nameserver("[::1]:5353").is_ok() && nameserver("::1").is_ok() && nameserver("dns.test").is_err());
        for (text, at) in [("https://a.test/x", 14..16), ("https://", 8..8), ("https://a:x", 10..11), ("unix:", 5..5), ("unix:///x", 5..9)]
        {
            assert_eq!(server(text).expect_err(text).at, at, "{text}");
        }
        let unix = |text: &str| listen_addresses(text).map(|mut all| all.pop());
        assert_eq!(unix("unix:/a?mode=0600").expect("fine"), Some(ListenAddress::Unix { path: "/a".into(), mode: 0o600 }));
        for (text, at) in [("unix:/a?mode=999", 8..16), ("unix:/a?x", 8..9), ("unix:", 5..5), ("unix:/a?mode=01777", 8..18)] {
            assert_eq!(unix(text).expect_err(text).at, at, "{text}");
        }
        assert_eq!(peer_name("::0001").expect("fine"), "::1");
        assert!(peer_name("a:1").is_err() && dns_name("127.0.0.1").is_err() && dns_name("A.test").is_ok());
    }

    #[test]
    fn site_names() {
        assert_eq!(site_name("App.Example.com.").expect("fine"), SiteName::Exact("app.example.com".into()));
        assert_eq!(site_name("*.Example.com").expect("fine"), SiteName::Wildcard("example.com".into()));
        assert_eq!(site_name("::0001").expect("fine"), SiteName::Exact("[::1]".into()));
        assert_eq!(site_name("*").expect("fine"), SiteName::Any);
        for (text, at) in [("a:80", 1..4), ("a.*.b", 2..3), ("*.ä.b", 2..4), ("a..b", 2..2), ("https://a", 0..8), ("a/b", 1..3), ("", 0..0)]
        {
            assert_eq!(site_name(text).expect_err(text).at, at, "{text}");
        }
    }

    #[test]
    fn networks_headers_digests() {
        assert!(network("10.0.0.0/8").is_ok() && network("::1").is_ok());
        assert_eq!(network("10.0.0.1/8").expect_err("bits").help.as_deref(), Some("write 10.0.0.0/8"));
        assert_eq!(network("10.0.0.0/33").expect_err("too long").at, 9..11);
        assert_eq!(header_name("X-A b").expect_err("blank").at, 3..4);
        assert_eq!(header_value("a\r\nb").expect_err("line break").at, 1..2);
        assert!(method("get").is_err() && method("PURGE").is_ok());
        assert_eq!(sha256(&"0f".repeat(32)).expect("fine"), [15; 32]);
        assert!(sha256("0f").is_err() && sha256(&"zz".repeat(32)).is_err());
    }
}
