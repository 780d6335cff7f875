//! What is linked, written down while it is linked: one source for the linker and for the check of a plugin's imports.

use super::fault::Stop;
use super::grants::{PACKAGE, VERSION};
use super::imports::Capability;
use super::state::{Cx, State};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::AsContextMut;
use wasmtime::component::{ComponentNamedList, Lift, Linker, LinkerInstance, Lower, ResourceType};

/// Interfaces without their version → names of functions.
#[derive(Default)]
pub(super) struct Offered(BTreeMap<String, BTreeSet<&'static str>>);

impl Offered {
    /// Whether the interface is there at all.
    pub(super) fn interface(&self, base: &str) -> bool {
        self.0.contains_key(base)
    }

    pub(super) fn has(&self, base: &str, item: &str) -> bool {
        self.0.get(base).is_some_and(|items| items.contains(item))
    }
}

/// A linker that takes notes.
pub(super) struct Offer<'l> {
    linker: &'l mut Linker<State>,
    offered: Offered,
}

impl<'l> Offer<'l> {
    pub(super) fn new(linker: &'l mut Linker<State>) -> Self {
        Self { linker, offered: Offered::default() }
    }

    pub(super) fn done(self) -> Offered {
        self.offered
    }

    /// An interface of WASI 0.2. The linker finds it for any 0.2.x that a guest asks for.
    pub(super) fn interface(&mut self, base: &'static str) -> wasmtime::Result<Interface<'_>> {
        let instance = self.linker.instance(&format!("{base}@0.2.0"))?;
        Ok(Interface { instance, items: self.offered.0.entry(base.to_owned()).or_default(), capability: None })
    }

    /// An interface of ours.
    pub(super) fn capability(&mut self, capability: Capability) -> wasmtime::Result<Interface<'_>> {
        let base = format!("{PACKAGE}{}", capability.interface());
        let instance = self.linker.instance(&format!("{base}@{VERSION}"))?;
        Ok(Interface { instance, items: self.offered.0.entry(base).or_default(), capability: Some(capability) })
    }
}

/// One interface while it is linked.
pub(super) struct Interface<'i> {
    instance: LinkerInstance<'i, State>,
    items: &'i mut BTreeSet<&'static str>,
    /// What must have been granted when a function is called.
    capability: Option<Capability>,
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
        match self.capability {
            None => self.instance.func_wrap(name, run),
            Some(capability) => self.instance.func_wrap(name, move |cx: Cx<'_>, params: P| {
                permit(&cx, capability)?;
                run(cx, params)
            }),
        }
    }

    /// A function that may wait. The guest's CPU time stands still meanwhile.
    pub(super) fn waiting_func<P, R, F>(
        &mut self,
        name: &'static str,
        start: impl Fn(Cx<'_>, P) -> F + Send + Sync + 'static,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + Send + Sync + 'static,
        R: ComponentNamedList + Lower + Send + Sync + 'static,
        F: Future<Output = wasmtime::Result<R>> + Send + 'static,
    {
        self.items.insert(name);
        let capability = self.capability;
        self.instance.func_wrap_async(name, move |mut cx: Cx<'_>, params: P| {
            let permitted = capability.map_or(Ok(()), |capability| permit(&cx, capability));
            let begun = permitted.map(|()| start(cx.as_context_mut(), params));
            Box::new(async move {
                let waiting = begun?;
                cx.data_mut().clock.pause();
                waiting.await
            })
        })
    }

    /// A function that no guest can reach, because it needs a handle which is never given out. Of any type.
    pub(super) fn unreachable(&mut self, name: &'static str) -> wasmtime::Result<()> {
        self.items.insert(name);
        self.instance.func_new(name, |_, _, _, _| Err(Stop::NoFiles.into()))
    }

    /// A resource that is never made.
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

/// Imports are checked before a guest runs; this is for calls that nobody is granted, as in `describe`.
fn permit(cx: &Cx<'_>, capability: Capability) -> wasmtime::Result<()> {
    if cx.data().backing.rights.has(capability) { Ok(()) } else { Err(Stop::NotGranted(capability.interface()).into()) }
}
