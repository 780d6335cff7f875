//! Why a body ended early.

/// A library's error, kept as the source of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body ended early, by whose fault it is. Both walls' bodies fail with this.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client broke the framing (RFC 9112, section 7.1) or its length.
    #[error("the client sent a malformed body: {0}")]
    ClientMalformed(&'static str),
    /// The client's connection ended or the stream was reset.
    #[error("the client went away")]
    ClientGone(#[source] Option<BoxError>),
    /// The client sent or took nothing for too long.
    #[error("the client stalled")]
    ClientStalled,
    /// The origin broke the framing or its length.
    #[error("the origin sent a malformed body: {0}")]
    OriginMalformed(&'static str),
    /// The origin's connection ended before the body did.
    #[error("the origin went away")]
    OriginGone(#[source] Option<BoxError>),
    /// The origin sent nothing for too long.
    #[error("the origin stalled")]
    OriginStalled,
    /// The exchange's total time is over.
    #[error("the exchange took too long")]
    Expired,
}

impl BodyError {
    /// The reason token of an exchange that ends by it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ClientMalformed(_) => "bad_body",
            Self::ClientGone(_) => "client_gone",
            Self::ClientStalled => "body_timeout",
            Self::OriginMalformed(_) => "bad_response_body",
            Self::OriginGone(_) => "origin_gone",
            Self::OriginStalled => "response_idle",
            Self::Expired => "exchange_timeout",
        }
    }
}
