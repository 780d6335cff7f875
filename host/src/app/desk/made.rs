//! Exchanges that never were.

use super::body::Passed;
use crate::app::explain::{ExplainError, request_head};
use crate::config::Limits;
use crate::config::cases::{MadeBody, MadeRequest, MadeResponse};
use crate::message::{
    Alpn, Connection, Exchange, ExchangeId, RequestHead, ResponseHead, Scheme, TlsFacts, TlsVersion, authority, hop_by_hop,
};
use bytes::Bytes;
use http::{HeaderMap, Version};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// What the proxy would have made of this request.
pub fn head(made: &MadeRequest) -> Result<RequestHead, ExplainError> {
    request_head(made.method.clone(), made.url.clone(), visible(&made.headers))
}

/// An exchange of a client of this address with that head.
pub fn exchange(head: &RequestHead, client: IpAddr, id: u64, site: &str, route: &str) -> Exchange {
    let secure = head.scheme == Scheme::Https;
    let local = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 80), if secure { 443 } else { 80 }));
    let mut connection = Connection::new(SocketAddr::from((client, 50_000)), local);
    if secure {
        let sni = Some(authority::host(&head.authority).into());
        connection.tls = Some(TlsFacts { version: TlsVersion::V1_3, sni, alpn: Alpn::Http2, client: None });
    }
    Exchange {
        id: ExchangeId(id),
        connection: Rc::new(connection),
        client,
        client_port: 50_000,
        version: if secure { Version::HTTP_2 } else { Version::HTTP_11 },
        site: site.into(),
        route: route.into(),
        upstream: None,
        attributes: Default::default(),
        trace: None,
    }
}

pub fn response(made: &MadeResponse) -> ResponseHead {
    ResponseHead { status: made.status, headers: visible(&made.headers) }
}

/// A request's body: nothing, if there is none.
pub fn request_body(made: Option<&MadeBody>, limits: &Limits) -> Passed {
    made.map_or_else(|| Passed::none(limits), |made| body(made, limits))
}

/// A response always has one, if only an empty one. `described`: it answers HEAD.
pub fn response_body(made: Option<&MadeBody>, described: bool, limits: &Limits) -> Passed {
    let empty = MadeBody { stated: true, ..MadeBody::default() };
    body(made.unwrap_or(&empty), limits).described(described)
}

fn body(made: &MadeBody, limits: &Limits) -> Passed {
    let pieces: Vec<Bytes> = made.pieces.iter().map(|piece| Bytes::from(piece.clone())).collect();
    Passed::of(&pieces, visible(&made.trailers), made.stated, limits)
}

/// Without what plugins are never shown.
fn visible(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let found = hop_by_hop::Found::of(&headers);
    hop_by_hop::remove(&mut headers, found);
    for framing in [http::header::HOST, http::header::CONTENT_LENGTH] {
        headers.remove(framing);
    }
    headers
}
