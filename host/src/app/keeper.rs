//! The thread that looks after certificates while workers serve: files that change, and those that are ordered. It shares nothing with a
//! request but the finished certificate.

use crate::certs::{Acme, Challenges, Outbound, Store, Watch};
use crate::config::{AcmeChallenge, Config, TcpTls, TlsSpec};
use crate::listen::Shutdown;
use crate::proxy::Proofs;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval};

/// Runs until it is told to stop. Joined by whoever waits for the workers.
pub type Keeper = JoinHandle<()>;

/// Starts the thread, unless there is nothing to look after.
pub fn start(stores: &[Arc<Store>], outbound: &Outbound, shutdown: Shutdown) -> io::Result<Option<Keeper>> {
    let watches: Vec<Watch> = stores.iter().filter_map(Store::watch).chain(outbound.watch()).collect();
    let orders = Store::acme(stores);
    if watches.is_empty() && orders.is_none() {
        return Ok(None);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let looking = move || {
        keep(&runtime, watches, orders, shutdown);
        // A look-up of a name that hangs in the system's resolver must not hold up our end.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("certificates".into()).spawn(looking).map(Some)
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
