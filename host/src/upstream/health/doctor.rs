//! Who looks at servers: one task for each, which goes on for as long as the server is there.

use super::{HeadLimits, HealthBoard, Patient, h2, jittered};
use crate::config::{HealthSpec, Limits, ServerAddress, UpstreamName, UpstreamSpec};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Those of one generation. They stop when this is dropped.
pub struct Doctors {
    health: BTreeMap<UpstreamName, HealthSpec>,
    /// Over either version.
    heads: (HeadLimits, h2::Settings),
    round: Rc<Round>,
    looking: JoinSet<()>,
    at_work: Vec<(Arc<Patient>, AbortHandle)>,
}

/// The board as it is now.
#[derive(Default)]
struct Round(RefCell<Arc<HealthBoard>>);

/// Who looks after a server, in one generation.
struct Doctor {
    name: UpstreamName,
    health: HealthSpec,
    heads: (HeadLimits, h2::Settings),
    patient: Arc<Patient>,
    round: Rc<Round>,
}

impl Doctors {
    pub fn new(specs: &BTreeMap<UpstreamName, UpstreamSpec>, limits: &Limits) -> Self {
        let heads = HeadLimits { start_line: limits.request_line, fields: limits.header_bytes, count: limits.header_count };
        let heads = (heads, h2::Settings::of(limits));
        let health = specs.iter().filter_map(|(name, spec)| Some((name.clone(), spec.health.clone()?))).collect();
        Self { health, heads, round: Rc::default(), looking: JoinSet::new(), at_work: Vec::new() }
    }

    /// From now on these are the servers that are looked at, within a runtime that takes local tasks. Who looks at one that stays goes on.
    pub fn turn(&mut self, board: &Arc<HealthBoard>) {
        self.round.0.replace(Arc::clone(board));
        while self.looking.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.at_work);
        for (name, checked) in &board.0 {
            let Some(health) = self.health.get(name) else { continue };
            // Components are within the workers, and well as long as they are.
            for patient in checked.patients.iter().filter(|patient| !matches!(patient.address, ServerAddress::Component(_))) {
                let at = before.iter().position(|(known, _)| Arc::ptr_eq(known, patient));
                let at_work = at.map(|at| before.swap_remove(at)).unwrap_or_else(|| {
                    let (name, health, round) = (name.clone(), health.clone(), Rc::clone(&self.round));
                    let doctor = Doctor { name, health, heads: self.heads, patient: Arc::clone(patient), round };
                    (Arc::clone(patient), self.looking.spawn_local(doctor.look_after()))
                });
                self.at_work.push(at_work);
            }
        }
        before.iter().for_each(|(_, gone)| gone.abort());
    }
}

impl Round {
    fn count(&self, upstream: &UpstreamName) {
        if let Some(checked) = self.0.borrow().0.get(upstream) {
            checked.count();
        }
    }
}

impl Doctor {
    async fn look_after(self) {
        let random = RandomState::new();
        // Where an earlier generation has looked, its pauses go on.
        if let Some(next) = self.patient.course().next {
            sleep_until(next.min(Instant::now() + self.health.every)).await;
        }
        for turn in 0u64.. {
            let looked = timeout(self.health.timeout, self.patient.look(self.health.timeout, self.heads));
            let found = looked.await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            let next = Instant::now() + jittered(self.health.every, random.hash_one(turn));
            let changed = self.patient.take(found.is_ok(), &self.health, next);
            self.round.count(&self.name);
            if changed {
                let (name, address) = (&self.name, &self.patient.address);
                match found {
                    Ok(()) => tracing::info!("upstream {name}: server {address} is up again"),
                    Err(why) => tracing::warn!("upstream {name}: server {address} is down: {why}"),
                }
            }
            sleep_until(next).await;
        }
    }
}
