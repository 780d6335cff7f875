//! What is linked, written down while it is linked: one source for the linker and for the check of a plugin's imports.

use super::{Cx, State};
use crate::sandbox::fault::Stop;
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::component::{ComponentNamedList, Lift, Linker, LinkerInstance, Lower, ResourceType};

/// Interfaces without their version → names of functions.
#[derive(Default)]
pub(in crate::sandbox) struct Offered(BTreeMap<&'static str, BTreeSet<&'static str>>);

impl Offered {
    /// Whether the interface is there at all.
    pub(in crate::sandbox) fn interface(&self, base: &str) -> bool {
        self.0.contains_key(base)
    }

    pub(in crate::sandbox) fn has(&self, base: &str, item: &str) -> bool {
        self.0.get(base).is_some_and(|items| items.contains(item))
    }
}

/// A linker that takes notes.
pub(in crate::sandbox) struct Offer<'l> {
    linker: &'l mut Linker<State>,
    offered: Offered,
}

impl<'l> Offer<'l> {
    pub(in crate::sandbox) fn new(linker: &'l mut Linker<State>) -> Self {
        Self { linker, offered: Offered::default() }
    }

    pub(in crate::sandbox) fn done(self) -> Offered {
        self.offered
    }

    /// An interface of WASI 0.2. The linker finds it for any 0.2.x that a guest asks for.
    pub(super) fn interface(&mut self, base: &'static str) -> wasmtime::Result<Interface<'_>> {
        let instance = self.linker.instance(&format!("{base}@0.2.0"))?;
        Ok(Interface { instance, items: self.offered.0.entry(base).or_default() })
    }
}

/// One interface while it is linked.
pub(super) struct Interface<'i> {
    instance: LinkerInstance<'i, State>,
    items: &'i mut BTreeSet<&'static str>,
}

impl Interface<'_> {
    pub(super) fn func<P, R>(
        &mut self,
        name: &'static str,
        run: impl Fn(Cx<'_>, P) -> wasmtime::Result<R> + Send + Sync + 'static,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.items.insert(name);
        self.instance.func_wrap(name, run)
    }

    /// A function that no guest can reach, because it needs a handle which is never given out. Of any type.
    pub(super) fn unreachable(&mut self, name: &'static str) -> wasmtime::Result<()> {
        self.items.insert(name);
        self.instance.func_new(name, |_, _, _, _| Err(Stop::NoFiles.into()))
    }

    /// A resource whose handles say all there is to know: nothing to free.
    pub(super) fn resource<T: 'static>(&mut self, name: &'static str) -> wasmtime::Result<()> {
        self.resource_freed::<T>(name, |_, _| {})
    }

    pub(super) fn resource_freed<T: 'static>(
        &mut self,
        name: &'static str,
        free: impl Fn(Cx<'_>, u32) + Send + Sync + 'static,
    ) -> wasmtime::Result<()> {
        self.instance.resource(name, ResourceType::host::<T>(), move |cx, rep| {
            free(cx, rep);
            Ok(())
        })
    }
}
