//! The threads that look after certificates while workers serve: files that change, and those that are ordered. They share nothing with a
//! request but the finished certificate.

use super::papers::Papers;
use crate::certs::{Acme, Challenges, Store, Watch};
use crate::config::{AcmeChallenge, Config, TcpTls, TlsSpec};
use crate::listen::{Shutdown, Stopper, stopping};
use crate::proxy::Proofs;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval};

/// Who looks after the papers of the generation that is served.
#[derive(Default)]
pub struct Keepers {
    /// Of what is shown to clients: goes on for as long as that stays the same, since orders may be under way.
    shown: Option<Keeper>,
    outbound: Option<Keeper>,
}

impl Keepers {
    /// Turns to these papers. `before`: those that were looked after.
    pub fn turn(&mut self, papers: &Papers, before: Option<&Papers>) -> io::Result<()> {
        if !before.is_some_and(|before| before.has_stores_of(papers)) {
            // The old one first: two must not order at once.
            self.shown = None;
            let stores = papers.stores();
            self.shown = Keeper::start(stores.iter().filter_map(Store::watch).collect(), Store::acme(&stores))?;
        }
        self.outbound = None;
        self.outbound = Keeper::start(papers.outbound.watch().into_iter().collect(), None)?;
        Ok(())
    }
}

/// A thread. Dropping it ends the thread, which takes no longer than a look at some files.
struct Keeper {
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// `None`: there is nothing to look after.
    fn start(watches: Vec<Watch>, orders: Option<Acme>) -> io::Result<Option<Self>> {
        if watches.is_empty() && orders.is_none() {
            return Ok(None);
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stopper, shutdown) = stopping();
        let looking = move || {
            keep(&runtime, watches, orders, shutdown);
            // A look-up of a name that hangs in the system's resolver must not hold up our end.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("certificates".into()).spawn(looking)?;
        Ok(Some(Self { stopper: Some(stopper), thread: Some(thread) }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stopper.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the keeper of certificates ended by a defect of ours; please report it with the log above");
        }
    }
}

fn keep(runtime: &Runtime, mut watches: Vec<Watch>, orders: Option<Acme>, mut shutdown: Shutdown) {
    runtime.block_on(async {
        let looking = async {
            let mut looks = interval(Watch::PERIOD);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                watches.iter_mut().for_each(Watch::look);
            }
        };
        let ordering = async {
            if let Some(orders) = orders {
                orders.run().await;
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            () = looking => {}
            () = ordering => {}
            () = shutdown.draining() => {}
        }
    });
}

/// What listeners in the clear show to CAs; `None` if nobody wants that.
pub fn proofs(config: &Config, challenges: &Arc<Challenges>) -> Option<Proofs> {
    let tcp = config.tcp.iter().filter_map(|tcp| match &tcp.tls {
        TcpTls::Terminate { certificate, .. } => Some(&**certificate),
        TcpTls::Plain | TcpTls::Passthrough => None,
    });
    let mut certificates = config.sites.iter().map(|site| &site.tls).chain(tcp);
    let wanted = certificates.any(|tls| matches!(tls, TlsSpec::Acme(spec) if spec.challenge == AcmeChallenge::Http01));
    let challenges = challenges.clone();
    wanted.then(|| Proofs(Arc::new(move |path| challenges.file(path.strip_prefix(Challenges::PATH)?))))
}
