//! What configurations of other servers are brought to before they are written as ours.

use crate::config::SiteName;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// A whole configuration.
#[derive(Default)]
pub struct Draft {
    /// Addresses; empty: the usual ones.
    pub http: Vec<String>,
    pub https: Vec<String>,
    pub trusted_proxies: Vec<String>,
    pub acme: BTreeMap<&'static str, String>,
    /// Of `[limits]`.
    pub limits: BTreeMap<&'static str, String>,
    pub sites: Vec<Site>,
    pub tcp: Vec<Tcp>,
    pub upstreams: Vec<Upstream>,
    /// Upstreams that links ask.
    pub asked: Vec<String>,
    pub lost: Vec<Lost>,
}

/// What was not carried over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lost {
    pub file: PathBuf,
    pub line: usize,
    /// As it stands there, cut if it is long.
    pub what: String,
    pub why: String,
}

#[derive(Default, Clone, PartialEq)]
pub struct Site {
    pub name: String,
    /// What it answers to as well.
    pub aliases: Vec<String>,
    pub tls: Tls,
    pub chain: Vec<Link>,
    pub headers: Headers,
    pub routes: Vec<Route>,
}

#[derive(Default, Clone, PartialEq)]
pub enum Tls {
    /// By the name.
    #[default]
    Implied,
    Off,
    Local,
    Files {
        cert: String,
        key: String,
        /// CAs of clients' certificates, and whether clients need one.
        client: Option<(String, bool)>,
    },
}

/// A link's plugin with its settings, as TOML values.
#[derive(Clone, PartialEq)]
pub struct Link {
    pub plugin: &'static str,
    pub settings: Vec<(&'static str, String)>,
}

impl Link {
    /// Lets nobody in.
    pub fn closed() -> Self {
        Self { plugin: "ip-filter", settings: vec![("deny", "[\"0.0.0.0/0\", \"::/0\"]".to_owned())] }
    }
}

#[derive(Default, Clone, PartialEq)]
pub struct Headers {
    pub request: Edits,
    pub response: Edits,
}

#[derive(Default, Clone, PartialEq)]
pub struct Edits {
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

#[derive(Clone, PartialEq)]
pub struct Route {
    /// `/x/*`, `=/x`, `~regex`
    pub pattern: String,
    pub priority: Option<i64>,
    /// Of `match`, as TOML values.
    pub conditions: Vec<(&'static str, String)>,
    pub action: Action,
    pub strip: Option<String>,
    pub headers: Headers,
    pub chain: Vec<Link>,
    /// `total`, `response`, `idle`
    pub timeout: BTreeMap<&'static str, String>,
    /// Of `retry`, as TOML values.
    pub retry: BTreeMap<&'static str, String>,
}

#[derive(Clone, PartialEq)]
pub enum Action {
    To(String),
    Respond { status: u16, body: String },
    Redirect { to: String, status: u16 },
}

#[derive(Default, Clone, PartialEq)]
pub struct Upstream {
    pub name: String,
    pub servers: Vec<Server>,
    pub balance: Option<String>,
    /// The cookie by which a client stays with a server.
    pub sticky: Option<String>,
    /// Of `health`, as TOML values.
    pub health: BTreeMap<&'static str, String>,
    /// Requests that each server has at once.
    pub per_server: Option<u32>,
    /// CA, name; both of TLS to its servers.
    pub ca: Option<String>,
    pub server_name: Option<String>,
    pub unverified: bool,
    pub proxy_protocol: bool,
    pub idle: Option<u32>,
}

#[derive(Default, Clone, PartialEq)]
pub struct Server {
    pub address: String,
    pub weight: Option<u32>,
    pub priority: Option<u32>,
}

/// A listener of the TCP corridor.
pub struct Tcp {
    pub address: String,
    pub to: String,
    pub idle: Option<String>,
}

impl Route {
    pub fn new(pattern: impl Into<String>, action: Action) -> Self {
        Self {
            pattern: pattern.into(),
            priority: None,
            conditions: Vec::new(),
            action,
            strip: None,
            headers: Headers::default(),
            chain: Vec::new(),
            timeout: BTreeMap::new(),
            retry: BTreeMap::new(),
        }
    }
}

impl From<String> for Server {
    fn from(address: String) -> Self {
        Self { address, ..Self::default() }
    }
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

impl Headers {
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`: {}", self.file.display(), self.line, self.what, self.why)
    }
}

impl Draft {
    /// The site of this name, made if it is not there.
    pub fn site(&mut self, name: &str) -> &mut Site {
        let index = self.sites.iter().position(|site| site.name == name).unwrap_or(self.sites.len());
        if index == self.sites.len() {
            self.sites.push(Site { name: name.to_owned(), ..Site::default() });
        }
        &mut self.sites[index]
    }

    /// An upstream with these servers: one that is there, or a new one called like `wanted`.
    pub fn upstream(&mut self, wanted: &str, upstream: Upstream) -> String {
        let same = |there: &&Upstream| **there == Upstream { name: there.name.clone(), ..upstream.clone() };
        if let Some(there) = self.upstreams.iter().find(same) {
            return there.name.clone();
        }
        let plain: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
        let plain = plain.trim_matches('-').to_owned();
        let plain = if plain.is_empty() { "app".to_owned() } else { plain };
        let taken = |name: &String| self.upstreams.iter().any(|there| there.name == *name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(plain);
        self.upstreams.push(Upstream { name: name.clone(), ..upstream });
        name
    }

    /// What is ours to see to: no site without a route, no upstream that nobody goes to.
    pub fn complete(&mut self) {
        for site in &mut self.sites {
            if site.routes.is_empty() {
                site.routes.push(Route::new("/*", Action::Respond { status: 404, body: String::new() }));
            }
        }
        self.sites.dedup_by(|next, site| site.takes_in(next));
        let to: Vec<&String> = self
            .sites
            .iter()
            .flat_map(|site| &site.routes)
            .filter_map(Route::upstream)
            .chain(self.tcp.iter().map(|tcp| &tcp.to))
            .chain(&self.asked)
            .collect();
        let used: Vec<String> = self.upstreams.iter().map(|upstream| upstream.name.clone()).filter(|name| to.contains(&name)).collect();
        self.upstreams.retain(|upstream| used.contains(&upstream.name));
        self.lost.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        // What stands once may have been read for each of several names.
        let mut told = HashSet::new();
        self.lost.retain(|lost| told.insert(lost.clone()));
    }
}

impl Site {
    /// Whether the next one was the same but for its name, which is an alias now.
    fn takes_in(&mut self, next: &Self) -> bool {
        let local = |name: &str| SiteName::read(name).is_ok_and(|name| name.is_local());
        // Where the name says which certificate it is, both have to say the same.
        let alike = self.tls != Tls::Implied || local(&self.name) == local(&next.name);
        let same = alike && *self == Self { name: self.name.clone(), aliases: self.aliases.clone(), ..next.clone() };
        if same {
            self.aliases.push(next.name.clone());
        }
        same
    }

    /// Files are those of this folder.
    pub fn at(&mut self, folder: &Path) {
        if let Tls::Files { cert, key, client } = &mut self.tls {
            let ca = client.as_mut().map(|(ca, _)| ca);
            for file in [cert, key].into_iter().chain(ca) {
                *file = folder.join(&*file).display().to_string();
            }
        }
    }
}

impl Route {
    fn upstream(&self) -> Option<&String> {
        match &self.action {
            Action::To(upstream) => Some(upstream),
            _ => None,
        }
    }
}
