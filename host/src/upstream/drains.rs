//! Servers that an operator has taken out: they get nothing new, and what runs on them goes on. The process knows of it and its configuration does
//! not: reloads change nothing about it, and a restart forgets it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of all upstreams, for as long as the process lives. A lock, because it is taken by reloads and by whoever takes servers out.
#[derive(Default)]
pub struct Drains(Mutex<BTreeMap<String, Arc<Drained>>>);

/// Of one upstream.
#[derive(Default)]
pub(super) struct Drained {
    /// How many are out: what requests look at.
    count: AtomicUsize,
    /// By address. Likewise a lock.
    servers: Mutex<BTreeMap<String, Arc<AtomicBool>>>,
}

impl Drains {
    /// Takes a server out, or lets it have requests again.
    pub fn set(&self, upstream: &str, server: &str, out: bool) {
        self.of(upstream).set(server, out);
    }

    /// Servers of the upstream that are out, by address.
    pub fn list(&self, upstream: &str) -> Vec<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(upstream).cloned();
        known.map(|drained| drained.list()).unwrap_or_default()
    }

    pub(super) fn of(&self, upstream: &str) -> Arc<Drained> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(upstream.to_owned()).or_default())
    }
}

impl Drained {
    /// Whether any server is out.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// What says whether this server is out; the same for all who ask.
    pub fn flag(&self, server: &str) -> Arc<AtomicBool> {
        Arc::clone(self.servers.lock().unwrap_or_else(PoisonError::into_inner).entry(server.to_owned()).or_default())
    }

    fn set(&self, server: &str, out: bool) {
        self.flag(server).store(out, Ordering::Relaxed);
        self.count.store(self.list().len(), Ordering::Relaxed);
    }

    fn list(&self) -> Vec<String> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().filter(|(_, out)| out.load(Ordering::Relaxed)).map(|(server, _)| server.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_ask_for_a_server_hear_of_it() {
        let drains = Drains::default();
        let (app, flag) = (drains.of("app"), drains.of("app").flag("a:1"));
        assert!(!app.any() && !flag.load(Ordering::Relaxed));
        drains.set("app", "a:1", true);
        drains.set("app", "a:1", true);
        drains.set("other", "a:1", true);
        assert!(app.any() && flag.load(Ordering::Relaxed));
        assert_eq!((drains.list("app"), drains.list("none")), (vec!["a:1".to_owned()], Vec::new()));
        drains.set("app", "a:1", false);
        assert!(!app.any() && drains.list("app").is_empty());
    }
}
