//! One small request on a connection of its own, for checks.

use super::super::io::OriginIo;
use super::{Settings, fault};
use crate::upstream::SendError;
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, Request, StatusCode};

/// What is read of an answer at most. Checks want to know yes or no.
const MOST: usize = 16 << 10;

/// An answer with all of its body.
pub(in crate::upstream) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

/// Asks, and ends the connection. Takes as long as the server does: the caller has the clock.
pub(in crate::upstream) async fn ask(io: OriginIo, settings: Settings, request: Request<()>, body: Bytes) -> Result<Reply, SendError> {
    let sort = |error| fault::sort(error).0;
    let (mut sender, connection) = settings.builder().handshake(io).await.map_err(sort)?;
    let asked = async {
        let ends = body.is_empty();
        let (response, mut out) = sender.send_request(request, ends).map_err(sort)?;
        if !ends {
            out.send_data(body, true).map_err(sort)?;
        }
        let (parts, incoming) = response.await.map_err(sort)?.into_parts();
        let (body, trailers) = collect(incoming).await.map_err(sort)?;
        Ok(Reply { status: parts.status, headers: parts.headers, body, trailers })
    };
    // Cancel-safe: what is lost with the connection is the connection.
    tokio::select! {
        biased;
        asked = asked => asked,
        ended = connection => Err(ended.err().map_or(SendError::Reset(None), sort)),
    }
}

async fn collect(mut incoming: RecvStream) -> Result<(Bytes, HeaderMap), h2::Error> {
    let mut body = BytesMut::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(data.get(..data.len().min(MOST - body.len())).unwrap_or_default());
    }
    Ok((body.freeze(), incoming.trailers().await?.unwrap_or_default()))
}
