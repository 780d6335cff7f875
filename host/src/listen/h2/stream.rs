//! The task of one stream, and the watch over clients that stop taking a response.
//!
//! hyper waits for flow-control window as long as the connection lives, so a client could hold any number of responses with one
//! small window. A response body tells here when it handed out a piece; if hyper does not come back for the next within
//! the time for pauses in bodies, the stream's task is dropped, which resets the stream.

use crate::wire::Deadline;
use hyper::rt::Executor;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::Instant;

thread_local! {
    /// The stall cell of the stream whose task is being polled. hyper gives no other way from its stream's future to ours.
    static CURRENT: RefCell<Rc<Stall>> = RefCell::default();
}

/// Since when a response body has handed out a piece that may not have been sent.
#[derive(Default)]
pub struct Stall(Cell<Option<Instant>>);

impl Stall {
    /// To be called on a stream's task.
    pub fn of_this_task() -> Rc<Self> {
        CURRENT.with_borrow(Rc::clone)
    }

    /// The body handed out a piece.
    pub fn gave(&self) {
        self.0.set(Some(Instant::now()));
    }

    /// The body is asked for the next.
    pub fn asked(&self) {
        self.0.set(None);
    }
}

/// The streams of one connection.
pub struct Streams {
    open: Cell<usize>,
    idle: Duration,
    /// Of the tasks; `None`: free.
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Streams {
    pub fn new(idle: Duration) -> Self {
        Self { open: Cell::new(0), idle, wakers: RefCell::default(), free: RefCell::default() }
    }

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

/// Runs streams as tasks of this worker. A stream's task ends with its stream, and all streams with the connection.
#[derive(Clone)]
pub struct Tasks(pub Rc<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        let open = Open { index: self.0.enter(), streams: self.0.clone(), registered: false };
        // Boxed: it is moved into the task once and must be pinned there, and hyper's stream is large.
        spawn_local(Watched { stream: Box::pin(stream), stall: Rc::default(), deadline: Deadline::default(), open });
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

struct Watched<F> {
    stream: Pin<Box<F>>,
    stall: Rc<Stall>,
    deadline: Deadline,
    open: Open,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // A task's waker stays the same.
        if !std::mem::replace(&mut this.open.registered, true) {
            this.open.streams.register(this.open.index, cx.waker());
        }
        let before = CURRENT.replace(this.stall.clone());
        let polled = this.stream.as_mut().poll(cx);
        CURRENT.set(before);
        match (polled, this.stall.0.get()) {
            (Poll::Ready(()), _) => Poll::Ready(()),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some(since)) => {
                this.deadline.set(since + this.open.streams.idle);
                this.deadline.poll_expired(cx)
            }
        }
    }
}
