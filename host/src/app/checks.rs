//! The thread that looks at servers of upstreams that ask for it: once for all workers, which only read what it found. Each generation has its
//! own, which goes on where the one before has come to.

use crate::certs::Outbound;
use crate::config::{Limits, UpstreamName, UpstreamSpec};
use crate::upstream::HealthBoard;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

/// Checks that run until this is dropped.
pub struct Checks {
    pub board: Arc<HealthBoard>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Checks {
    /// Starts the thread, unless there is nothing to look at. `before`: of the generation that goes.
    pub fn start(
        specs: &Arc<BTreeMap<UpstreamName, UpstreamSpec>>,
        outbound: &Outbound,
        limits: &Limits,
        before: Option<&Self>,
    ) -> io::Result<Self> {
        let board = before.map_or_else(Arc::default, |before| Arc::clone(&before.board)).succeed(specs, outbound);
        let (stop, stopped) = oneshot::channel();
        if !board.is_empty() {
            let (board, specs, limits) = (Arc::clone(&board), Arc::clone(specs), limits.clone());
            let looking = move || {
                let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return tracing::error!("servers are not looked at: {error}"),
                };
                runtime.block_on(async {
                    tokio::select! {
                        () = board.run(&specs, &limits) => {}
                        _ = stopped => {}
                    }
                });
                // A look-up of a name that hangs in the system's resolver must not hold up our end.
                runtime.shutdown_background();
            };
            std::thread::Builder::new().name("health".into()).spawn(looking)?;
        }
        Ok(Self { board, _stop: stop })
    }
}
