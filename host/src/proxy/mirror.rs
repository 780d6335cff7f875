//! Copies of requests for an upstream whose answers nobody sees. A copy is a task of its own that begins when the request, with its body, has
//! been read for the original: it waits for nothing that the original waits for, and the original never waits for it. Where there is no
//! room for one, none is made, and that is counted.

use super::current::{Current, Destination};
use super::exchange::{Guard, Ledger};
use crate::chain::{Filter, Flow, Share, entire};
use crate::config::{MirrorSpec, RetrySpec};
use crate::message::{Connection, Interim, RequestHead};
use crate::upstream::{Content, Outgoing, Times, Upstreams};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::HeaderMap;
use http_body::{Body, Frame};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A copy is sent once: what it would show is lost, which its numbers say.
static ONCE: RetrySpec = RetrySpec::NEVER;

/// One worker's copies that are on their way; they end with it.
#[derive(Default)]
pub(super) struct Mirrors(RefCell<JoinSet<()>>);

/// What an exchange's access line says of its copy.
pub(super) struct Mirrored {
    upstream: ByteString,
    sent: Cell<bool>,
}

/// What a copy is made of.
pub(super) struct Original<'a> {
    /// As it is sent.
    pub head: &'a RequestHead,
    pub client: &'a Rc<Connection>,
    pub from: IpAddr,
    pub times: Times,
    /// Whether there is a body.
    pub there: bool,
}

/// A copy whose body is still coming in. Dropped before its end, it is none.
pub(super) struct Copying {
    copy: Option<Copy>,
    body: BytesMut,
    trailers: HeaderMap,
    share: Share,
    /// What may be buffered of one body and of all, bytes.
    most: (usize, usize),
}

struct Copy {
    ledger: Rc<Ledger>,
    upstreams: Rc<Upstreams>,
    upstream: usize,
    head: RequestHead,
    client: Rc<Connection>,
    from: IpAddr,
    times: Times,
    /// How many may run at once.
    room: usize,
    /// What of an answer is read, bytes.
    answer: usize,
    mirrored: Rc<Mirrored>,
}

impl Mirrors {
    fn has_room(&self, most: usize) -> bool {
        let mut running = self.0.borrow_mut();
        while running.try_join_next().is_some() {}
        running.len() < most
    }
}

impl Mirrored {
    /// The upstream, once the copy is on its way.
    pub fn sent_to(&self) -> Option<&str> {
        self.sent.get().then_some(&*self.upstream)
    }
}

impl Copying {
    /// Of a request that is about to be sent; one without body goes out at once.
    pub fn begin<F: Filter>(
        (ledger, current): (&Rc<Ledger>, &Current<F>),
        spec: &MirrorSpec,
        original: Original<'_>,
        guard: &mut Guard,
    ) -> Option<Box<Self>> {
        if !ledger.dice.picks(spec.share) {
            return None;
        }
        let Destination { index, name } = current.destination(spec.to.0.as_str().into())?;
        let limits = &current.snapshot.limits;
        if !ledger.mirrors.has_room(limits.mirrors) {
            ledger.mirrored(&name, "busy");
            return None;
        }
        let Original { head, client, from, times, there } = original;
        let mirrored = Rc::new(Mirrored { upstream: name, sent: Cell::new(false) });
        guard.mirrors(&mirrored);
        let copy = Copy {
            ledger: Rc::clone(ledger),
            upstreams: Rc::clone(&current.upstreams),
            upstream: index,
            head: head.clone(),
            client: Rc::clone(client),
            from,
            times,
            room: limits.mirrors,
            answer: limits.body_buffer,
            mirrored,
        };
        if !there {
            copy.send(Bytes::new(), (HeaderMap::new(), Share::default()));
            return None;
        }
        let most = (limits.body_buffer, limits.body_buffers);
        Some(Box::new(Self { copy: Some(copy), body: BytesMut::new(), trailers: HeaderMap::new(), share: Share::default(), most }))
    }

    /// A piece of the body. `false`: there will be no copy.
    pub fn take(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = trailers.clone();
        }
        let Some(data) = frame.data_ref() else { return true };
        let length = self.body.len() + data.len();
        if length > self.most.0 {
            return self.give_up("too_large");
        }
        if !self.share.grow(length, self.most.1) {
            return self.give_up("buffers_full");
        }
        // Copied, because what is handed on may be a small part of a large buffer.
        self.body.extend_from_slice(data);
        true
    }

    fn give_up(&mut self, why: &'static str) -> bool {
        if let Some(copy) = self.copy.take() {
            copy.ledger.mirrored(&copy.mirrored.upstream, why);
        }
        false
    }

    /// The body is whole.
    pub fn send(mut self: Box<Self>) {
        if let Some(copy) = self.copy.take() {
            let (body, trailers, share) = (self.body.split().freeze(), std::mem::take(&mut self.trailers), std::mem::take(&mut self.share));
            copy.send(body, (trailers, share));
        }
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        // The original was not sent to its end.
        self.give_up("incomplete");
    }
}

impl Copy {
    fn send(self, body: Bytes, (trailers, share): (HeaderMap, Share)) {
        let ledger = Rc::clone(&self.ledger);
        if !ledger.mirrors.has_room(self.room) {
            ledger.mirrored(&self.mirrored.upstream, "busy");
            return;
        }
        self.mirrored.sent.set(true);
        ledger.mirrors.0.borrow_mut().spawn_local(self.run(body, trailers, share));
    }

    /// In all it may take as long as the original may wait for its response head.
    async fn run(self, body: Bytes, trailers: HeaderMap, _share: Share) {
        let times = Times { total: Some(Instant::now() + self.times.response), ..self.times };
        let outgoing = Outgoing {
            head: &self.head,
            body: entire(body, trailers),
            upgrade: None,
            interim: Interim::NOBODY,
            times,
            client: &self.client,
            from: self.from,
            guide: None,
            trail: None,
            retry: Some(&ONCE),
        };
        let result = match self.upstreams.send(self.upstream, outgoing).await {
            Ok(answered) => {
                read_out(answered.content, self.answer).await;
                "answered"
            }
            Err(failed) => failed.error.reason(),
        };
        self.ledger.mirrored(&self.mirrored.upstream, result);
    }
}

/// So that the connection can be used again; a larger answer costs it.
async fn read_out(content: Content<Flow>, most: usize) {
    let Content::Body(mut body) = content else { return };
    let mut read = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > most {
            return;
        }
    }
}
