//! What a plugin on the desk is granted, and what stands for the rest of the world: a clock in our hand, stores in memory, secrets from a
//! text, upstreams that answer what is written.

use crate::config::cases::{Canned, CannedAnswer};
use crate::config::{Allow, StoreName, UpstreamName};
use crate::message::{Reply, RequestHead};
use crate::observe::metrics::PluginMetrics;
use crate::sandbox::{Answering, Capability, Errand, ErrandError, Errands, HeldTime, Rights, Store, Time};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

/// As much as a `[kv.x]` has unless it is written.
const STORE: usize = 64 << 20;

/// What there is to grant.
#[derive(Default)]
pub struct World<'w> {
    pub stores: Option<&'w BTreeMap<StoreName, Vec<(String, String)>>>,
    pub secrets: Option<&'w BTreeMap<String, String>>,
    /// `None`: the machine's.
    pub clock: Option<Arc<HeldTime>>,
}

/// What of it is granted. A store or a secret that is granted and not there is empty.
pub fn rights(allow: &Allow, world: &World<'_>) -> Arc<Rights> {
    let time = world.clock.clone().map_or(Time::Real, Time::Held);
    let store = |name: &StoreName| {
        let store = Store::memory(STORE, time.clone());
        for (key, value) in world.stores.and_then(|stores| stores.get(name)).into_iter().flatten() {
            store.put(key, value);
        }
        (name.0.clone(), Arc::new(store))
    };
    let secret = |name: &String| {
        let secret = world.secrets.and_then(|secrets| secrets.get(name)).cloned().unwrap_or_default();
        (name.clone(), Bytes::from(secret))
    };
    Arc::new(Rights {
        granted: Capability::ALL.into_iter().filter(|capability| capability.is_in(allow)).collect(),
        metrics: allow.metrics.then(|| PluginMetrics::default().plugin("desk")),
        secrets: allow.secret.iter().map(secret).collect(),
        stores: allow.kv.iter().map(store).collect(),
        http: allow.http.iter().map(|upstream| upstream.0.clone()).collect(),
        time: time.clone(),
    })
}

/// Upstreams that answer what is written.
#[derive(Clone, Default)]
pub struct Upstreams {
    asked: Rc<Cell<usize>>,
    /// What was asked that nothing written answers.
    unanswered: Rc<RefCell<Vec<String>>>,
}

impl Upstreams {
    /// Answers until the last guest that could ask is gone. `otherwise`: what the others get.
    pub fn open(&self, answers: BTreeMap<UpstreamName, Vec<Canned>>, otherwise: Result<Reply, ErrandError>) -> Errands {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(Errand, Answering)>();
        let own = self.clone();
        spawn_local(async move {
            while let Some((errand, answer)) = receiver.recv().await {
                own.asked.set(own.asked.get() + 1);
                let given =
                    answers.get(&UpstreamName(errand.upstream.clone())).and_then(|all| all.iter().find(|one| fits(one, &errand.head)));
                let reply = match given {
                    Some(canned) => reply(&canned.answer),
                    None => {
                        own.unanswered.borrow_mut().push(format!("{}: {} {}", errand.upstream, errand.head.method, target(&errand.head)));
                        otherwise.clone()
                    }
                };
                // Whoever asked may have given up.
                drop(answer.send(reply));
            }
        });
        sender
    }

    /// How many requests there were since this was last asked.
    pub fn asked(&self) -> usize {
        self.asked.take()
    }

    /// What was asked since then that nothing written answers.
    pub fn unanswered(&self) -> Vec<String> {
        self.unanswered.take()
    }
}

fn target(head: &RequestHead) -> String {
    match &head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.to_string(),
    }
}

fn fits(canned: &Canned, head: &RequestHead) -> bool {
    let Canned { method, path, headers, .. } = canned;
    method.as_ref().is_none_or(|method| *method == head.method)
        && path.as_ref().is_none_or(|path| *path == target(head))
        && headers.iter().all(|(name, value)| head.headers.get_all(name).iter().any(|sent| sent == value))
}

fn reply(answer: &CannedAnswer) -> Result<Reply, ErrandError> {
    match answer {
        CannedAnswer::Reply { status, headers, body } => {
            Ok(Reply { status: *status, headers: headers.clone(), body: Bytes::from(body.clone()) })
        }
        CannedAnswer::Timeout => Err(ErrandError::Timeout),
        CannedAnswer::Failed(why) => Err(ErrandError::Failed(why.clone())),
    }
}
