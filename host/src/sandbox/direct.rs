//! Plugins whose component is a shell around one module, as `wit-component` makes it: their guests are made of the module, and called without the
//! shell.
//!
//! The SDK's plugins that import nothing say so of themselves with a custom section. A component's call looks up on its way in and out what
//! stands fast for them, so that this is twice as fast, and a fresh guest has one instance instead of several. Limits, memory, traps and
//! the checks of what a guest returns are the same. The component itself is compiled too: its types are checked, it describes itself and takes its
//! settings first. Who lies about its shell gets calls that it did not expect, of types that were checked, into its own memory.

#![allow(unsafe_code, reason = "calls of functions whose types were compared when the module was loaded")]

use super::inputs::{RequestInputs, ResponseInputs};
use super::lift::{self, BadOutput, Phase};
use super::lower::{self, Space};
use super::passing::Passing;
use super::renewal::{self, Image, Marks, Places, Renewal, Taken};
use super::state::State;
use crate::chain::Decision;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use wasmtime::component::__internal::wasmtime_environ::wasmparser::{Parser, Payload};
use wasmtime::{Engine, Extern, ExternType, Func, InstancePre, Linker, Memory, Module, ModuleExport, Result, Store, ValRaw, ValType};

/// Its being there says that the component exports this module's functions under their canonical names, and does nothing more.
const SECTION: &str = "portcullis:direct";

/// Of one component, for all its guests.
pub(super) struct Direct {
    pre: InstancePre<State>,
    memory: ModuleExport,
    realloc: ModuleExport,
    configure: ModuleExport,
    request: Option<ModuleExport>,
    response: Option<ModuleExport>,
    /// If its guests can be set back.
    renewable: Option<Marks>,
    places: Arc<Places>,
    /// How much further back its code is than in the author's module, bytes.
    pub(super) grown: usize,
}

/// What guests of a link are set back to, once that is known; `None`: they cannot be.
pub(super) type Start = OnceLock<Option<Image>>;

/// Where the functions of one guest are.
pub(super) struct Inside {
    memory: Memory,
    realloc: Func,
    request: Option<Func>,
    response: Option<Func>,
    renewal: Option<Renewal>,
    _taken: Taken,
    pub(super) grown: usize,
}

/// The module in this component, if it may be called without the rest.
pub(super) fn module(component: &[u8]) -> Option<&[u8]> {
    let mut modules: Vec<Range<usize>> = Vec::new();
    let (mut depth, mut said) = (0, false);
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::ModuleSection { unchecked_range, .. } => modules.push(unchecked_range),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            // Of the module, not of the component around it.
            Payload::CustomSection(section) if section.name() == SECTION => said |= depth == 2 && modules.len() == 1,
            _ => {}
        }
    }
    let [only] = &modules[..] else { return None };
    component.get(only.clone()).filter(|_| said)
}

impl Direct {
    /// `bytes`: the module as its author made it. `None`: something is not as the section says, or as the contract has it, and the component must do.
    pub(super) fn of(engine: &Engine, module: &Module, bytes: &[u8], places: &Arc<Places>) -> Option<Self> {
        if module.imports().len() != 0 || module.exports().any(|export| around(export.name())) {
            return None;
        }
        let phase = |name: &str| format!("portcullis:plugin/{name}@0.1.0#{name}");
        let configure = "portcullis:plugin/lifecycle@0.1.0#configure";
        let (request, response) = (phase("on-request"), phase("on-response"));
        let mut heads = vec![ValType::I64];
        heads.extend(std::iter::repeat_n(ValType::I32, 15));
        let optional = |name: &str, params: &[ValType]| match module.get_export(name) {
            None => Some(None),
            Some(_) => func(module, name, params).map(Some),
        };
        let renewable = Marks::of(module);
        Some(Self {
            grown: if renewable.is_some() { renewal::growth(bytes) } else { 0 },
            renewable,
            places: Arc::clone(places),
            memory: module.get_export_index("memory").filter(
                |_| matches!(module.get_export("memory"), Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared()),
            )?,
            realloc: func(module, "cabi_realloc", &heads[1..5])?,
            configure: func(module, configure, &[ValType::I32, ValType::I32])?,
            request: optional(&request, &heads)?,
            response: optional(&response, &heads[..6])?,
            pre: Linker::new(engine).instantiate_pre(module).ok()?,
        })
    }

    /// Whether it has the phases that are planned.
    pub(super) const fn has(&self, (request, response): (bool, bool)) -> bool {
        (self.request.is_some() || !request) && (self.response.is_some() || !response)
    }

    /// Makes a guest what it was when it had taken its settings. `None`: it cannot be, and must not be used any more.
    pub(super) fn set_back(&self, inside: &mut Inside, store: &mut Store<State>, image: &Start) -> Option<()> {
        image.get()?.as_ref()?.restore(store, inside.memory, inside.renewal.as_mut()?, &self.places)
    }

    /// A guest in `store`, which replays settings that were accepted before. `image`: if it is to be set back.
    pub(super) fn start(&self, store: &mut Store<State>, settings: &str, image: Option<&Start>) -> Result<Inside> {
        let instance = self.pre.instantiate(&mut *store)?;
        let mut func = |export: &ModuleExport| instance.get_module_export(&mut *store, export).and_then(Extern::into_func);
        let gone = || wasmtime::Error::msg("an export is gone, though the module has it");
        let (realloc, configure) = (func(&self.realloc).ok_or_else(gone)?, func(&self.configure).ok_or_else(gone)?);
        let (request, response) = (self.request.as_ref().and_then(&mut func), self.response.as_ref().and_then(&mut func));
        let memory = instance.get_module_export(&mut *store, &self.memory).and_then(Extern::into_memory).ok_or_else(gone)?;
        let renewal = self.renewable.as_ref().filter(|_| image.is_some()).and_then(|marks| marks.find(store, instance));
        let inside = Inside { memory, realloc, request, response, renewal, _taken: Places::take(&self.places), grown: self.grown };
        let (start, length) = lower::text(&mut inside.within(store), settings)?;
        let said = call(store, configure, [start, length])?;
        match memory.data(&*store).get(said) {
            Some(0) => {
                if let (Some(image), Some(renewal)) = (image, &inside.renewal) {
                    image.get_or_init(|| Image::of(store, memory, renewal));
                }
                Ok(inside)
            }
            Some(1) => Err(BadOutput::new("`configure` refused settings that it had accepted before").into()),
            _ => Err(BadOutput::new("no such result of `configure`").into()),
        }
    }
}

/// Functions that a shell would call besides those that are asked for.
fn around(name: &str) -> bool {
    name == "_initialize" || name.starts_with("cabi_post_")
}

/// A function of these parameters and one `i32`.
fn func(module: &Module, name: &str, params: &[ValType]) -> Option<ModuleExport> {
    let ExternType::Func(ty) = module.get_export(name)? else { return None };
    let same = |one: ValType, other: &ValType| ValType::eq(&one, other);
    let fits = ty.params().len() == params.len() && ty.params().zip(params).all(|(one, other)| same(one, other));
    let returns = ty.results().len() == 1 && ty.results().all(|result| same(result, &ValType::I32));
    module.get_export_index(name).filter(|_| fits && returns)
}

/// What a function of this module returns. `params` are those of its type.
#[inline(always)]
fn call<const N: usize>(store: &mut Store<State>, func: Func, mut params: [ValRaw; N]) -> Result<usize> {
    // SAFETY: `func` was taken out of the module by an export whose type has these parameters and one result (`Direct::of`); N is at least
    // one, so there is room for it. No references are passed, and nothing calls back.
    unsafe { func.call_unchecked(store, &raw mut params[..])? };
    Ok(params[0].get_u32() as usize)
}

impl Inside {
    #[inline(always)]
    pub(super) fn on_request(&self, store: &mut Store<State>, inputs: &RequestInputs<'_>, passing: &Passing) -> Result<Decision> {
        renewal::runs();
        let func = self.request.ok_or_else(|| BadOutput::new("`on-request` is not planned"))?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = lower::request(&mut self.within(store), inputs, passing)?;
        let at = call(store, func, [ValRaw::u64(inputs.exchange), a, b, c, d, e, f, g, h, i, j, k, l, m, n, o])?;
        self.decision(store, at, Phase::Request)
    }

    #[inline(always)]
    pub(super) fn on_response(&self, store: &mut Store<State>, inputs: &ResponseInputs<'_>, passing: &Passing) -> Result<Decision> {
        renewal::runs();
        let func = self.response.ok_or_else(|| BadOutput::new("`on-response` is not planned"))?;
        let [a, b, c, d, e] = lower::response(&mut self.within(store), inputs, passing)?;
        let at = call(store, func, [ValRaw::u64(inputs.exchange), a, b, c, d, e])?;
        self.decision(store, at, Phase::Response)
    }

    #[inline(always)]
    fn decision(&self, store: &Store<State>, at: usize, phase: Phase) -> Result<Decision> {
        let memory = self.memory.data(store);
        let area = memory.get(at..).and_then(|rest| rest.get(..lift::DECISION)).filter(|_| at.is_multiple_of(4));
        let area = area.ok_or_else(|| BadOutput::new("a decision that is out of bounds or not aligned"))?;
        Ok(lift::decision(memory, area, phase)?)
    }

    const fn within<'s>(&'s self, store: &'s mut Store<State>) -> Within<'s> {
        Within { inside: self, store }
    }
}

struct Within<'s> {
    inside: &'s Inside,
    store: &'s mut Store<State>,
}

impl Space for Within<'_> {
    fn realloc(&mut self, align: usize, length: usize) -> Result<usize> {
        let at =
            call(self.store, self.inside.realloc, [ValRaw::u32(0), ValRaw::u32(0), ValRaw::u32(align as u32), ValRaw::u32(length as u32)])?;
        if at.is_multiple_of(align) { Ok(at) } else { Err(BadOutput::new("the allocator returned a pointer that is not aligned").into()) }
    }

    #[inline(always)]
    fn memory(&mut self) -> &mut [u8] {
        self.inside.memory.data_mut(&mut *self.store)
    }
}
