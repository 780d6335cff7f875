//! TLS on a connection to a server, and what its failures mean.

use super::SendError;
use crate::certs::{Offer, ServerTls};
use crate::wire::Stream;
use rustls::Error;
use std::io;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes the handshake before `until`. A server that is offered HTTP/2 alone must agree on it.
pub(super) async fn handshake(socket: Stream, tls: &ServerTls, offer: Offer, until: Instant) -> Result<Box<TlsStream<Stream>>, SendError> {
    let (settings, name) = tls.offering(offer);
    match timeout_at(until, TlsConnector::from(settings).connect(name, socket)).await {
        Ok(Ok(stream)) if offer == Offer::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
            Err(SendError::Handshake(io::Error::other("the server does not agree on HTTP/2 (ALPN)")))
        }
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(sort(error)),
        Err(_) => Err(SendError::ConnectTimeout),
    }
}

/// Whose fault a handshake's failure is.
fn sort(error: io::Error) -> SendError {
    match cause(&error) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::UnsupportedNameType) => SendError::Certificate(error),
        Some(Error::AlertReceived(_)) => SendError::Alert(error),
        _ => SendError::Handshake(error),
    }
}

/// What it means that a connection broke: a server that asks for a certificate says only after the handshake that it does not like
/// ours (RFC 8446, section 4.4.2.4).
pub(super) fn broken(error: io::Error) -> SendError {
    match cause(&error) {
        Some(Error::AlertReceived(_)) => SendError::Alert(error),
        _ => SendError::Reset(Some(error)),
    }
}

fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
