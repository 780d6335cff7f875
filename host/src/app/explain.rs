//! `portcullis explain METHOD URL`: what would happen to a request, and where each part of it is written.

use super::granted::own;
use super::memory::{self, Told};
use crate::config::{
    self, ClientCertForward, Config, Limits, LinkOrigin, LinkSpec, MirrorSpec, PathMatch, PluginRef, Protocol, Report, RetrySpec, Route,
    Site, TlsSpec, UpstreamServer, UpstreamSpec, show_duration,
};
use crate::message::{RequestHead, Scheme, authority, target};
use crate::proxy::{self, Finding};
use crate::sandbox::{Capability, bundled};
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The request in question.
pub struct Question {
    pub method: Method,
    /// Absolute.
    pub url: Uri,
    /// `name: value`
    pub headers: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error("{}", .0.text())]
    Config(Report),
    #[error("`{0}` is not an absolute http or https URL, such as https://app.example.com/path")]
    Url(Uri),
    #[error("the URL's {0}")]
    Target(String),
    #[error("`{0}` is not a header field; write `Name: value`")]
    Header(String),
}

/// What would happen.
pub struct Explained {
    pub(super) config: Config,
    pub(super) head: RequestHead,
    /// Index of the site, and of the route in it.
    place: Result<(usize, usize), Refused>,
    /// Routes of the site in the order of precedence.
    considered: Vec<(usize, Finding)>,
    /// Beside the links of the route: what is told of their guests.
    memory: Vec<Told>,
}

/// Why no route takes the request. The tokens are those of the log.
enum Refused {
    NoSite,
    NoRoute(usize),
    /// Asked in the clear; it is sent to this URL.
    Redirect(usize, String),
    /// A site in the clear, asked over TLS.
    Misdirected(usize),
}

/// Answers from the text of the configuration; no socket is opened, and components are read for their phases, and loaded only to see which decisions are remembered.
pub fn explain(path: &Path, question: Question) -> Result<Explained, ExplainError> {
    let (config, _warnings) = config::load(path).map_err(ExplainError::Config)?;
    explain_under(config, question, memory::told)
}

/// The same of a configuration that is there. `memory` says of the guests of a route's links what there is to say.
pub(super) fn explain_under(
    config: Config,
    question: Question,
    memory: impl FnOnce(&Config, &[LinkSpec]) -> Vec<Told>,
) -> Result<Explained, ExplainError> {
    let head = head(question)?;
    let host = authority::host(&head.authority);
    let found = proxy::explain(&config.sites, host, &head);
    let place = match (found.site, found.chosen()) {
        (None, _) => Err(Refused::NoSite),
        (Some(site), chosen) => match (&config.sites[site].tls, head.scheme) {
            (TlsSpec::Off, Scheme::Https) => Err(Refused::Misdirected(site)),
            (TlsSpec::Off, Scheme::Http) | (_, Scheme::Https) => chosen.map(|route| (site, route)).ok_or(Refused::NoRoute(site)),
            (_, Scheme::Http) => Err(Refused::Redirect(site, head.secure_location(config.listen.https_port()))),
        },
    };
    let chain = place.as_ref().map_or(&[][..], |(site, route)| &config.sites[*site].routes[*route].chain);
    let memory = memory(&config, chain);
    Ok(Explained { config, head, place, considered: found.routes, memory })
}

fn head(question: Question) -> Result<RequestHead, ExplainError> {
    let Question { method, url, headers } = question;
    let mut fields = HeaderMap::new();
    for line in headers {
        let field = line
            .split_once(':')
            .and_then(|(name, value)| Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?)));
        let (name, value) = field.ok_or(ExplainError::Header(line))?;
        fields.append(name, value);
    }
    request_head(method, url, fields)
}

/// The head of a request for an absolute URL, as links would see it.
pub(super) fn request_head(method: Method, url: Uri, headers: HeaderMap) -> Result<RequestHead, ExplainError> {
    let scheme = match url.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(ExplainError::Url(url)),
    };
    let Some(named) = url.authority() else { return Err(ExplainError::Url(url)) };
    let authority = authority::normalise(ByteString::from(named.as_str()), scheme).map_err(|_| ExplainError::Url(url.clone()))?;
    let asked = url.path_and_query().map_or("/", |asked| asked.as_str());
    let (path, query) = target::normalise(ByteString::from(asked)).map_err(|bad| ExplainError::Target(bad.to_string()))?;
    Ok(RequestHead { method, scheme, authority, path, query, headers })
}

impl Explained {
    /// The route that takes the request, with its site.
    pub(super) fn route(&self) -> Option<(&Site, &Route)> {
        let (site, route) = self.place.as_ref().ok()?;
        let site = self.config.sites.get(*site)?;
        Some((site, site.routes.get(*route)?))
    }

    /// Whether a route, or the redirect to https, takes the request.
    pub fn found(&self) -> bool {
        matches!(self.place, Ok(_) | Err(Refused::Redirect(..)))
    }

    pub fn text(&self) -> String {
        let query = self.head.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut out = String::new();
        row(
            &mut out,
            "request",
            &format!("{} {}://{}{}{query}", self.head.method, self.head.scheme.as_str(), self.head.authority, self.head.path),
            "",
        );
        for (index, link) in self.config.listen.chain.iter().enumerate() {
            let title = if index == 0 { "connection" } else { "" };
            let text = format!("{}. {}{}  {}{}", index + 1, link.name, of(link), link.shown_settings(), self.may(link));
            row(&mut out, title, &text, &format!("{} ({})", link.at, origin(&link.origin)));
        }
        match &self.place {
            Ok((site, route)) => {
                let site = &self.config.sites[*site];
                self.site_row(&mut out, site);
                self.route_rows(&mut out, &site.routes[*route]);
            }
            Err(Refused::NoSite) => row(&mut out, "answer", "404 no_site: no site has this name", ""),
            Err(Refused::NoRoute(site)) => {
                self.site_row(&mut out, &self.config.sites[*site]);
                row(&mut out, "answer", "404 no_route: no route of the site takes this request", "");
            }
            Err(Refused::Redirect(site, location)) => {
                self.site_row(&mut out, &self.config.sites[*site]);
                row(&mut out, "answer", &format!("308 to {location}: the site is served over TLS"), "");
            }
            Err(Refused::Misdirected(site)) => {
                self.site_row(&mut out, &self.config.sites[*site]);
                row(&mut out, "answer", "421 misdirected: the site has tls = \"off\"", "");
            }
        }
        self.considered_rows(&mut out);
        out
    }

    fn site_row(&self, out: &mut String, site: &Site) {
        row(out, "site", &format!("{}  (tls: {}{})", site.name, tls(&site.tls), clients(site)), &site.at.to_string());
    }

    fn route_rows(&self, out: &mut String, route: &Route) {
        row(out, "route", &route.pattern, &route.at.to_string());
        for (index, link) in route.chain.iter().enumerate() {
            let title = if index == 0 { "chain" } else { "" };
            let entered = if enters(link, &self.head) { "" } else { "  (not entered: `when` does not hold)" };
            let may = self.may(link);
            let (phases, memory) = self.memory.get(index).map(|told| (told.phases.join(", "), &*told.memory)).unwrap_or_default();
            let text = format!("{}. {}{}  {}{may}{entered}  {phases}  [{memory}]", index + 1, link.name, of(link), link.shown_settings());
            row(out, title, &text, &format!("{} ({})", link.at, origin(&link.origin)));
        }
        match route.to.as_ref().and_then(|to| self.config.upstreams.get_key_value(to)) {
            Some((name, upstream)) => {
                row(out, "upstream", &format!("{name}  {}  {}", upstream.balance, servers(upstream)), &upstream.at.to_string());
                terms(upstream, &self.config).iter().for_each(|(title, text)| row(out, title, text, ""));
            }
            None => row(out, "upstream", "none: a link answers or chooses", ""),
        }
        let times = self.times(route).map(|(name, time)| format!("{name} {}", time.map_or("none".to_owned(), show_duration)));
        row(out, "timeouts", &times.join(", "), "");
        if route.to.is_some() {
            row(out, "retry", &retry(&route.retry, &self.config.limits), "");
        }
        if let Some(injected) = &route.injected {
            row(out, "fault", &injected.to_string(), "");
        }
        if let Some(MirrorSpec { to, share }) = &route.mirror {
            row(out, "mirror", &format!("{to}  {share}% of the requests"), "");
        }
        let log = self.config.server.access_log.name();
        row(out, "access log", log, "");
    }

    /// Effective timeouts.
    fn times(&self, route: &Route) -> [(&'static str, Option<Duration>); 4] {
        let limits = &self.config.limits;
        [
            ("total", route.timeouts.total),
            ("response", Some(route.timeouts.response.unwrap_or(limits.response))),
            ("idle", Some(route.timeouts.idle.unwrap_or(limits.response_idle))),
            ("connect", Some(limits.connect)),
        ]
    }

    fn considered_rows(&self, out: &mut String) {
        let site = match &self.place {
            Ok((site, _)) | Err(Refused::NoRoute(site)) => &self.config.sites[*site],
            Err(_) => return,
        };
        let others = self.considered.iter().filter(|(_, finding)| *finding != Finding::Chosen);
        // What has another path is of interest only where nothing was found; a large site would fill the screen.
        let others = others.filter(|(_, finding)| self.place.is_err() || *finding != Finding::OtherPath);
        for (number, (index, finding)) in others.take(20).enumerate() {
            let route = &site.routes[*index];
            row(out, if number == 0 { "not taken" } else { "" }, &format!("{}: {}", route.pattern, reason(finding)), &route.at.to_string());
        }
    }

    pub fn json(&self) -> Value {
        let mut answer = json!({
            "method": self.head.method.as_str(), "scheme": self.head.scheme.as_str(), "authority": &*self.head.authority,
            "path": &*self.head.path, "query": self.head.query.as_deref(),
        });
        if !self.config.listen.chain.is_empty() {
            answer["connection"] = self.config.listen.chain.iter().map(|link| self.link_json(link)).collect();
        }
        let site = |index: usize| {
            let site = &self.config.sites[index];
            json!({ "name": site.name.to_string(), "tls": tls(&site.tls), "at": site.at.to_string() })
        };
        match &self.place {
            Ok((index, route)) => {
                let route = &self.config.sites[*index].routes[*route];
                answer["site"] = site(*index);
                answer["route"] = json!({ "pattern": route.pattern, "path": path(&route.matches.path), "at": route.at.to_string() });
                answer["chain"] = route.chain.iter().map(|link| self.link_json(link)).collect();
                for (link, memory) in answer["chain"].as_array_mut().into_iter().flatten().zip(&self.memory) {
                    link["phases"] = json!(memory.phases);
                    link["remembered"] = json!(memory.memory);
                }
                answer["upstream"] = match route.to.as_ref().and_then(|to| self.config.upstreams.get_key_value(to)) {
                    Some((name, spec)) => {
                        let servers: Vec<_> = spec.servers.iter().map(server_json).collect();
                        let mut upstream = json!({ "name": name.to_string(), "balance": spec.balance.to_string(), "servers": servers });
                        terms(spec, &self.config).into_iter().for_each(|(title, text)| upstream[title] = text.into());
                        upstream["at"] = spec.at.to_string().into();
                        upstream
                    }
                    None => Value::Null,
                };
                answer["retry"] = json!(route.to.as_ref().map(|_| retry(&route.retry, &self.config.limits)));
                if let Some(MirrorSpec { to, share }) = &route.mirror {
                    answer["mirror"] = json!({ "to": to.to_string(), "share": share });
                }
                if let Some(injected) = &route.injected {
                    answer["fault"] = injected.to_string().into();
                }
                answer["timeouts"] =
                    self.times(route).into_iter().map(|(name, time)| (name.to_owned(), json!(time.map(show_duration)))).collect();
            }
            Err(Refused::NoSite) => answer["answer"] = json!({ "status": 404, "reason": "no_site" }),
            Err(Refused::NoRoute(index)) => {
                answer["site"] = site(*index);
                answer["answer"] = json!({ "status": 404, "reason": "no_route" });
            }
            Err(Refused::Redirect(index, location)) => {
                answer["site"] = site(*index);
                answer["answer"] = json!({ "status": 308, "location": location });
            }
            Err(Refused::Misdirected(index)) => {
                answer["site"] = site(*index);
                answer["answer"] = json!({ "status": 421, "reason": "misdirected" });
            }
        }
        answer
    }

    fn link_json(&self, link: &LinkSpec) -> Value {
        json!({
            "name": link.name, "plugin": link.plugin.to_string(), "settings": link.shown_settings(), "at": link.at.to_string(),
            "from": origin(&link.origin), "entered": enters(link, &self.head), "may": self.capabilities(link),
        })
    }

    /// What a link may do beyond deciding.
    fn may(&self, link: &LinkSpec) -> String {
        let may = self.capabilities(link);
        if may.is_empty() { String::new() } else { format!("  (may use {})", may.join(", ")) }
    }

    fn capabilities(&self, link: &LinkSpec) -> Vec<&'static str> {
        let spec = match &link.plugin {
            PluginRef::Declared(name) => self.config.plugins.get(name),
            PluginRef::Bundled(_) => None,
        };
        let due = own(&link.plugin, spec).map_or(&[][..], bundled::rights);
        let granted = |capability: &Capability| due.contains(capability) || spec.is_some_and(|spec| capability.is_in(&spec.allow));
        Capability::ALL.into_iter().filter(granted).map(Capability::interface).collect()
    }
}

/// A line of three columns; the place stands behind the text.
pub(super) fn row(out: &mut String, title: &str, text: &str, place: &str) {
    let gap = if place.is_empty() { "" } else { "   " };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{title:<11}{text}{gap}{place}");
}

pub(super) fn tls(spec: &TlsSpec) -> String {
    match spec {
        TlsSpec::Off => "off".to_owned(),
        TlsSpec::Local => "local".to_owned(),
        TlsSpec::Acme(spec) => format!("acme {} {}", spec.challenge.as_str(), spec.issuer.directory),
        TlsSpec::Files(files) => files.cert.display().to_string(),
    }
}

fn clients(site: &Site) -> String {
    let Some(client) = &site.client else { return String::new() };
    let which = if client.require { "required" } else { "optional" };
    let crl = client.crl.as_ref().map(|(crl, _)| format!(", revoked by {}", crl.display())).unwrap_or_default();
    let forward = match client.forward {
        None => "",
        Some(ClientCertForward::Rfc9440) => ", forwarded as Client-Cert",
        Some(ClientCertForward::Xfcc) => ", forwarded as X-Forwarded-Client-Cert",
    };
    format!("; client certificates of {} {which}{crl}{forward}", client.ca.display())
}

fn of(link: &LinkSpec) -> String {
    let plugin = link.plugin.to_string();
    if plugin == link.name { String::new() } else { format!(" = {plugin}") }
}

pub(super) fn origin(origin: &LinkOrigin) -> &'static str {
    match origin {
        LinkOrigin::Server => "server",
        LinkOrigin::Site => "site",
        LinkOrigin::Route => "route",
        LinkOrigin::Listener => "listener",
    }
}

pub(super) fn servers(spec: &UpstreamSpec) -> String {
    let servers: Vec<_> = spec.servers.iter().map(ToString::to_string).collect();
    format!("{}{}", servers.join(" "), if spec.tls.is_some() { "  over TLS" } else { "" })
}

/// What else holds for an upstream, if anything does.
fn terms(spec: &UpstreamSpec, config: &Config) -> Vec<(&'static str, String)> {
    let sticky = spec.sticky.as_ref().map(|sticky| ("sticky", format!("cookie {}", sticky.cookie)));
    let health = spec.health.as_ref().map(|health| ("health", health.to_string()));
    let limits = spec.limits.as_ref().map(|limits| ("limits", limits.to_string()));
    let slow_start = spec.slow_start.map(|time| ("slow start", show_duration(time)));
    let zone = spec.zone.as_ref().map(|zone| ("zone", format!("{zone} is ours, and comes first")));
    let lookup = looked_up(spec, config).map(|text| ("lookup", text));
    let protocol = (spec.protocol != Protocol::Http1).then(|| ("protocol", spec.protocol.shown(spec.tls.is_some()).to_owned()));
    [protocol, lookup, zone, sticky, health, limits, slow_start].into_iter().flatten().collect()
}

/// Which names are looked up where.
fn looked_up(spec: &UpstreamSpec, config: &Config) -> Option<String> {
    let names: Vec<&str> = spec.servers.iter().filter_map(|server| server.address.name()).collect();
    let resolver = &config.server.resolver;
    let asked = match &**resolver {
        [] => "as /etc/hosts and /etc/resolv.conf say".to_owned(),
        asked => format!("in /etc/hosts and at {}", asked.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    };
    (!names.is_empty()).then(|| format!("{} {asked}; each address is a server", names.join(" ")))
}

/// When another server is tried.
fn retry(spec: &RetrySpec, limits: &Limits) -> String {
    let words = [(spec.connect, "connect"), (spec.reset, "reset"), (spec.timeout, "timeout")];
    let mut on: Vec<String> = words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect();
    on.extend(spec.statuses.iter().map(ToString::to_string));
    let tries = spec.tries.unwrap_or(limits.retries + 1);
    if tries == 1 || on.is_empty() {
        return "never".to_owned();
    }
    let per_try = spec.per_try.map(|time| format!(", {} each", show_duration(time))).unwrap_or_default();
    let hedge = spec.hedge.map(|time| format!(", another server as well after {}", show_duration(time))).unwrap_or_default();
    format!("on {}: {tries} tries{per_try}{hedge}, budget {}%", on.join(", "), spec.budget.unwrap_or(limits.retry_budget))
}

pub(super) fn server_json(server: &UpstreamServer) -> Value {
    json!({
        "address": server.address.to_string(), "weight": server.weight, "tags": server.tags, "priority": server.priority, "zone": server.zone,
        "at": server.at.to_string(),
    })
}

pub(super) fn path(path: &PathMatch) -> Value {
    match path {
        PathMatch::Exact(path) => json!({ "exact": path }),
        PathMatch::Prefix(prefix) => json!({ "prefix": if prefix.is_empty() { "/" } else { prefix } }),
        PathMatch::Regex { regex, priority } => json!({ "regex": regex.as_str(), "priority": priority }),
    }
}

fn reason(finding: &Finding) -> String {
    match finding {
        Finding::Chosen => "chosen".to_owned(),
        Finding::LessSpecific => "matches too, but is less specific".to_owned(),
        Finding::OtherPath => "another path".to_owned(),
        Finding::OtherMethod => "another method".to_owned(),
        Finding::OtherHeader(name) => format!("header `{name}` is missing or differs"),
        Finding::OtherQuery(name) => format!("query parameter `{name}` is missing or differs"),
    }
}

fn enters(link: &LinkSpec, head: &RequestHead) -> bool {
    link.when.as_ref().is_none_or(|when| when.holds(&head.method, &head.path, head.query.as_deref(), &head.headers))
}
