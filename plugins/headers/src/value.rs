//! Values of header fields: constant text, or text with placeholders.
//!
//! `{request.host}` and `{request.header.NAME}` are our own; every other name is an attribute of the contract (`wit/types.wit`, `attribute`)
//! or one for the access log that a link before has set. What is not there is empty.

use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::prelude::*;
use portcullis_sdk::{RequestInterest, ResponseInterest, Template};

/// A field's value, and how to make it.
pub(crate) enum Value {
    /// Costs nothing but a copy.
    Constant(String),
    Filled(Template<Source>),
}

/// A value that is ready to be written.
pub(crate) enum Filled<'v> {
    Constant(&'v str),
    Made(Vec<u8>),
}

impl AsRef<[u8]> for Filled<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Constant(text) => text.as_bytes(),
            Self::Made(bytes) => bytes,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Request,
    Response,
}

/// Where a placeholder's text comes from.
pub(crate) enum Source {
    Method,
    Scheme,
    Authority,
    /// The authority without its port.
    Host,
    Path,
    Query,
    /// A field of the request.
    Header(String),
    Attribute(String),
}

/// Attributes that the proxy sets in either phase and that are no part of the request's head.
const ATTRIBUTES: [&str; 22] = [
    "client.ip",
    "client.port",
    "peer.ip",
    "server.ip",
    "server.port",
    "tls.version",
    "tls.sni",
    "tls.alpn",
    "tls.client.verified",
    "tls.client.subject",
    "tls.client.issuer",
    "tls.client.serial",
    "tls.client.fingerprint",
    "tls.client.not-after",
    "tls.client.san.dns",
    "tls.client.san.uri",
    "tls.client.san.email",
    "tls.client.san.ip",
    "http.version",
    "site",
    "route",
    "request.id",
];

impl Source {
    fn parse(name: &str, phase: Phase) -> Result<Self, String> {
        if let Some(header) = name.strip_prefix("request.header.") {
            return match phase {
                Phase::Request => header_name(header).map(Self::Header).map_err(|why| format!("`{{{name}}}`: {why}")),
                Phase::Response => Err(format!("`{{{name}}}` is known for requests only")),
            };
        }
        Ok(match name {
            "request.method" => Self::Method,
            "request.scheme" => Self::Scheme,
            "request.authority" => Self::Authority,
            "request.host" => Self::Host,
            "request.path" => Self::Path,
            "request.query" => Self::Query,
            "upstream" if phase == Phase::Request => return Err("`{upstream}` is known for responses only".to_string()),
            name if ATTRIBUTES.contains(&name) || name.starts_with("log.") || name == "upstream" => Self::Attribute(name.to_string()),
            name => {
                return Err(format!(
                    "no placeholder `{{{name}}}`; there are request.host, request.method, request.scheme, request.authority, request.path, \
                     request.query, request.header.NAME, upstream, log.NAME, {}",
                    ATTRIBUTES.join(", ")
                ));
            }
        })
    }

    /// The attribute that holds it in the response phase.
    fn attribute(&self) -> &str {
        match self {
            Self::Method => "request.method",
            Self::Scheme => "request.scheme",
            Self::Authority | Self::Host => "request.authority",
            Self::Path => "request.path",
            Self::Query => "request.query",
            Self::Header(name) | Self::Attribute(name) => name,
        }
    }
}

impl Value {
    /// # Errors
    /// One line for the operator.
    pub(crate) fn parse(text: &str, phase: Phase) -> Result<Self, String> {
        header_value(text.as_bytes())?;
        let template = Template::parse(text, |name| Source::parse(name, phase))?;
        Ok(match template.constant() {
            Some(text) => Self::Constant(text.to_string()),
            None => Self::Filled(template),
        })
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        let template = match self {
            Self::Constant(_) => None,
            Self::Filled(template) => Some(template),
        };
        template.into_iter().flat_map(Template::placeholders)
    }

    pub(crate) fn ask_request(&self, interest: &mut RequestInterest) {
        for source in self.sources() {
            match source {
                Source::Method => interest.method(),
                Source::Scheme => interest.scheme(),
                Source::Authority | Source::Host => interest.authority(),
                Source::Path => interest.path(),
                Source::Query => interest.query(),
                Source::Header(name) => interest.header(name.clone()),
                Source::Attribute(name) => interest.attribute(name.clone()),
            };
        }
    }

    pub(crate) fn ask_response(&self, interest: &mut ResponseInterest) {
        for source in self.sources() {
            interest.attribute(source.attribute().to_string());
        }
    }

    pub(crate) fn of_request<'v>(&'v self, request: &Request) -> Filled<'v> {
        self.fill(|source, out| match source {
            Source::Method => out.extend_from_slice(request.method().as_bytes()),
            Source::Scheme => out.extend_from_slice(request.scheme().as_bytes()),
            Source::Authority => out.extend_from_slice(request.authority().as_bytes()),
            Source::Host => out.extend_from_slice(request.host().as_bytes()),
            Source::Path => out.extend_from_slice(request.path().as_bytes()),
            Source::Query => out.extend_from_slice(request.query().unwrap_or_default().as_bytes()),
            Source::Header(name) => out.extend_from_slice(request.header(name).unwrap_or_default()),
            Source::Attribute(name) => out.extend_from_slice(request.attribute(name).unwrap_or_default().as_bytes()),
        })
    }

    pub(crate) fn of_response<'v>(&'v self, response: &Response) -> Filled<'v> {
        self.fill(|source, out| {
            let text = response.attribute(source.attribute()).unwrap_or_default();
            let text = if matches!(source, Source::Host) { portcullis_sdk::host(text) } else { text };
            out.extend_from_slice(text.as_bytes());
        })
    }

    fn fill(&self, value: impl FnMut(&Source, &mut Vec<u8>)) -> Filled<'_> {
        match self {
            Self::Constant(text) => Filled::Constant(text),
            Self::Filled(template) => Filled::Made(template.fill(value)),
        }
    }
}
