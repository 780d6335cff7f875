//! `portcullis explain METHOD URL`: what would happen to a request, and where each part of it is written.
//!
//! In reading order: what is asked and found is here; `sites`, `links` and `upstreams` put its parts into words, `text` and `json` all of it.

mod json;
mod links;
mod sites;
mod text;
mod upstreams;

pub(super) use links::origin;
pub(super) use sites::{path, tls};
pub(super) use text::row;
pub(super) use upstreams::{server_json, servers};

use super::memory::{self, Told};
use crate::config::{self, Config, LinkSpec, Report, Route, Site, TlsSpec};
use crate::message::{RequestHead, Scheme, authority, target};
use crate::proxy::{self, Finding};
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
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
}
