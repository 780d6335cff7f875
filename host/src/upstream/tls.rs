//! TLS on a connection to a server, and what its failures mean.

use super::SendError;
use crate::certs::ServerTls;
use crate::wire::Stream;
use rustls::Error;
use std::io;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes the handshake before `until`. `raw`: no protocol is offered.
pub(super) async fn handshake(socket: Stream, tls: &ServerTls, raw: bool, until: Instant) -> Result<Box<TlsStream<Stream>>, SendError> {
    let (settings, name) = if raw { tls.raw() } else { tls.http() };
    match timeout_at(until, TlsConnector::from(settings).connect(name, socket)).await {
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
