//! WASI 0.2 for guests: what ordinary code cannot do without, and nothing behind it. Never blocks, never reaches outside.
//!
//! Clocks and random numbers are real; stdout and stderr become log lines; the environment, the arguments, stdin and the file
//! system are empty; exit and waiting end the guest. Sockets and HTTP are not here at all: importing them refuses the plugin.

mod cli;
mod clocks;
mod console;
mod files;
mod handles;
mod io;
mod random;

pub(super) use clocks::{Timers, now as monotonic};
pub(super) use console::{Console, Level, Log, Stream as ConsoleStream};
pub(super) use handles::Handles;
pub(super) use random::many as random_bytes;

use super::offer::Offer;
use super::state::Cx;

/// Links every function of WASI that a guest may import.
pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    io::link(offer)?;
    clocks::link(offer)?;
    random::link(offer)?;
    cli::link(offer)?;
    files::link(offer)
}
