//! What differs between two configurations, for whoever wants to know what a reload did or would do.

use super::{Config, Placeless};
use std::collections::BTreeMap;
use std::fmt;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// As its table is called: `site`, `upstream`, …
    pub what: &'static str,
    /// `None`: there is only one.
    pub name: Option<String>,
    pub how: How,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Added,
    Removed,
    Changed,
    /// What is written is as it was, but the file that it names is not.
    File,
    /// Only at the next start.
    Later,
}

impl Change {
    pub fn new(what: &'static str, name: impl Into<String>, how: How) -> Self {
        Self { what, name: Some(name.into()), how }
    }
}

impl How {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::File => "its file has changed",
            Self::Later => "takes effect at the next start, or with `portcullis upgrade`",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} {name}: {}", self.what, self.how.as_str()),
            None => write!(f, "[{}]: {}", self.what, self.how.as_str()),
        }
    }
}

impl Config {
    /// What would change if this took the place of `earlier`, in the order of the tables of a file.
    pub fn changes(&self, earlier: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut whole = |what, changed: bool, how| changes.extend(changed.then_some(Change { what, name: None, how }));
        let fixed = |config: &Self| (config.server.workers, config.server.state.clone());
        whole("server", fixed(self) != fixed(earlier), How::Later);
        let admin = |config: &Self| config.admin.as_ref().map(Placeless::placeless);
        whole("admin", admin(self) != admin(earlier), How::Later);
        let (mut server, mut before) = (self.server.placeless(), earlier.server.placeless());
        (server.workers, server.state) = Default::default();
        (before.workers, before.state) = Default::default();
        whole("server", server != before, How::Changed);
        whole("listen", !self.listen.means(&earlier.listen), How::Changed);
        whole("limits", self.limits != earlier.limits, How::Changed);
        whole("observe", self.observe != earlier.observe, How::Changed);
        changes.extend(between("plugin", entries(&self.plugins), entries(&earlier.plugins)));
        changes.extend(between("kv", entries(&self.stores), entries(&earlier.stores)));
        let secrets = |config: &Self| config.secrets.iter().map(|(name, secret)| (name.clone(), secret.clone())).collect();
        changes.extend(between("secret", secrets(self), secrets(earlier)));
        let sites = |config: &Self| config.sites.iter().map(|site| (site.name.to_string(), site.placeless())).collect();
        changes.extend(between("site", sites(self), sites(earlier)));
        let tcp = |config: &Self| config.tcp.iter().map(|tcp| (tcp.name.clone(), tcp.placeless())).collect();
        changes.extend(between("tcp", tcp(self), tcp(earlier)));
        changes.extend(between("upstream", entries(&self.upstreams), entries(&earlier.upstreams)));
        changes
    }
}

fn entries<N: ToString, T: Placeless>(map: &BTreeMap<N, T>) -> BTreeMap<String, T> {
    map.iter().map(|(name, entry)| (name.to_string(), entry.placeless())).collect()
}

fn between<T: PartialEq>(what: &'static str, now: BTreeMap<String, T>, mut before: BTreeMap<String, T>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, entry) in now {
        match before.remove(&name) {
            None => changes.push(Change::new(what, name, How::Added)),
            Some(earlier) if earlier != entry => changes.push(Change::new(what, name, How::Changed)),
            Some(_) => {}
        }
    }
    changes.extend(before.into_keys().map(|name| Change::new(what, name, How::Removed)));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
[acme]
directory = "https://ca.test/directory"
[server]
workers = 2
ticket-keys = "tickets"
[listen]
http = ["127.0.0.1:1"]
[plugin]
one = { source = "one.wasm", allow = { kv = ["store"], secret = ["KEY"] } }
[kv]
store = "memory"
[secret]
KEY = { file = "key" }
[site."a.test"]
tls = { cert = "a.pem", key = "a.key", client = { ca = "ca.pem", crl = "crl.pem" } }
chain = [{ use = "one", config = { a = 1 } }]
[site."a.test".routes]
"/*" = "app"
"~^/v[0-9]/" = { to = "app", priority = 1 }
[site."b.test"]
tls = "acme"
routes = { "/*" = { to = "app", retry = 2, chain = [{ use = "one", when = { path = "/x/*" } }] } }
[tcp."127.0.0.1:2"]
tls = { cert = "a.pem", key = "a.key" }
sni = { "a.test" = "app" }
[upstream.app]
servers = ["https://h:1", { address = "https://i:1", weight = 2, tags = ["z"] }]
health = "GET / every 5s"
tls = { ca = "ca.pem", crl = "crl.pem", cert = "me.pem", key = "me.key" }
"#;

    fn parse(text: &str) -> Config {
        let (config, _) = Config::parse(&[("a.toml", text), ("key", "secret")]).unwrap_or_else(|report| panic!("{}", report.text()));
        config
    }

    fn changes(after: &str) -> Vec<String> {
        parse(after).changes(&parse(BEFORE)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_that_moved_change_nothing() {
        let moved = BEFORE.replace("\n[", "\n\n  # a comment\n  [").replace(" = ", "   =  ");
        assert_eq!(changes(&moved), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_change_is_told() {
        for (from, to, told) in [
            ("workers = 2", "workers = 3", "[server]: takes effect at the next start, or with `portcullis upgrade`"),
            ("\"tickets\"", "\"others\"", "[server]: changed"),
            ("127.0.0.1:1\"", "127.0.0.1:3\"", "[listen]: changed"),
            ("[plugin]\n", "[limits]\nconnections = 10\n[plugin]\n", "[limits]: changed"),
            ("[plugin]\n", "[observe]\notlp = \"http://127.0.0.1:4318\"\n[plugin]\n", "[observe]: changed"),
            ("one.wasm", "two.wasm", "plugin one: changed"),
            ("\"memory\"", "{ memory = \"8MiB\" }", "kv store: changed"),
            ("a = 1", "a = 2", "site a.test: changed"),
            ("/v[0-9]/", "/w[0-9]/", "site a.test: changed"),
            ("a.key\", client", "b.key\", client", "site a.test: changed"),
            ("/x/*", "/y/*", "site b.test: changed"),
            ("sni = { \"a.test\"", "sni = { \"b.test\"", "tcp 127.0.0.1:2: changed"),
            ("https://h:1", "https://h:2", "upstream app: changed"),
            ("crl = \"crl.pem\", cert = \"me.pem\"", "cert = \"me.pem\"", "upstream app: changed"),
            ("every 5s", "every 6s", "upstream app: changed"),
            ("weight = 2", "weight = 3", "upstream app: changed"),
            ("retry = 2", "retry = 3", "site b.test: changed"),
            ("[upstream.app]", "[upstream.other]\nservers = \"h:3\"\n[upstream.app]", "upstream other: added"),
        ] {
            assert!(BEFORE.contains(from), "{from}");
            assert_eq!(changes(&BEFORE.replace(from, to)), [told], "{from} → {to}");
        }
        let renamed = changes(&BEFORE.replace("site.\"b.test\"", "site.\"c.test\""));
        assert_eq!(renamed, ["site c.test: added", "site b.test: removed"]);
        let secret = Config::parse(&[("a.toml", BEFORE), ("key", "another")]).expect("good").0.changes(&parse(BEFORE));
        assert_eq!(secret[0].to_string(), "secret KEY: changed");
    }
}
