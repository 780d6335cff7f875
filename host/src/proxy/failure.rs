//! The one place that turns what went wrong into a status: with a reason token that is the same in log, `Proxy-Status` and
//! documentation, and a body that tells a client little. What guests and origins say is never in it.

use crate::chain::{Cause, Ungathered, Way};
use crate::message::authority::BadHost;
use crate::message::target::BadTarget;
use crate::message::{BodyError, ExchangeId, Malformed, Reply};
use crate::upstream::SendError;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// Why the proxy answers itself, by whose doing it is.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    // The client's.
    #[error("the request head is malformed: {}", .0.reason())]
    Malformed(Malformed),
    #[error(transparent)]
    Target(#[from] BadTarget),
    #[error(transparent)]
    Host(#[from] BadHost),
    /// CONNECT asks for a tunnel, and TRACE to be told what other proxies added.
    #[error("method {0} is not for a gateway")]
    Method(Method),
    /// `Max-Forwards: 0` (RFC 9110, section 7.6.2): no failure, the answer is ours.
    #[error("the client asked the last hop before the origin")]
    LastHop,
    /// A CA looks whether a name is ours (RFC 8555, section 8.3): no failure, the answer is ours.
    #[error("the request is a CA's")]
    Proof(String),
    /// In the clear, for a site with TLS: it is sent to this location.
    #[error("the site is served over TLS")]
    Insecure(HeaderValue),
    /// Over TLS, for a site without (RFC 9110, section 15.5.20).
    #[error("the site is not served over TLS")]
    Misdirected,
    /// Over a connection whose client was asked for another certificate than the site asks for, or for none.
    #[error("the connection was made for a site that asks for other client certificates")]
    OtherClientAuth,
    // The client's or the operator's.
    #[error("no site has this name")]
    NoSite,
    #[error("no route of the site takes this request")]
    NoRoute,
    // The operator's.
    #[error("the route has no upstream and no link answered")]
    NoDestination,
    /// Wanted, for a test; with the status that is written there.
    #[error("the route has `fault`, which has picked this request")]
    Injected(u16),
    // A plugin's.
    #[error("a plugin broke its contract: {}", .0.reason())]
    Plugin(Cause),
    /// A link wanted to see a request's body whole, which is too large.
    #[error("the request's body is larger than what a plugin may buffer")]
    BodyTooLarge,
    /// Likewise a response's.
    #[error("the response's body is larger than what a plugin may buffer")]
    ResponseTooLarge,
    /// All that is buffered together is too much.
    #[error("the process buffers as much as it may")]
    BuffersFull,
    // Whoever's body it is.
    #[error("a body that a plugin wanted to see ended early: {0}")]
    Body(BodyError),
    // Ours.
    /// The configuration that the exchange began with is gone.
    #[error("the exchange was not over long after the configuration had changed")]
    Outlived,
    // The origin's, or as the error says.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// What a reason token stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// Lower-case words joined with `_`.
    pub token: &'static str,
    /// `None`: there is nobody to answer, or no answer any more.
    pub status: Option<StatusCode>,
    /// The error type in `Proxy-Status` (RFC 9209, section 2.3). `None`: it is no error.
    pub error: Option<&'static str>,
    /// One sentence for the documentation.
    pub meaning: &'static str,
}

const fn reason(token: &'static str, status: StatusCode, error: &'static str, meaning: &'static str) -> Reason {
    Reason { token, status: Some(status), error: Some(error), meaning }
}

const fn unanswered(token: &'static str, error: &'static str, meaning: &'static str) -> Reason {
    Reason { token, status: None, error: Some(error), meaning }
}

const fn no_error(token: &'static str, status: StatusCode, meaning: &'static str) -> Reason {
    Reason { token, status: Some(status), error: None, meaning }
}

/// Every reason there is, by whose doing it is; the documentation is made from it.
pub const REASONS: &[Reason] = &{
    use StatusCode as S;
    const REQUEST: &str = "http_request_error";
    const ORIGIN: &str = "http_protocol_error";
    const OURS: &str = "proxy_internal_error";
    [
        // The client's: the head.
        reason("bad_request_line", S::BAD_REQUEST, REQUEST, "The request line is not method, target and version."),
        reason("request_line_too_long", S::URI_TOO_LONG, REQUEST, "The request line is longer than limits.request-line."),
        reason("bad_target", S::BAD_REQUEST, REQUEST, "The request target is none of the allowed forms, or its path is ambiguous."),
        reason("bad_version", S::HTTP_VERSION_NOT_SUPPORTED, REQUEST, "The HTTP version is not one this listener speaks."),
        reason("bad_field", S::BAD_REQUEST, REQUEST, "A header field line is not a name and a value."),
        reason("obsolete_folding", S::BAD_REQUEST, REQUEST, "A header field is continued on the next line."),
        reason("bare_line_break", S::BAD_REQUEST, REQUEST, "A line ends with CR or LF alone."),
        reason(
            "fields_too_large",
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            REQUEST,
            "All header fields together are larger than limits.header-bytes.",
        ),
        reason("too_many_fields", S::REQUEST_HEADER_FIELDS_TOO_LARGE, REQUEST, "There are more header fields than limits.header-count."),
        reason("length_and_chunked", S::BAD_REQUEST, REQUEST, "Content-Length stands beside Transfer-Encoding."),
        reason("bad_content_length", S::BAD_REQUEST, REQUEST, "Content-Length is no number, or there are several."),
        reason("bad_transfer_encoding", S::BAD_REQUEST, REQUEST, "Transfer-Encoding is not chunked alone."),
        reason("bad_host", S::BAD_REQUEST, REQUEST, "Host is missing, there are several, or it is no host."),
        reason("head_timeout", S::REQUEST_TIMEOUT, REQUEST, "The request head took longer than limits.header-read."),
        reason("bad_http2_request", S::BAD_REQUEST, REQUEST, "The request has what HTTP/2 forbids."),
        reason("method_refused", S::NOT_IMPLEMENTED, "http_request_denied", "CONNECT and TRACE are not for a gateway."),
        no_error("last_hop", S::NO_CONTENT, "OPTIONS with Max-Forwards: 0 is answered by the proxy."),
        no_error("acme_challenge", S::OK, "A CA that looks whether a site's name is ours is shown what it wants to see."),
        no_error("https_redirect", S::PERMANENT_REDIRECT, "The site is served over TLS and the request came in the clear."),
        reason(
            "misdirected",
            S::MISDIRECTED_REQUEST,
            "http_request_denied",
            "The site is served in the clear only and the request came over TLS.",
        ),
        reason(
            "other_client_auth",
            S::MISDIRECTED_REQUEST,
            "http_request_denied",
            "Client certificates are asked for on this site, or on the one that the connection was made for, and these differ.",
        ),
        // The client's: the body.
        reason("bad_body", S::BAD_REQUEST, REQUEST, "The request body breaks its framing."),
        reason(
            "body_too_large",
            S::PAYLOAD_TOO_LARGE,
            REQUEST,
            "A plugin wanted to see the request body whole, and it is larger than the plugin or limits.body-buffer allows.",
        ),
        reason("body_timeout", S::REQUEST_TIMEOUT, REQUEST, "The request body paused for longer than limits.body-idle."),
        unanswered("upgraded_idle", REQUEST, "An upgraded connection had no byte in either direction for limits.upgraded-idle."),
        unanswered("client_gone", REQUEST, "The client went away before the exchange was over."),
        // The client's or the operator's.
        reason("no_site", S::NOT_FOUND, "destination_not_found", "No site has the name that the client asked for."),
        reason("no_route", S::NOT_FOUND, "destination_not_found", "No route of the site takes the request."),
        reason("no_destination", S::INTERNAL_SERVER_ERROR, "proxy_configuration_error", "The route has no upstream and no link answered."),
        reason(
            "fault_injected",
            S::SERVICE_UNAVAILABLE,
            "http_request_denied",
            "The route's fault.abort says that this request fails, with the status that is written there.",
        ),
        // A plugin's.
        reason("plugin_trap", S::INTERNAL_SERVER_ERROR, OURS, "A plugin trapped."),
        reason("plugin_timeout", S::INTERNAL_SERVER_ERROR, OURS, "A plugin used more CPU than its limit."),
        reason("plugin_memory", S::INTERNAL_SERVER_ERROR, OURS, "A plugin used more memory than its limit."),
        reason("plugin_bad_output", S::INTERNAL_SERVER_ERROR, OURS, "A plugin decided something that the contract does not allow."),
        reason("plugin_overload", S::SERVICE_UNAVAILABLE, OURS, "No guest of a plugin was to be had."),
        reason(
            "response_too_large",
            S::BAD_GATEWAY,
            "http_response_body_size",
            "A plugin wanted to see the response body whole, and it is larger than the plugin or limits.body-buffer allows.",
        ),
        reason("buffers_full", S::SERVICE_UNAVAILABLE, OURS, "All bodies that are buffered together are larger than limits.body-buffers."),
        unanswered("plugin_abort", "http_request_denied", "A plugin ended the exchange without an answer."),
        // The origin's.
        reason("connect_refused", S::BAD_GATEWAY, "connection_refused", "The server refused the connection."),
        reason(
            "connect_failed",
            S::BAD_GATEWAY,
            "destination_unavailable",
            "No address of the server could be reached, or its name has none.",
        ),
        reason(
            "no_servers",
            S::BAD_GATEWAY,
            "dns_error",
            "The upstream's servers are found by name, and no look-up has brought an address yet.",
        ),
        reason(
            "connect_timeout",
            S::GATEWAY_TIMEOUT,
            "connection_timeout",
            "The server did not accept a connection within limits.connect, or limits.connect-tls.",
        ),
        reason(
            "origin_certificate",
            S::BAD_GATEWAY,
            "tls_certificate_error",
            "The server's certificate is not one to trust: unknown CA, another name, expired.",
        ),
        reason(
            "origin_tls_alert",
            S::BAD_GATEWAY,
            "tls_alert_received",
            "The server refused the TLS session, maybe for want of a certificate.",
        ),
        reason("origin_tls", S::BAD_GATEWAY, "tls_protocol_error", "No TLS session with the server came about."),
        reason("origin_reset", S::BAD_GATEWAY, "connection_terminated", "The server closed the connection before it answered."),
        reason(
            "origin_refused",
            S::BAD_GATEWAY,
            "connection_terminated",
            "Over HTTP/2, the server refused the request before it looked at it (REFUSED_STREAM, GOAWAY), time and again.",
        ),
        reason("response_timeout", S::GATEWAY_TIMEOUT, "http_response_timeout", "The server did not answer within timeout.response."),
        reason("bad_response", S::BAD_GATEWAY, ORIGIN, "The server's response head is malformed."),
        reason("bad_response_body", S::BAD_GATEWAY, ORIGIN, "The server's response body breaks its framing."),
        reason("origin_gone", S::BAD_GATEWAY, "http_response_incomplete", "The server closed the connection within the response body."),
        reason("response_idle", S::GATEWAY_TIMEOUT, "connection_read_timeout", "The response body paused for longer than timeout.idle."),
        // A service's.
        reason("service_trap", S::BAD_GATEWAY, OURS, "A component that is a server trapped."),
        reason("service_timeout", S::GATEWAY_TIMEOUT, OURS, "A component that is a server used more CPU or time than its limit."),
        reason("service_memory", S::BAD_GATEWAY, OURS, "A component that is a server used more memory than its limit."),
        reason("service_answer", S::BAD_GATEWAY, OURS, "A component that is a server ended without an answer, or with an error."),
        reason("service_overload", S::SERVICE_UNAVAILABLE, OURS, "No instance of a component that is a server was to be had."),
        // The operator's.
        reason("exchange_timeout", S::GATEWAY_TIMEOUT, "http_response_timeout", "The exchange took longer than timeout.total."),
        reason(
            "upstream_busy",
            S::SERVICE_UNAVAILABLE,
            "connection_limit_reached",
            "As many requests as the upstream's limits allow run, or as many connections are open, and the queue is full, or the request was in it for too long.",
        ),
        reason(
            "upstream_drained",
            S::SERVICE_UNAVAILABLE,
            "destination_unavailable",
            "An operator has taken all servers of the upstream out (drain).",
        ),
        // Ours.
        unanswered("stopped", OURS, "The proxy was told to stop, and the exchange was not over after limits.stop."),
        reason(
            "outlived",
            S::SERVICE_UNAVAILABLE,
            OURS,
            "The configuration was replaced, and there was no response limits.stop after that.",
        ),
        reason("overload", S::SERVICE_UNAVAILABLE, "connection_limit_reached", "The proxy has no resources left to connect to a server."),
        reason("internal", S::INTERNAL_SERVER_ERROR, OURS, "The proxy has an error."),
    ]
};

impl Reason {
    /// Only for exchanges that fail, hence a search.
    pub fn of(token: &str) -> &'static Self {
        REASONS.iter().find(|reason| reason.token == token).unwrap_or(Self::INTERNAL)
    }

    /// The last of the list.
    const INTERNAL: &'static Self = &REASONS[REASONS.len() - 1];
}

impl Failure {
    pub fn token(&self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.reason(),
            Self::Target(target) => target.reason(),
            Self::Host(host) => host.reason(),
            Self::Method(_) => "method_refused",
            Self::LastHop => "last_hop",
            Self::Proof(_) => "acme_challenge",
            Self::Insecure(_) => "https_redirect",
            Self::Misdirected => "misdirected",
            Self::OtherClientAuth => "other_client_auth",
            Self::NoSite => "no_site",
            Self::NoRoute => "no_route",
            Self::NoDestination => "no_destination",
            Self::Injected(_) => "fault_injected",
            Self::Plugin(cause) => cause.reason(),
            Self::BodyTooLarge => "body_too_large",
            Self::ResponseTooLarge => "response_too_large",
            Self::BuffersFull => "buffers_full",
            Self::Body(error) => error.reason(),
            Self::Outlived => "outlived",
            Self::Send(error) => error.reason(),
        }
    }

    /// A body that a link wanted to see whole is not to be had.
    pub fn ungathered(why: Ungathered, way: Way) -> Self {
        match (why, way) {
            (Ungathered::TooLarge, Way::Request) => Self::BodyTooLarge,
            (Ungathered::TooLarge, Way::Response) => Self::ResponseTooLarge,
            (Ungathered::NoRoom, _) => Self::BuffersFull,
            (Ungathered::Broken(error), _) => Self::Body(error),
        }
    }

    /// The answer to the client. `None`: there is nobody to answer.
    pub fn reply(&self, id: ExchangeId) -> Option<Reply> {
        let reason = Reason::of(self.token());
        let written = if let Self::Injected(status) = self { StatusCode::from_u16(*status).ok() } else { None };
        let mut reply = answer(reason, written.or(reason.status)?, id);
        if let Self::Insecure(location) = self {
            reply.headers.insert(header::LOCATION, location.clone());
        }
        if let Self::Send(SendError::Busy) = self {
            // Requests are short; who comes again soon is likely to find room.
            reply.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::Proof(proof) = self {
            reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            reply.body = proof.clone().into();
        }
        Some(reply)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// What takes the place of a response whose link faulted, or whose body could not be had.
pub(super) fn instead(token: &str, id: ExchangeId) -> Reply {
    let reason = Reason::of(token);
    answer(reason, reason.status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), id)
}

/// Says the status, the token and the exchange, which is enough to find the line in the log.
fn answer(reason: &Reason, status: StatusCode, id: ExchangeId) -> Reply {
    const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
    let mut headers = HeaderMap::with_capacity(4);
    if let Some(error) = reason.error {
        // Both are tokens of the table above, which a test holds to.
        let status = format!("portcullis; error={error}; details=\"{}\"", reason.token);
        headers.extend(HeaderValue::try_from(status).map(|value| (PROXY_STATUS, value)));
        // 404 and 501 may be kept by caches that were told nothing (RFC 9111, section 4.2.2).
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if status == StatusCode::NO_CONTENT {
        return Reply { status, headers, body: Bytes::new() };
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let name = status.canonical_reason().unwrap_or_default();
    let body = format!("{} {name}: {}\nexchange {:016x}\n", status.as_str(), reason.token, id.0);
    Reply { status, headers, body: body.into() }
}

#[cfg(test)]
mod tests;
