//! The thread that looks up names of servers, and looks at servers of upstreams that ask for it: once for all workers, which only take over what
//! it found. Each generation has its own, which goes on where the one before has come to.

use crate::certs::Outbound;
use crate::config::{Limits, ServerSpec, UpstreamName, UpstreamSpec};
use crate::upstream::Discovery;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

/// How long a generation waits for names that nobody has looked up before: what serves from its first request on is worth a moment, and no
/// configuration should be held up for longer by a DNS server that is silent. Less than a second where it answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// Checks that run until this is dropped.
pub struct Checks {
    pub discovery: Arc<Discovery>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Checks {
    /// Starts the thread, unless there is nothing to look up or to look at. `before`: of the generation that goes.
    pub fn start(
        specs: &Arc<BTreeMap<UpstreamName, UpstreamSpec>>,
        outbound: &Arc<Outbound>,
        (server, limits): (&ServerSpec, &Limits),
        before: Option<&Self>,
    ) -> io::Result<Self> {
        let discovery = Arc::new(Discovery::succeed(before.map(|before| &*before.discovery), specs, outbound));
        let (stop, stopped) = oneshot::channel();
        if discovery.has_work() {
            let (asked, all_asked) = mpsc::sync_channel::<()>(1);
            let (own, nameservers, limits) = (Arc::clone(&discovery), server.resolver.clone(), limits.clone());
            // Nobody waits any more if it took too long.
            let tell = move || asked.send(()).unwrap_or_default();
            let looking = move || {
                let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return tracing::error!("servers are neither looked up nor looked at: {error}"),
                };
                runtime.block_on(async {
                    tokio::select! {
                        () = own.run(&nameservers, &limits, tell) => {}
                        _ = stopped => {}
                    }
                });
                // A look-up of a name that hangs in the system's resolver must not hold up our end.
                runtime.shutdown_background();
            };
            std::thread::Builder::new().name("health".into()).spawn(looking)?;
            // An error means that it is over already, or that it takes too long: it goes on while we serve.
            let _ = all_asked.recv_timeout(PATIENCE);
        }
        Ok(Self { discovery, _stop: stop })
    }
}
