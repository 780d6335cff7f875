//! Guests of `isolate = "request"` that are set back instead of made anew: after an exchange, a guest becomes what it was when it had taken its
//! settings, and serves another. That costs a third of what a new one does (`benches/chain.rs`).
//!
//! It is done where nothing is left out. Such a guest is called without the component around it (`direct`), so it imports nothing, and the host
//! holds nothing of it. Its module changes no table and drops no segment, has one memory and no other mutable globals than numbers (`marks`). So
//! all that it is stands in that memory and those globals, and both are written back: the globals always, of memory every page that
//! may have been written to (`pages`). A guest whose memory has grown, or that broke the contract, is thrown away. What a guest has become by
//! its settings is a function of them, since it imports nothing; so one image serves all guests of a link.

mod marks;
mod pages;

pub(super) use marks::{Marked, growth, marked};
pub(super) use pages::runs;

use super::state::State;
use marks::MARK;
use pages::{PAGE, Written};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::{Extern, Global, Instance, Memory, Module, ModuleExport, Store, Val};

/// Guests with more memory are made anew: looking for what they wrote would cost more than it spares.
const MOST_MEMORY: usize = 4 << 20;

/// Of one module: the mutable globals that it was given names for.
pub(super) struct Marks(Vec<ModuleExport>);

impl Marks {
    /// `None`: its guests cannot be set back.
    pub(super) fn of(module: &Module) -> Option<Self> {
        module.get_export_index(MARK).filter(|_| pages::known())?;
        Some(Self((0..).map_while(|index| module.get_export_index(&marks::global(index))).collect()))
    }

    /// For one guest of it.
    pub(super) fn find(&self, store: &mut Store<State>, instance: Instance) -> Option<Renewal> {
        let globals = self.0.iter().map(|global| instance.get_module_export(&mut *store, global).and_then(Extern::into_global));
        Some(Renewal { globals: globals.collect::<Option<_>>()?, written: Written::default(), spare: None })
    }
}

/// One guest's part in it.
pub(super) struct Renewal {
    globals: Vec<Global>,
    written: Written,
    /// Kept from the first rest on.
    spare: Option<Spare>,
}

/// What all guests of one link are when they have taken its settings.
pub(super) struct Image {
    /// `None`: zeros.
    pages: Box<[Option<Box<[u8; PAGE]>>]>,
    globals: Box<[Val]>,
}

impl Image {
    /// Of a guest that has just taken its settings; `None`: it is too large.
    pub(super) fn of(store: &mut Store<State>, memory: Memory, renewal: &Renewal) -> Option<Self> {
        let bytes = memory.data_mut(&mut *store);
        if bytes.len() > MOST_MEMORY {
            return None;
        }
        let (pages, _) = bytes.as_chunks_mut::<PAGE>();
        let copy = |page: &[u8; PAGE]| page.iter().any(|byte| *byte != 0).then(|| Box::new(*page));
        let pages = pages::without_trace(pages, |pages| pages.iter().map(copy).collect())?;
        let globals = renewal.globals.iter().map(|global| global.get(&mut *store)).collect();
        Some(Self { pages, globals })
    }

    /// Makes a guest what this one was. `None`: it cannot be, and must not be used any more.
    pub(super) fn restore(&self, store: &mut Store<State>, memory: Memory, renewal: &mut Renewal, places: &Arc<Places>) -> Option<()> {
        if renewal.spare.is_none() {
            renewal.spare = Some(Places::spare(places)?);
        }
        let (pages, _) = memory.data_mut(&mut *store).as_chunks_mut::<PAGE>();
        if pages.len() != self.pages.len() {
            return None;
        }
        for index in renewal.written.look(pages)? {
            match (pages.get_mut(*index as usize)?, self.pages.get(*index as usize)?) {
                (page, Some(image)) => page.copy_from_slice(&image[..]),
                (page, None) => page.fill(0),
            }
        }
        debug_assert!(self.is(pages), "a page was written to, and nobody saw it");
        let mut globals = renewal.globals.iter().zip(&self.globals);
        globals.all(|(global, value)| global.set(&mut *store, *value).is_ok()).then_some(())
    }

    fn is(&self, pages: &[[u8; PAGE]]) -> bool {
        pages.iter().zip(&self.pages).all(|(page, image)| match image {
            Some(image) => page == &**image,
            None => page.iter().all(|byte| *byte == 0),
        })
    }
}

/// The guests without a component around them, all links and workers together. How many of them may rest is bounded: they take places that others
/// may need.
pub(super) struct Places {
    taken: AtomicUsize,
    spare: AtomicUsize,
}

/// A guest is there.
pub(super) struct Taken(Arc<Places>);

/// A guest that rests now and then.
struct Spare(Arc<Places>);

impl Places {
    pub(super) const fn new(spare: usize) -> Self {
        Self { taken: AtomicUsize::new(0), spare: AtomicUsize::new(spare) }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn take(this: &Arc<Self>) -> Taken {
        this.taken.fetch_add(1, Ordering::Relaxed);
        Taken(Arc::clone(this))
    }

    fn spare(this: &Arc<Self>) -> Option<Spare> {
        this.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Spare(Arc::clone(this)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.0.spare.fetch_add(1, Ordering::Relaxed);
    }
}
