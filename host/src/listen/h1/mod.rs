//! HTTP/1.1 with clients (RFC 9112): our own server on `wire`. One task per connection, one read and one write per plain request, no
//! timer registered and no buffer held per idle connection.
//!
//! In reading order: this file (a connection from request to request), `line` (bytes in, the request's body), `answer` (bytes out),
//! `closing` (leaving so that the client can still read). Which status an error gets is the handler's.

mod answer;
mod closing;
mod line;
mod patience;

pub use line::Line;

use super::accept::Service;
use super::body::Body;
use super::handler::Handler;
use super::io::ClientIo;
use super::shutdown::Entry;
use crate::config::Limits;
use crate::message::{Answer, Connection, Interim, Malformed, Received, Switched, Takeover};
use crate::wire::{Coding, Framing, HeadLimits, HeadParser, Persistence, ReceivedHead, put_response};
use answer::{Shape, Unsent};
use http::{Method, Response, Version};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// While stopping, a client that has just connected gets this long to send the request for which it did so; chosen arbitrarily.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(io: Box<dyn ClientIo>, connection: Rc<Connection>, service: &Service<H>, entry: &Entry) {
    let limits = &*service.limits;
    let heads = HeadLimits { start_line: limits.request_line, fields: limits.header_bytes, count: limits.header_count };
    let mut this = Server {
        line: Rc::new(RefCell::new(Line::new(io, limits))),
        parser: HeadParser::new(heads),
        connection,
        handler: &service.handler,
        limits,
        entry,
        served: 0,
        head_timed: false,
        idle_since: Instant::now(),
        until: Instant::now() + super::jittered(limits.connection_age),
    };
    loop {
        let after = match poll_fn(|cx| this.poll_head(cx)).await {
            Ok(Some(head)) => this.exchange(head).await,
            Ok(None) => After::Close,
            Err(malformed) => this.refuse(malformed).await,
        };
        match after {
            After::Next => {}
            After::Close => return closing::close(&this.line).await,
            After::Linger => return closing::linger(&this.line).await,
            After::Reset => return this.line.borrow().reset(),
            After::Gone => return,
        }
    }
}

/// What becomes of the connection after an exchange.
enum After {
    Next,
    /// Everything was read and written.
    Close,
    /// The client may still be sending.
    Linger,
    /// The client must not take what it got for the whole.
    Reset,
    /// There is nobody left to be polite to, or the socket is no longer ours.
    Gone,
}

struct Server<'a, H> {
    line: Rc<RefCell<Line>>,
    parser: HeadParser,
    connection: Rc<Connection>,
    handler: &'a H,
    limits: &'a Limits,
    entry: &'a Entry,
    served: u32,
    /// Whether the time of the head that is coming in is running.
    head_timed: bool,
    idle_since: Instant,
    until: Instant,
}

/// What the head says about the rest of the exchange.
struct Asked {
    method: Method,
    version: Version,
    keep_alive: bool,
}

impl<H: Handler> Server<'_, H> {
    /// The next request's head; `None`: the client has left, was idle too long, or we are stopping.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ReceivedHead>, Malformed>> {
        let mut line = self.line.borrow_mut();
        loop {
            let idle = line.input.is_empty();
            if !idle && let Some(head) = self.parser.request(&mut line.input)? {
                self.head_timed = false;
                return Poll::Ready(Ok(Some(head)));
            }
            match line.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if idle => {
                    line.patience.set(self.idle_until());
                    ready!(line.patience.poll_expired(cx));
                    return Poll::Ready(Ok(None));
                }
                Poll::Pending => {
                    // The head's time runs from the first wait for its rest, which is when its first byte came, or a moment after.
                    if !std::mem::replace(&mut self.head_timed, true) {
                        line.patience.set(Instant::now() + self.limits.header_read);
                    }
                    ready!(line.patience.poll_expired(cx));
                    return Poll::Ready(Err(Malformed::Timeout));
                }
            }
        }
    }

    /// Until when the connection may be idle.
    fn idle_until(&self) -> Instant {
        let longest = self.idle_since + self.limits.keep_alive;
        if !self.entry.is_draining() {
            return longest;
        }
        let first = if self.served == 0 { FIRST_REQUEST } else { Duration::ZERO };
        longest.min(self.entry.patient_until().unwrap_or(self.idle_since + first))
    }

    async fn exchange(&mut self, head: ReceivedHead) -> After {
        let asked = Asked { method: head.method.clone(), version: head.version, keep_alive: head.keep_alive };
        let exchange = self.line.borrow_mut().begin(head.framing, head.expects_continue);
        let body = match head.framing {
            Framing::None | Framing::Length(0) => Body::empty(),
            _ => Body::http1(self.line.clone(), exchange),
        };
        let ReceivedHead { method, target, version, headers, .. } = head;
        let received = Received { method, target, version, headers, body, interim: self.interim(version, exchange) };
        let answer = pin!(self.handler.handle(self.connection.clone(), Ok(received)));
        match self.while_there(answer).await {
            None => After::Gone,
            Some(Answer::Respond(response)) => self.respond(response, asked).await,
            Some(Answer::Switch(response, takeover)) => self.switch(response, takeover).await,
            Some(Answer::Abort) => After::Reset,
        }
    }

    /// A client that speaks HTTP/1.0 knows of no interim responses (RFC 9110, section 15.2).
    fn interim(&self, version: Version, exchange: u32) -> Interim {
        if version == Version::HTTP_10 {
            return Interim::NOBODY;
        }
        let line: Weak<RefCell<Line>> = Rc::downgrade(&self.line);
        Interim::new(line, exchange)
    }

    /// Lets the handler answer what is no request, and ends the connection.
    async fn refuse(&mut self, malformed: Malformed) -> After {
        self.line.borrow_mut().begin(Framing::None, false);
        let answer = pin!(self.handler.handle(self.connection.clone(), Err(malformed)));
        match self.while_there(answer).await {
            Some(Answer::Respond(response)) => {
                // The version is what we speak: the client's may be what was wrong.
                let asked = Asked { method: Method::GET, version: Version::HTTP_11, keep_alive: false };
                match self.respond(response, asked).await {
                    After::Close => After::Linger,
                    after => after,
                }
            }
            None => After::Gone,
            Some(Answer::Switch(..) | Answer::Abort) => After::Reset,
        }
    }

    /// The handler's answer, unless the client goes away first; then the handler is dropped.
    /// Pinned by the caller: it is large, and moving it would cost more than some of what it does.
    async fn while_there<F: Future>(&self, mut answer: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => self.line.borrow_mut().poll_gone(cx).map(|()| None),
        })
        .await
    }

    async fn respond(&mut self, response: Response<H::Body>, asked: Asked) -> After {
        let now = Instant::now();
        let (mut head, body) = response.into_parts();
        let size = http_body::Body::size_hint(&body);
        let shape = Shape::of(&asked.method, asked.version, head.status, &mut head.headers, size);
        let mut out = answer::take_outbox();
        let unsure = self.line.borrow_mut().begin_answer(&mut out);
        let keep = asked.keep_alive && !unsure && shape.coding != Coding::UntilClose && self.may_go_on(now);
        let persistence = match (keep, asked.version) {
            (false, _) => Persistence::Close,
            (true, Version::HTTP_10) => Persistence::KeepAlive,
            (true, _) => Persistence::Implied,
        };
        put_response(out.text(), head.status, &head.headers, shape.coding, persistence, now);
        drop(head);
        let waited = match answer::send(&self.line, &mut out, shape, body).await {
            Ok(waited) => waited,
            // Closing is enough where the client knows what should have come.
            Err(Unsent::Body) if matches!(shape.coding, Coding::Length(_) | Coding::Chunked) => return After::Gone,
            Err(Unsent::Body) => return After::Reset,
            Err(Unsent::Client) => return After::Gone,
        };
        answer::return_outbox(out);
        self.served += 1;
        // If all went out at once, one reading of the clock will do for both ends of the answer.
        self.idle_since = if waited { Instant::now() } else { now };
        self.after(keep).await
    }

    /// Whether the connection may carry another request after this one.
    fn may_go_on(&self, now: Instant) -> bool {
        // A body that somebody still holds is being read along with the answer; otherwise what is left must be thrown away.
        let abandoned = Rc::strong_count(&self.line) == 1;
        self.served + 1 < self.limits.keep_alive_requests
            && now < self.until
            && !self.entry.is_draining()
            && !(abandoned && self.line.borrow().is_lost(closing::DRAIN))
    }

    async fn after(&self, keep: bool) -> After {
        let settled = self.line.borrow().is_settled();
        let settled = settled || (keep && closing::drain(&self.line).await);
        if !settled {
            return After::Linger;
        }
        match keep {
            true => After::Next,
            false if self.line.borrow().input.is_empty() => After::Close,
            false => After::Linger,
        }
    }

    /// Hands the connection over (RFC 9110, section 7.8).
    async fn switch(&mut self, response: Response<()>, takeover: Takeover) -> After {
        let (head, ()) = response.into_parts();
        let mut out = answer::take_outbox();
        self.line.borrow_mut().begin_answer(&mut out);
        put_response(out.text(), head.status, &head.headers, Coding::None, Persistence::Upgrade, Instant::now());
        if poll_fn(|cx| self.line.borrow_mut().poll_write(&mut out, cx)).await.is_err() {
            return After::Gone;
        }
        answer::return_outbox(out);
        // With a body still to come, nobody can say where the other protocol begins.
        let Some((io, early)) = self.line.borrow_mut().take() else { return After::Reset };
        self.entry.upgraded();
        takeover(Switched { io, early }).await;
        After::Gone
    }
}
