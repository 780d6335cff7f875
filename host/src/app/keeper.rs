//! The thread that looks after certificates while workers serve: files that change, and those that are ordered. It shares nothing with a
//! request but the finished certificate.

use crate::certs::{Challenges, Store, Watch};
use crate::config::{AcmeChallenge, Config, TlsSpec};
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
pub fn start(store: &Arc<Store>, shutdown: Shutdown) -> io::Result<Option<Keeper>> {
    let (watch, acme) = (store.watch(), store.acme());
    if watch.is_none() && acme.is_none() {
        return Ok(None);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let looking = move || {
        keep(&runtime, watch, acme, shutdown);
        // A look-up of a name that hangs in the system's resolver must not hold up our end.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("certificates".into()).spawn(looking).map(Some)
}

fn keep(runtime: &Runtime, watch: Option<Watch>, acme: Option<crate::certs::Acme>, mut shutdown: Shutdown) {
    runtime.block_on(async {
        let looking = async {
            let Some(mut watch) = watch else { return std::future::pending().await };
            let mut looks = interval(Watch::PERIOD);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                watch.look();
            }
        };
        let ordering = async {
            if let Some(acme) = acme {
                acme.run().await;
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

/// What listeners in the clear show to CAs; `None` if no site wants that.
pub fn proofs(config: &Config, challenges: &Arc<Challenges>) -> Option<Proofs> {
    let wanted = config.sites.iter().any(|site| matches!(&site.tls, TlsSpec::Acme(spec) if spec.challenge == AcmeChallenge::Http01));
    let challenges = challenges.clone();
    wanted.then(|| Proofs(Arc::new(move |path| challenges.file(path.strip_prefix(Challenges::PATH)?))))
}
