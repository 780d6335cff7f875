//! What crate `h2`'s errors mean: whose fault they are, and whether the server has seen the request.

use crate::upstream::SendError;
use crate::wire::MalformedResponse;
use h2::Reason;
use std::io;

/// Whether the server has not looked at the request, whatever its method: it can be sent again (RFC 9113, section 8.7).
pub(in crate::upstream) fn is_unprocessed(error: &SendError) -> bool {
    matches!(error, SendError::Refused)
}

/// The error, and the fault that the server was told of, if it was one of its own making.
pub(super) fn sort(error: h2::Error) -> (SendError, Option<Reason>) {
    let reason = error.reason();
    let sorted = match reason {
        // Streams beyond the last that the server names; those before it go on (section 6.8).
        Some(_) if error.is_go_away() && error.is_remote() => SendError::Refused,
        Some(Reason::REFUSED_STREAM) if error.is_remote() => SendError::Refused,
        Some(_) if error.is_library() => SendError::Malformed(MalformedResponse::Http2),
        Some(reason) => SendError::Reset(Some(io::Error::other(format!("the server reset the stream: {}", reason.description())))),
        None => SendError::Reset(error.into_io()),
    };
    (sorted, reason)
}

/// The same error for another request that waited for the same connection.
pub(super) fn again(error: &SendError) -> SendError {
    let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
    match error {
        SendError::Connect(error) => SendError::Connect(copy(error)),
        SendError::Certificate(error) => SendError::Certificate(copy(error)),
        SendError::Alert(error) => SendError::Alert(copy(error)),
        SendError::Handshake(error) => SendError::Handshake(copy(error)),
        SendError::Overloaded(error) => SendError::Overloaded(copy(error)),
        SendError::Malformed(malformed) => SendError::Malformed(*malformed),
        // The maker's own time was over, which says little of the server.
        SendError::ConnectTimeout | SendError::Expired => SendError::ConnectTimeout,
        other => SendError::Connect(io::Error::other(other.to_string())),
    }
}
