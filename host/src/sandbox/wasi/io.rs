//! `wasi:io`: streams that lead to the log or nowhere, and polls that never wait.

use super::clocks::{Pollable, READY};
use super::{Cx, console};
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use wasmtime::component::{ComponentType, Lower, Resource, WasmList};

/// `wasi:io/error.error`: never made.
pub(super) struct IoError;
/// The only input stream is stdin, and it has ended.
pub(super) struct InputStream;
/// The handle says which: [`console::STDOUT`] or [`console::STDERR`].
pub(super) struct OutputStream;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "no operation fails; the case belongs to the type")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// What a guest may write in one go, bytes. WASI's own example figure.
const PERMIT: usize = 4096;
/// What we take: a little more than permitted is no crime, megabytes are.
const MOST: usize = 64 << 10;

type Input = (Resource<InputStream>, u64);
type Output = (Resource<OutputStream>,);

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut error = offer.interface("wasi:io/error")?;
    error.resource::<IoError>("error")?;
    error.func("[method]error.to-debug-string", |_, (_,): (Resource<IoError>,)| Ok((String::new(),)))?;

    let mut poll = offer.interface("wasi:io/poll")?;
    poll.resource_freed::<Pollable>("pollable", |mut cx, rep| {
        cx.data_mut().timers.free(rep);
        cx.data_mut().handles.take_back();
    })?;
    poll.func("[method]pollable.ready", |cx, (one,): (Resource<Pollable>,)| Ok((cx.data().timers.ready(one.rep()),)))?;
    poll.func(
        "[method]pollable.block",
        |cx, (one,): (Resource<Pollable>,)| {
            if cx.data().timers.ready(one.rep()) { Ok(()) } else { Err(Stop::Wait.into()) }
        },
    )?;
    poll.func("poll", |cx, (all,): (Vec<Resource<Pollable>>,)| poll_all(&cx, &all).map(|ready| (ready,)))?;

    let mut streams = offer.interface("wasi:io/streams")?;
    streams.resource_freed::<InputStream>("input-stream", |mut cx, _| cx.data_mut().handles.take_back())?;
    streams.resource_freed::<OutputStream>("output-stream", |mut cx, _| cx.data_mut().handles.take_back())?;
    for read in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func(read, |_, _: Input| Ok((Err::<Vec<u8>, _>(StreamError::Closed),)))?;
    }
    for skip in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        streams.func(skip, |_, _: Input| Ok((Err::<u64, _>(StreamError::Closed),)))?;
    }
    streams.func("[method]input-stream.subscribe", |cx, _: (Resource<InputStream>,)| ready(cx))?;
    streams.func("[method]output-stream.check-write", |_, _: Output| Ok((Ok::<_, StreamError>(PERMIT as u64),)))?;
    for write in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func(write, |cx, (to, bytes): (Resource<OutputStream>, WasmList<u8>)| print(cx, &to, &bytes))?;
    }
    for flush in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func(flush, |_, _: Output| Ok((Ok::<_, StreamError>(()),)))?;
    }
    for zeroes in ["[method]output-stream.write-zeroes", "[method]output-stream.blocking-write-zeroes-and-flush"] {
        streams.func(zeroes, |_, _: (Resource<OutputStream>, u64)| Ok((Ok::<_, StreamError>(()),)))?;
    }
    for splice in ["[method]output-stream.splice", "[method]output-stream.blocking-splice"] {
        streams.func(splice, |_, _: (Resource<OutputStream>, Resource<InputStream>, u64)| Ok((Err::<u64, _>(StreamError::Closed),)))?;
    }
    streams.func("[method]output-stream.subscribe", |cx, _: Output| ready(cx))
}

fn print(mut cx: Cx<'_>, to: &Resource<OutputStream>, bytes: &WasmList<u8>) -> wasmtime::Result<(Result<(), StreamError>,)> {
    let bytes = bytes.as_le_slice(&cx);
    if bytes.len() > MOST {
        return Err(Stop::TooMuch("output").into());
    }
    // Out of guest memory first: the console stands in the same store.
    let bytes = smallvec::SmallVec::<[u8; 256]>::from_slice(bytes);
    let state = cx.data_mut();
    state.console.print(&state.backing.log, console::Stream::of(to.rep()), &bytes);
    Ok((Ok(()),))
}

/// All there is to read or write can be read or written now.
fn ready(mut cx: Cx<'_>) -> wasmtime::Result<(Resource<Pollable>,)> {
    Ok((cx.data_mut().handles.give(READY)?,))
}

fn poll_all(cx: &Cx<'_>, all: &[Resource<Pollable>]) -> wasmtime::Result<Vec<u32>> {
    let timers = &cx.data().timers;
    let ready: Vec<u32> = (0..).zip(all).filter(|(_, one)| timers.ready(one.rep())).map(|(index, _)| index).collect();
    if ready.is_empty() { Err(Stop::Wait.into()) } else { Ok(ready) }
}
