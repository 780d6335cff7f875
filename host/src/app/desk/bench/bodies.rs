//! Whole messages with their bodies, through the hands of a plugin that looks at them.

use super::Scene;
use crate::app::desk::body::{Left, Passed};
use crate::app::desk::made;
use crate::chain::{Chain, Failing, Fault, Link, Walk};
use crate::config::Limits;
use crate::message::{Exchange, Reply};
use crate::sandbox::Guests;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The same exchange again and again.
pub(super) struct Messages<'m> {
    chain: Chain,
    guests: [Rc<Guests>; 1],
    exchange: Exchange,
    scene: &'m Scene,
}

impl<'m> Messages<'m> {
    pub fn new(guests: Guests, exchange: Exchange, scene: &'m Scene) -> Self {
        let link = Link { filter: 0, when: None, spec: Arc::new(scene.link.clone()) };
        Self { chain: Chain { links: Box::new([link]) }, guests: [Rc::new(guests)], exchange, scene }
    }

    /// CPU time of so many requests with their bodies.
    pub async fn requests(&self, count: usize) -> Result<Duration, Fault> {
        let begun = crate::sandbox::thread_cpu_time();
        for _ in 0..count {
            self.request(&mut Walk::new(&self.chain, &self.guests)).await?;
        }
        Ok(crate::sandbox::thread_cpu_time().saturating_sub(begun))
    }

    /// The same of responses; what their requests cost is not in it.
    pub async fn responses(&self, count: usize) -> Result<Duration, Fault> {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            let mut walk = Walk::new(&self.chain, &self.guests);
            self.request(&mut walk).await?;
            let begun = crate::sandbox::thread_cpu_time();
            self.response(&mut walk).await?;
            took += crate::sandbox::thread_cpu_time().saturating_sub(begun);
        }
        Ok(took)
    }

    async fn request(&self, walk: &mut Walk<'_, Guests>) -> Result<(), Fault> {
        let (mut exchange, mut head) = (self.exchange.clone(), self.scene.request.clone());
        let sent = Some(&self.scene.bodies.0).filter(|body| !body.pieces.is_empty());
        let mut body = made::request_body(sent, &Limits::default());
        let mut found = None;
        walk.on_request(&mut exchange, &mut head, &mut body, |_| true, |_, fault| found = Some(fault.clone())).await;
        Self::end(body, found).await
    }

    async fn response(&self, walk: &mut Walk<'_, Guests>) -> Result<(), Fault> {
        let (mut exchange, mut head) = (self.exchange.clone(), self.scene.response.clone());
        let mut body = made::response_body(Some(&self.scene.bodies.1), false, &Limits::default());
        let mut found = None;
        let fail = |_: Failing| Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
        let fault = |_: &Link, fault: &Fault| found = Some(fault.clone());
        // An abort is as good as anything else to be measured.
        let _ = walk.on_response(&mut exchange, &self.scene.request, &mut head, &mut body, fault, fail).await;
        Self::end(body, found).await
    }

    async fn end(mut body: Passed, found: Option<Fault>) -> Result<(), Fault> {
        let Left { fault, .. } = body.read().await;
        found.or(fault).map_or(Ok(()), Err)
    }
}
