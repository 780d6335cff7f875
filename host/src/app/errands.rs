//! What guests ask of upstreams: the sandbox knows no sockets, so each worker runs their requests on its own upstreams.

use crate::config::Limits;
use crate::message::{BodyError, Connection, Interim, Reply};
use crate::sandbox::{Answering, Errand, ErrandError, Errands};
use crate::upstream::{Content, Outgoing, Times, Upstreams};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;

/// Where errands lead on this worker: to the upstreams of the newest snapshot, or of an earlier one whose guests still run and that had more.
pub struct Ways(RefCell<Known>);

struct Known {
    now: Rc<Upstreams>,
    limits: Arc<Limits>,
    earlier: Vec<Weak<Upstreams>>,
}

impl Ways {
    pub fn new(upstreams: Rc<Upstreams>, limits: Arc<Limits>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Known { now: upstreams, limits, earlier: Vec::new() })))
    }

    /// There is another snapshot.
    pub fn turn(&self, upstreams: Rc<Upstreams>, limits: Arc<Limits>) {
        let mut known = self.0.borrow_mut();
        known.earlier.retain(|earlier| earlier.strong_count() > 0);
        let before = std::mem::replace(&mut known.now, upstreams);
        known.earlier.push(Rc::downgrade(&before));
        known.limits = limits;
    }

    pub fn now(&self) -> Rc<Upstreams> {
        Rc::clone(&self.0.borrow().now)
    }

    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.0.borrow().limits)
    }

    fn find(&self, name: &str) -> Option<(Rc<Upstreams>, usize)> {
        let known = self.0.borrow();
        let earlier = known.earlier.iter().rev().filter_map(Weak::upgrade);
        let mut all = std::iter::once(Rc::clone(&known.now)).chain(earlier);
        all.find_map(|upstreams| upstreams.index(name).map(|index| (upstreams, index)))
    }
}

/// Runs until the last guest that could ask is gone; what runs then is cut off, since nobody listens.
pub fn run(ways: Rc<Ways>) -> Errands {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    spawn_local(async move {
        let client = Rc::new(Connection::unix());
        let mut running = JoinSet::new();
        while let Some((errand, answer)) = receiver.recv().await {
            let (ways, client) = (Rc::clone(&ways), Rc::clone(&client));
            running.spawn_local(async move { go(errand, answer, &ways, &client).await });
            while running.try_join_next().is_some() {}
        }
    });
    sender
}

/// One errand. Nobody is told if the guest has given up waiting, and the request is cut off then.
async fn go(errand: Errand, mut answer: Answering, ways: &Ways, client: &Rc<Connection>) {
    tokio::select! {
        reply = send(errand, ways, client) => drop(answer.send(reply)),
        () = answer.closed() => {}
    }
}

async fn send(errand: Errand, ways: &Ways, client: &Rc<Connection>) -> Result<Reply, ErrandError> {
    let Errand { upstream, head, body, timeout: time, most_body } = errand;
    // Guests can be granted declared upstreams only.
    let Some((upstreams, index)) = ways.find(&upstream) else {
        return Err(ErrandError::Failed(format!("there is no upstream {upstream}")));
    };
    let limits = ways.limits();
    // Not `total`: whose time was up is told apart below.
    let times = Times { response: limits.response, idle: limits.response_idle, total: None };
    let body = Full::new(body).map_err(|never| -> BodyError { match never {} });
    let outgoing = Outgoing {
        head: &head,
        body,
        upgrade: None,
        interim: Interim::NOBODY,
        times,
        client,
        from: client.peer.ip(),
        guide: None,
        trail: None,
        retry: None,
    };
    let exchanged = async {
        let answered = upstreams.send(index, outgoing).await.map_err(|failed| ErrandError::Failed(failed.error.to_string()))?;
        let Content::Body(body) = answered.content else { return Err(ErrandError::Failed("the server switched protocols".to_owned())) };
        let body = collect(body, most_body).await?;
        Ok(Reply { status: answered.head.status, headers: answered.head.headers, body })
    };
    match time {
        Some(time) => timeout(time, exchanged).await.unwrap_or(Err(ErrandError::Timeout)),
        None => exchanged.await,
    }
}

async fn collect(mut body: impl http_body::Body<Data = Bytes, Error = BodyError> + Unpin, most: usize) -> Result<Bytes, ErrandError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ErrandError::Failed(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > most {
            return Err(ErrandError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
