//! WASI 0.2 for guests: what ordinary code cannot do without, and nothing behind it. Never blocks, never reaches outside.
//!
//! Clocks and random numbers are real; stdout and stderr become log lines; the environment, the arguments, stdin and the file
//! system are empty; exit and waiting end the guest. Sockets and HTTP are not here at all: importing them refuses the plugin.

mod cli;
mod clocks;
mod console;
mod files;
mod io;
mod offer;
mod random;

pub(super) use clocks::Timers;
pub(super) use console::{Console, Log};
pub(super) use offer::{Offer, Offered};

use super::state::State;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

type Cx<'a> = StoreContextMut<'a, State>;

/// Links every function that a guest may import, and says which they are.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<Offered> {
    let mut offer = Offer::new(linker);
    io::link(&mut offer)?;
    clocks::link(&mut offer)?;
    random::link(&mut offer)?;
    cli::link(&mut offer)?;
    files::link(&mut offer)?;
    Ok(offer.done())
}
