//! Whole lives of connections.

use crate::app::desk::knock;
use crate::chain::{ConnectionFilter, Fault, Hello};
use crate::config::cases::MadeConnection;
use crate::sandbox::Guests;
use std::time::Duration;

/// CPU time of so many, each from its beginning to its end: all phases that the plugin has.
pub(super) fn lives(guests: &Guests, made: &MadeConnection, count: usize) -> Result<Duration, Fault> {
    let (arrival, ending) = (knock::arrival(made, 1), knock::ending(&made.ending, None));
    let offered = made.hello.as_ref().and_then(knock::hello);
    let phases = guests.connection_phases();
    let begun = crate::sandbox::thread_cpu_time();
    for _ in 0..count {
        let mut held = None;
        if phases.accept {
            guests.on_accept(&arrival, &mut held)?;
        }
        if let Some((read, raw)) = offered.as_ref().filter(|_| phases.client_hello) {
            guests.on_client_hello(&arrival, Hello { read, raw }, &mut held)?;
        }
        if phases.close {
            guests.on_close(&arrival, &ending, &mut held)?;
        }
    }
    Ok(crate::sandbox::thread_cpu_time().saturating_sub(begun))
}
