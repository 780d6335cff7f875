//! Requests that never become an exchange, because their head cannot be trusted.

/// Why a request head was refused (RFC 9112; RFC 9110, section 15.5). The connection is closed after the answer, since
/// where the next request begins is no longer certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Not `method SP target SP version CRLF` (RFC 9112, section 3).
    RequestLine,
    /// Longer than the limit → 414.
    RequestLineTooLong,
    /// A target that is none of the four forms (section 3.2), or that has bytes outside RFC 3986.
    Target,
    /// HTTP/0.9, HTTP/3.0 … in the request line → 505.
    Version,
    /// A field line that is not `name: value` (section 5.1), or an invalid byte in it.
    Field,
    /// A field line continued on the next (section 5.2).
    ObsoleteFolding,
    /// CR without LF, or LF without CR (section 2.2).
    BareLineBreak,
    /// All fields together are longer than the limit → 431.
    FieldsTooLarge,
    /// More field lines than the limit → 431.
    TooManyFields,
    /// `Transfer-Encoding` and `Content-Length` (section 6.1): request smuggling.
    LengthAndChunked,
    /// `Content-Length` that is no number, or several that differ or repeat (section 6.3).
    ContentLength,
    /// A transfer coding other than `chunked` alone → 501 if merely unknown, but smuggling is likelier: 400.
    TransferEncoding,
    /// No `Host`, several, or one that is not a host (section 3.2).
    Host,
    /// The head took too long → 408.
    Timeout,
    /// Fields that HTTP/2 forbids (RFC 9113, section 8.2.2) or `:authority` that differs from `Host`.
    Http2,
}

impl Malformed {
    /// The reason token: the same in log, metric, `Proxy-Status` and documentation.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "bad_request_line",
            Self::RequestLineTooLong => "request_line_too_long",
            Self::Target => "bad_target",
            Self::Version => "bad_version",
            Self::Field => "bad_field",
            Self::ObsoleteFolding => "obsolete_folding",
            Self::BareLineBreak => "bare_line_break",
            Self::FieldsTooLarge => "fields_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::LengthAndChunked => "length_and_chunked",
            Self::ContentLength => "bad_content_length",
            Self::TransferEncoding => "bad_transfer_encoding",
            Self::Host => "bad_host",
            Self::Timeout => "head_timeout",
            Self::Http2 => "bad_http2_request",
        }
    }
}
