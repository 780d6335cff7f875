//! Requests that never become an exchange, because their head cannot be trusted.

/// From one table: the variants, their reason tokens, and the list of them all.
macro_rules! malformed {
    ($(#[$about:meta])* pub enum Malformed { $($(#[$meaning:meta])* $name:ident = $reason:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Malformed {
            $($(#[$meaning])* $name,)*
        }

        impl Malformed {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The reason token: the same in log, metric, `Proxy-Status` and documentation.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)*
                }
            }
        }
    };
}

malformed! {
    /// Why a request head was refused (RFC 9112; RFC 9110, section 15.5). The connection is closed after the answer, since
    /// where the next request begins is no longer certain.
    pub enum Malformed {
        /// Not `method SP target SP version CRLF` (RFC 9112, section 3).
        RequestLine = "bad_request_line",
        /// Longer than the limit → 414.
        RequestLineTooLong = "request_line_too_long",
        /// A target that is none of the four forms (section 3.2), or that has bytes outside RFC 3986.
        Target = "bad_target",
        /// HTTP/0.9, HTTP/3.0 … in the request line → 505.
        Version = "bad_version",
        /// A field line that is not `name: value` (section 5.1), or an invalid byte in it.
        Field = "bad_field",
        /// A field line continued on the next (section 5.2).
        ObsoleteFolding = "obsolete_folding",
        /// CR without LF, or LF without CR (section 2.2).
        BareLineBreak = "bare_line_break",
        /// All fields together are longer than the limit → 431.
        FieldsTooLarge = "fields_too_large",
        /// More field lines than the limit → 431.
        TooManyFields = "too_many_fields",
        /// `Transfer-Encoding` and `Content-Length` (section 6.1): request smuggling.
        LengthAndChunked = "length_and_chunked",
        /// `Content-Length` that is no number, or several that differ or repeat (section 6.3).
        ContentLength = "bad_content_length",
        /// A transfer coding other than `chunked` alone → 501 if merely unknown, but smuggling is likelier: 400.
        TransferEncoding = "bad_transfer_encoding",
        /// No `Host`, several, or one that is not a host (section 3.2).
        Host = "bad_host",
        /// The head took too long → 408.
        Timeout = "head_timeout",
        /// Fields that HTTP/2 forbids (RFC 9113, section 8.2.2) or `:authority` that differs from `Host`.
        Http2 = "bad_http2_request",
    }
}
