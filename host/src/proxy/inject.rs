//! What an operator wants to go wrong (`fault` of a route), as though the upstream had done it.

use super::exchange::{Guard, Ledger};
use super::failure::Failure;
use crate::config::InjectedFaults;
use crate::upstream::SendError;
use tokio::time::{Instant, sleep_until};

/// Waits as the dice have it. `until`: the exchange's end.
///
/// # Errors
/// The request is not to be sent.
pub(super) async fn inject(faults: &InjectedFaults, ledger: &Ledger, until: Option<Instant>, guard: &mut Guard) -> Result<(), Failure> {
    let delay = faults.delay.filter(|(_, share)| ledger.dice.picks(*share));
    let abort = faults.abort.filter(|(_, share)| ledger.dice.picks(*share));
    guard.injects(delay.is_some(), abort.is_some());
    if let Some((delay, _)) = delay {
        let over = Instant::now() + delay;
        sleep_until(until.map_or(over, |until| until.min(over))).await;
        if until.is_some_and(|until| until < over) {
            return Err(SendError::Expired.into());
        }
    }
    match abort {
        Some((status, _)) => Err(Failure::Injected(status)),
        None => Ok(()),
    }
}
