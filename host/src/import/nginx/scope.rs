//! What blocks inherit from those around them: fields, times, certificates, limits. A block that sets one kind of it for itself inherits nothing of that
//! kind, as in nginx.

mod chain;

use super::super::draft::{Draft, Edits, Headers, Link, Tls};
use super::super::write::quoted;
use super::door::Doors;
use super::{Line, elsewhere, is_meaningless, value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Default)]
pub struct Scope {
    folder: PathBuf,
    /// Names of ours by names of nginx's.
    pub upstreams: BTreeMap<String, String>,
    /// What `auth_request` asks, and where that stands.
    auth: Option<Line>,
    pub doors: Doors,
    /// Fields of the answer by the variables of `auth_request_set`.
    answered: BTreeMap<String, String>,
    /// Those that the request goes on with.
    copied: Vec<String>,
    /// Variables that are what `Connection` is here anyway.
    upgrades: Vec<String>,
    /// Of `limit_req_zone`: rate and key.
    zones: BTreeMap<String, (String, &'static str)>,
    pub request: Edits,
    pub response: Response,
    /// What the server gets as `Host`, if not what the client asked for.
    pub host: Option<Host>,
    pub timeout: BTreeMap<&'static str, String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
    client_ca: Option<String>,
    verify: Option<bool>,
    pub server_tls: ServerTls,
    limits: Vec<Link>,
    access: Vec<(bool, String)>,
    realm: Option<String>,
    users: Option<String>,
    /// Something that kept requests out could not be carried over.
    pub closed: bool,
    /// When another server is tried; empty: never.
    next: Option<Vec<String>>,
    /// How many are asked at most.
    tries: Option<u32>,
    /// Cache-Control of responses.
    expires: Option<String>,
    gzip: bool,
    gzip_settings: Vec<(&'static str, String)>,
}

#[derive(Clone, Default)]
pub struct Response {
    pub add: Vec<(String, String)>,
    pub hide: Vec<String>,
}

#[derive(Clone, PartialEq)]
pub enum Host {
    /// As the client asked.
    Clients,
    Literal(String),
}

#[derive(Clone, Default)]
pub struct ServerTls {
    pub ca: Option<String>,
    pub name: Option<String>,
    /// Off in nginx unless it is switched on.
    pub verify: bool,
}

/// Fields that say what is said here anyway.
const IMPLIED: &[(&str, &[&str])] = &[
    ("x-forwarded-for", &["$proxy_add_x_forwarded_for", "$remote_addr"]),
    ("x-forwarded-proto", &["$scheme", "https", "http"]),
    ("x-forwarded-scheme", &["$scheme"]),
    ("x-forwarded-host", &["$host", "$http_host", "$host:$server_port"]),
    ("upgrade", &["$http_upgrade"]),
    ("connection", &["upgrade", "Upgrade", "$connection_upgrade", "$http_connection", "", "keep-alive", "close"]),
    ("accept-encoding", &["$http_accept_encoding"]),
];

/// Whether the field of this name (in lower case) has this value anyway.
pub fn is_implied(name: &str, text: &str) -> bool {
    IMPLIED.iter().any(|(implied, texts)| *implied == name && texts.contains(&text))
}

/// Who is let in. Without them, more would be.
const GUARDS: &[&str] = &[
    "allow",
    "auth_basic",
    "auth_jwt",
    "auth_request",
    "deny",
    "if",
    "internal",
    "limit_except",
    "satisfy",
    "secure_link",
    "ssl_crl",
    "ssl_verify_client",
    "valid_referers",
];

/// Whether the directive of this name keeps somebody out.
pub fn guards(name: &str) -> bool {
    GUARDS.contains(&name) || name.starts_with("auth_") || name.starts_with("access_by_")
}

impl Scope {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, ..Self::default() }
    }

    /// For a block inside: what is set for itself takes the place of what it inherits.
    pub fn inner(&self, lines: &[Line]) -> Self {
        let has = |names: &[&str]| lines.iter().any(|line| names.contains(&&*line.name));
        let mut inner = self.clone();
        if has(&["proxy_set_header", "grpc_set_header"]) {
            (inner.request, inner.host) = (Edits::default(), None);
            inner.copied.clear();
        }
        if has(&["add_header"]) {
            inner.response.add.clear();
        }
        if has(&["proxy_hide_header"]) {
            inner.response.hide.clear();
        }
        if has(&["limit_req"]) {
            inner.limits.clear();
        }
        if has(&["allow", "deny"]) {
            inner.access.clear();
        }
        // A field may be set above the line that its variable is set in.
        for line in lines.iter().filter(|line| line.name == "auth_request_set") {
            if let Some(field) = line.arg(1).strip_prefix("$upstream_http_") {
                inner.answered.insert(line.arg(0).to_owned(), field.replace('_', "-"));
            }
        }
        inner
    }

    pub fn path(&self, text: &str) -> String {
        if Path::new(text).is_absolute() { text.to_owned() } else { self.folder.join(text).display().to_string() }
    }

    /// A directive that blocks inside inherit, or that is not known.
    pub fn take(&mut self, line: &Line, draft: &mut Draft) {
        if let Err(why) = self.taken(line) {
            let guards = guards(&line.name);
            self.closed |= guards;
            draft.lost.push(line.lost(if guards { format!("{why}; until then, what it protects answers 403") } else { why }));
        }
    }

    fn taken(&mut self, line: &Line) -> Result<(), String> {
        let off = line.arg(0) == "off";
        match &*line.name {
            "proxy_set_header" | "grpc_set_header" => return self.request_field(line.arg(0), line.arg(1)),
            "add_header" => {
                let text = value::field(line.arg(1)).map_err(|variable| format!("{variable} has no counterpart"))?;
                self.response.add.push((line.arg(0).to_owned(), text));
            }
            "proxy_hide_header" => self.response.hide.push(line.arg(0).to_owned()),
            "proxy_read_timeout" | "grpc_read_timeout" => {
                let time = value::time(line.arg(0))?;
                self.timeout.extend([("response", time.clone()), ("idle", time)]);
            }
            "ssl_certificate" => self.certificate = Some(self.path(line.arg(0))),
            "ssl_certificate_key" => self.key = Some(self.path(line.arg(0))),
            "ssl_client_certificate" => self.client_ca = Some(self.path(line.arg(0))),
            "ssl_verify_client" => match line.arg(0) {
                "on" => self.verify = Some(true),
                "optional" => self.verify = Some(false),
                "off" => self.verify = None,
                _ => return Err("clients are verified by the site's CA, or not at all".into()),
            },
            "proxy_ssl_trusted_certificate" | "grpc_ssl_trusted_certificate" => self.server_tls.ca = Some(self.path(line.arg(0))),
            "proxy_ssl_name" | "grpc_ssl_name" => self.server_tls.name = Some(value::plain(line.arg(0)).map_err(|_| "a name that varies")?),
            "proxy_ssl_verify" | "grpc_ssl_verify" => self.server_tls.verify = !off,
            "limit_req" => return self.limit(line),
            "allow" => self.access.push((true, line.arg(0).to_owned())),
            "deny" => self.access.push((false, line.arg(0).to_owned())),
            "auth_basic" => self.realm = (!off).then(|| line.arg(0).to_owned()),
            "auth_basic_user_file" => self.users = Some(self.path(line.arg(0))),
            "gzip" => self.gzip = !off,
            "gzip_types" => {
                let types: Vec<String> = line.args.iter().filter(|kind| *kind != "*").map(|kind| quoted(kind)).collect();
                self.gzip_settings.retain(|(key, _)| *key != "types");
                // HTML is always one of them.
                self.gzip_settings.push(("types", format!("[\"text/html\", {}]", types.join(", "))));
            }
            "gzip_min_length" if line.arg(0).bytes().all(|byte| byte.is_ascii_digit()) => {
                self.gzip_settings.push(("min-length", line.arg(0).to_owned()))
            }
            "gzip_comp_level" => self.gzip_settings.push(("level", line.arg(0).to_owned())),
            "real_ip_header" if ["X-Forwarded-For", "Forwarded"].contains(&line.arg(0)) => {}
            "real_ip_header" => {
                return Err("believed are X-Forwarded-For and Forwarded (or the PROXY protocol: `accept` in [listen])".into());
            }
            "real_ip_recursive" => {}
            "ssl_protocols" | "ssl_ciphers" | "ssl_prefer_server_ciphers" | "ssl_ecdh_curve" | "ssl_dhparam" | "ssl_conf_command" => {
                return Err("TLS 1.2 and 1.3 with the suites of rustls, which cannot be chosen".into());
            }
            "ssl_stapling" | "ssl_stapling_verify" | "ssl_trusted_certificate" => {
                return Err("a staple is a file: `tls = { …, ocsp }`".into());
            }
            "client_max_body_size" if line.arg(0) == "0" => {}
            "client_max_body_size" => return Err("bodies stream, and have no limit".into()),
            "proxy_connect_timeout" => return Err("is for all: `[limits] connect`".into()),
            "proxy_send_timeout" | "send_timeout" | "client_body_timeout" | "client_header_timeout" | "keepalive_timeout" => {
                return Err("is for all: see `portcullis defaults`".into());
            }
            "proxy_next_upstream" | "grpc_next_upstream" => return self.next(line),
            "proxy_next_upstream_tries" | "grpc_next_upstream_tries" => match line.arg(0).parse::<u32>() {
                Ok(0) => self.tries = None,
                Ok(tries @ 1..=11) => self.tries = Some(tries),
                _ => return Err("from 1 to 11: `retry` of a route".into()),
            },
            "proxy_next_upstream_timeout" | "grpc_next_upstream_timeout" => {
                return Err("each attempt has its time: `retry = { per-try }` of a route".into());
            }
            "limit_conn" | "limit_conn_zone" => return Err("`conn-limit` counts connections, in a listener's chain".into()),
            "internal" => return Err("there are no requests from within".into()),
            "satisfy" if line.arg(0) == "all" => {}
            "auth_request" => self.auth = (!off).then(|| line.clone()),
            "auth_request_set" if self.answered.contains_key(line.arg(0)) => {}
            "auth_request_set" if line.arg(1) == "$upstream_status" => {}
            "auth_request_set" => return Err("only fields of the answer: `copy` of `forward-auth`".into()),
            "sub_filter" | "sub_filter_once" | "sub_filter_types" => return Err("`body-rewrite` does this".into()),
            "expires" => {
                let value = value::expires(&line.args).ok_or("`cache-control` does this")?;
                self.expires = value;
            }
            "root" | "alias" | "index" | "try_files" | "autoindex" => return Err("files are not served here: put a server behind".into()),
            "fastcgi_pass" | "uwsgi_pass" | "scgi_pass" | "memcached_pass" => return Err("servers are spoken to in HTTP".into()),
            "error_page" => return Err("errors have a short text of the proxy's".into()),
            "if" => return Err("a condition: `match` of a route, `when` of a link, or a plugin".into()),
            "set" => return Err("a variable of your own: a plugin's job".into()),
            "mirror" => return Err("`mirror` of a route, or of a site".into()),
            name if name.starts_with("proxy_cache") => return Err("responses are not cached".into()),
            name if name.starts_with("fastcgi_") || name.starts_with("uwsgi_") || name.starts_with("grpc_") => {}
            name if is_meaningless(name) => {}
            name => return Err(elsewhere(name).unwrap_or("not known here").into()),
        }
        Ok(())
    }

    fn request_field(&mut self, name: &str, text: &str) -> Result<(), String> {
        let lower = name.to_ascii_lowercase();
        if lower == "host" {
            self.host = match text {
                "$host" | "$http_host" | "$host:$server_port" | "$server_name" => Some(Host::Clients),
                "$proxy_host" => None,
                _ => Some(Host::Literal(value::plain(text).map_err(|variable| format!("{variable} has no counterpart"))?)),
            };
            return Ok(());
        }
        if is_implied(&lower, text) {
            return Ok(());
        }
        if lower == "connection" && self.upgrades.iter().any(|variable| variable == text) {
            return Ok(());
        }
        if let Some(field) = self.answered.get(text) {
            if *field != lower {
                return Err(format!("`copy` of `forward-auth` keeps the name: {field}"));
            }
            self.copied.push(name.to_owned());
            return Ok(());
        }
        if text.is_empty() {
            self.request.remove.push(name.to_owned());
            return Ok(());
        }
        let text = value::field(text).map_err(|variable| format!("{variable} has no counterpart"))?;
        self.request.set.push((name.to_owned(), text));
        Ok(())
    }

    /// `map $http_upgrade $NAME { … }`, if it says what is said here anyway.
    pub fn map(&mut self, line: &Line, draft: &mut Draft) {
        let usual = |line: &Line| ["upgrade", "close", "keep-alive", "", "Upgrade"].contains(&line.arg(0));
        if line.name == "map" && line.arg(0) == "$http_upgrade" && line.lines().iter().all(usual) {
            self.upgrades.push(line.arg(1).to_owned());
        } else {
            draft.lost.push(line.lost("a variable of your own: a plugin's job"));
        }
    }

    /// What is asked before a request goes on, as it stands in `auth_request`.
    pub fn asked(&self) -> Option<&str> {
        self.auth.as_ref().map(|line| line.arg(0))
    }

    /// `proxy_next_upstream error timeout http_502 …`
    fn next(&mut self, line: &Line) -> Result<(), String> {
        let mut on = Vec::new();
        for case in &line.args {
            match &**case {
                "error" => on.extend(["connect", "reset"]),
                "timeout" => on.push("timeout"),
                "invalid_header" | "off" => {}
                "non_idempotent" => return Err("what a server may have seen is sent again only if it is idempotent".into()),
                case => on.push(case.strip_prefix("http_").ok_or_else(|| format!("`{case}` is not known here"))?),
            }
        }
        // Without any that are known here, it is as if nothing were said.
        let off = line.args.iter().any(|case| case == "off");
        self.next = (off || !on.is_empty()).then(|| on.into_iter().map(quoted).collect());
        Ok(())
    }

    /// `retry` of a route, as TOML values.
    pub fn retry(&self) -> BTreeMap<&'static str, String> {
        let next = self.next.as_ref().filter(|next| !next.is_empty()).map(|next| format!("[{}]", next.join(", ")));
        let off = self.next.as_ref().is_some_and(Vec::is_empty);
        let tries = if off { Some(1) } else { self.tries }.map(|tries| tries.to_string());
        [("on", next), ("tries", tries)].into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// `limit_req_zone KEY zone=NAME:SIZE rate=RATE`
    pub fn zone(&mut self, line: &Line, draft: &mut Draft) {
        let parameter = |name: &str| line.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
        let key = match line.arg(0) {
            "$binary_remote_addr" | "$remote_addr" => Some("client.ip"),
            "$server_name" | "$host" | "$http_host" => Some("host"),
            "$uri" | "$request_uri" => Some("path"),
            _ => None,
        };
        let rate = parameter("rate")
            .and_then(|rate| rate.strip_suffix("r/s").map(|n| format!("{n}/s")).or(rate.strip_suffix("r/m").map(|n| format!("{n}/m"))));
        match (key, rate, parameter("zone")) {
            (Some(key), Some(rate), Some(zone)) => {
                self.zones.insert(zone.split(':').next().unwrap_or_default().to_owned(), (rate, key));
            }
            _ => draft.lost.push(line.lost("see `key` of `rate-limit`")),
        }
    }

    fn limit(&mut self, line: &Line) -> Result<(), String> {
        let parameter = |name: &str| line.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
        let zone = parameter("zone").unwrap_or_default();
        let (rate, key) = self.zones.get(zone).ok_or_else(|| format!("its zone `{zone}` could not be carried over"))?;
        // nginx lets one through and `burst` more.
        let burst = parameter("burst").and_then(|burst| burst.parse::<u32>().ok()).unwrap_or(0).saturating_add(1);
        let name = zone.to_ascii_lowercase();
        let settings = vec![("name", quoted(&name)), ("rate", quoted(rate)), ("burst", burst.to_string()), ("key", quoted(key))];
        self.limits.push(Link { plugin: "rate-limit", settings });
        Ok(())
    }

    pub fn tls(&self) -> Tls {
        match (&self.certificate, &self.key) {
            (Some(cert), Some(key)) => {
                let client = self.verify.and_then(|required| Some((self.client_ca.clone()?, required)));
                Tls::Files { cert: cert.clone(), key: key.clone(), client }
            }
            _ => Tls::Implied,
        }
    }

    /// Whether clients must show a certificate, and nothing says by whom.
    pub fn verifies_by_nothing(&self) -> bool {
        self.verify == Some(true) && self.client_ca.is_none()
    }

    pub fn headers(&self) -> Headers {
        let response = Edits { add: self.response.add.clone(), remove: self.response.hide.clone(), ..Edits::default() };
        Headers { request: self.request.clone(), response }
    }
}
