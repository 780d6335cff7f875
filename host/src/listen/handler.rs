//! What a listener hands requests to.

use super::body::Body;
use crate::message::{Answer, BodyError, Connection, Malformed, Received};
use bytes::Bytes;
use std::future::Future;
use std::rc::Rc;

/// A name for the bounds of a handler, so that they stand in one place. Every closure that fits is one; nothing else implements it.
///
/// A head that was refused comes to the handler too, because only it knows how to answer; over HTTP/1.1 the connection then closes.
/// The future is dropped when the client goes away.
pub trait Handler: Clone + 'static {
    type Body: http_body::Body<Data = Bytes, Error = BodyError> + 'static;
    type Future: Future<Output = Answer<Self::Body>> + 'static;

    fn handle(&self, connection: Rc<Connection>, request: Result<Received<Body>, Malformed>) -> Self::Future;
}

impl<H, F, B> Handler for H
where
    H: Fn(Rc<Connection>, Result<Received<Body>, Malformed>) -> F + Clone + 'static,
    F: Future<Output = Answer<B>> + 'static,
    B: http_body::Body<Data = Bytes, Error = BodyError> + 'static,
{
    type Body = B;
    type Future = F;

    fn handle(&self, connection: Rc<Connection>, request: Result<Received<Body>, Malformed>) -> F {
        self(connection, request)
    }
}
