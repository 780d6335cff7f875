//! `wasi:cli`: an empty environment, streams that are not terminals, and an exit that ends the guest.

use super::console::{STDERR, STDOUT};
use super::io::{InputStream, OutputStream};
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use wasmtime::component::Resource;

/// `terminal-input` and `terminal-output`: never made.
struct Terminal<const INPUT: bool>;

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut environment = offer.interface("wasi:cli/environment")?;
    environment.func("get-environment", |_, ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func("get-arguments", |_, ()| Ok((Vec::<String>::new(),)))?;
    environment.func("initial-cwd", |_, ()| Ok((None::<String>,)))?;

    let mut exit = offer.interface("wasi:cli/exit")?;
    exit.func("exit", |_, (status,): (Result<(), ()>,)| Err::<(), _>(Stop::Exit(status.is_err().into()).into()))?;
    exit.func("exit-with-code", |_, (code,): (u8,)| Err::<(), _>(Stop::Exit(code).into()))?;

    offer.interface("wasi:cli/stdin")?.func("get-stdin", |cx, ()| stream::<InputStream>(cx, 0))?;
    offer.interface("wasi:cli/stdout")?.func("get-stdout", |cx, ()| stream::<OutputStream>(cx, STDOUT))?;
    offer.interface("wasi:cli/stderr")?.func("get-stderr", |cx, ()| stream::<OutputStream>(cx, STDERR))?;

    offer.interface("wasi:cli/terminal-input")?.resource::<Terminal<true>>("terminal-input")?;
    offer.interface("wasi:cli/terminal-output")?.resource::<Terminal<false>>("terminal-output")?;
    let none = |_: super::Cx<'_>, ()| Ok((None::<Resource<Terminal<false>>>,));
    offer.interface("wasi:cli/terminal-stdout")?.func("get-terminal-stdout", none)?;
    offer.interface("wasi:cli/terminal-stderr")?.func("get-terminal-stderr", none)?;
    offer.interface("wasi:cli/terminal-stdin")?.func("get-terminal-stdin", |_, ()| Ok((None::<Resource<Terminal<true>>>,)))
}

fn stream<T>(mut cx: super::Cx<'_>, rep: u32) -> wasmtime::Result<(Resource<T>,)> {
    Ok((cx.data_mut().handles.give(rep)?,))
}
