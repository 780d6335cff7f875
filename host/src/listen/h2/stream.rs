//! One stream: its task, from the request to the end of the response, and the list of those that are open.

use super::reply::Reply;
use super::{answer, connect, request};
use crate::listen::accept::Service;
use crate::listen::handler::Handler;
use crate::message::{Answer, Connection, Herald, Interim};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use tokio::task::spawn_local;

/// Lets a task of this worker answer a request. The task ends with its stream, and all streams with the connection.
pub fn begin<H: Handler>(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    (connection, service): (&Rc<Connection>, &Rc<Service<H>>),
    streams: &Rc<Streams>,
) {
    let open = Open { index: streams.enter(), streams: Rc::clone(streams), registered: false };
    let exchange = exchange(request, Rc::new(Reply::new(respond)), Rc::clone(connection), Rc::clone(service));
    // Boxed: it is moved into the task once and must be pinned there, and it is large.
    spawn_local(Tracked { exchange: Box::pin(exchange), open });
}

async fn exchange<H: Handler>(request: Request<RecvStream>, reply: Rc<Reply>, connection: Rc<Connection>, service: Rc<Service<H>>) {
    let (mut parts, incoming) = request.into_parts();
    let head = parts.method == Method::HEAD;
    // The stream of a WebSocket is its body only once it has been accepted.
    let (switch, incoming) = if connect::is_asked(&mut parts) { (Some(incoming), None) } else { (None, Some(incoming)) };
    // Two steps: the weak pointer of a type of known size becomes one to whatever is a herald.
    let herald: Weak<Reply> = Rc::downgrade(&reply);
    let herald: Weak<dyn Herald> = herald;
    let received = request::receive(parts, incoming, &service.limits, (&reply, Interim::new(herald, 0)));
    let answer = {
        let mut answer = pin!(service.handler.handle(connection, received));
        let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => reply.poll_gone(cx).map(|()| None),
        });
        answered.await
    };
    match (answer, switch) {
        (Some(Answer::Switch(head, takeover)), Some(incoming)) => connect::switch(head, takeover, incoming, &reply).await,
        // It would be taken for the beginning of the other protocol.
        (Some(Answer::Respond(response)), Some(_)) if response.status().is_success() => reply.reset(),
        (Some(Answer::Respond(response)), _) => answer::send(response, head, &reply, service.limits.body_idle).await,
        // Switching protocols is no answer here: HTTP/2 has no 101 (RFC 9113, section 8.6).
        (Some(Answer::Switch(..) | Answer::Abort), _) => reply.reset(),
        (None, _) => {}
    }
}

/// The streams of one connection.
#[derive(Default)]
pub struct Streams {
    open: Cell<usize>,
    /// Of the tasks; `None`: free.
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Streams {
    /// Lets all streams look whether something has changed for them.
    pub fn rouse(&self) {
        // Collected first: waking may run code that looks here.
        let wakers: Vec<Waker> = self.wakers.borrow().iter().flatten().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn enter(&self) -> usize {
        self.open.set(self.open.get() + 1);
        let mut wakers = self.wakers.borrow_mut();
        self.free.borrow_mut().pop().unwrap_or_else(|| {
            wakers.push(None);
            wakers.len() - 1
        })
    }

    fn register(&self, index: usize, waker: &Waker) {
        if let Some(slot) = self.wakers.borrow_mut().get_mut(index) {
            *slot = Some(waker.clone());
        }
    }

    fn leave(&self, index: usize) {
        self.open.set(self.open.get() - 1);
        drop(self.wakers.borrow_mut().get_mut(index).and_then(Option::take));
        self.free.borrow_mut().push(index);
    }

    pub fn open(&self) -> usize {
        self.open.get()
    }
}

struct Open {
    index: usize,
    streams: Rc<Streams>,
    registered: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.leave(self.index);
    }
}

/// A stream's task, on the list for as long as it lasts.
struct Tracked<F> {
    exchange: Pin<Box<F>>,
    open: Open,
}

impl<F: Future<Output = ()>> Future for Tracked<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // A task's waker stays the same.
        if !std::mem::replace(&mut this.open.registered, true) {
            this.open.streams.register(this.open.index, cx.waker());
        }
        this.exchange.as_mut().poll(cx)
    }
}
