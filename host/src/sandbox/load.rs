//! From a file to a [`Plugin`]: read, pin, compile or take from the cache, check imports and exports.

use super::cache::Cache;
use super::direct::Direct;
use super::grants::{self, Import, Refusal, Standing};
use super::imports::{self, Capability};
use super::lines::Lines;
use super::offer::{Offer, Offered};
use super::passing::Passing;
use super::plugin::{Linked, Plugin};
use super::remembered::impurity;
use super::renewal::{Marked, Places, marked};
use super::state::State;
use super::stores::Store;
use super::ticker::Ticker;
use super::wasi;
use super::{direct, engine, inspect};
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use wasmtime::component::__internal::wasmtime_environ::wasmparser;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Module};

/// Engine, linker, ticker and cache. One per process.
pub struct Sandbox {
    pub(super) engine: Engine,
    linker: Linker<State>,
    /// For guests that may wait.
    waiting: Linker<State>,
    pub(super) offered: Offered,
    ticker: Arc<Ticker>,
    cache: Option<Cache>,
    places: Arc<Places>,
    /// For bundled plugins; what is in it outlives the configuration.
    local: Arc<Store>,
    /// By digest. Weak: a plugin that no configuration uses any more is freed.
    loaded: Mutex<HashMap<[u8; 32], Arc<Slot>>>,
}

/// A plugin while somebody uses it; locked while it is made.
type Slot = Mutex<Weak<Plugin>>;

/// What a sandbox is made with.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Directory for compiled components, made if it is not there. `None`: compile at each start.
    pub cache: Option<PathBuf>,
    /// Guests that can live at once, all links and workers together. Each costs 4 GiB of address space, and memory only as it is used.
    pub guests: u32,
}

impl Default for SandboxOptions {
    /// 4096 guests: 16 TiB of the 128 that a process has.
    fn default() -> Self {
        Self { cache: None, guests: 4096 }
    }
}

/// What is in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Population {
    pub plugins: usize,
    pub guests: Option<u64>,
}

/// The machine would not let us build one.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot be built: {0}")]
pub struct SandboxError(String);

/// Why a file is no plugin for this proxy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    #[error("has SHA-256 {}, but {} is pinned", hex(found), hex(pinned))]
    Digest { found: [u8; 32], pinned: [u8; 32] },
    #[error("is not a component: {0}")]
    NotAComponent(String),
    #[error("{0}")]
    Import(#[from] Refusal),
    #[error("imports something with another type than this proxy offers: {0}")]
    ImportType(String),
    #[error("exports `{export}`; this proxy offers {offered}")]
    Version { export: String, offered: String },
    #[error("does not export `{0}`")]
    NoExport(String),
    #[error("exports no phase, such as `on-request` or `on-accept`")]
    NoPhase,
    #[error("exports `{export}` with another type: {reason}")]
    WrongType { export: String, reason: String },
    #[error("cannot be described: {0}")]
    Describe(String),
}

impl LoadError {
    /// The code of the diagnostic (design: config.md).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::TooLarge | Self::Digest { .. } | Self::NotAComponent(_) | Self::Describe(_) => "E030",
            Self::Import(_) | Self::ImportType(_) => "E031",
            Self::Version { .. } | Self::NoExport(_) | Self::NoPhase | Self::WrongType { .. } => "E033",
        }
    }
}

/// Bytes of a component. A Python or JavaScript engine with its program has 10 to 30 MiB.
const LARGEST: u64 = 64 << 20;

impl Sandbox {
    /// A cache that cannot be trusted is a warning, and compiling takes its place.
    pub fn new(options: &SandboxOptions) -> Result<Self, SandboxError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| SandboxError(format!("{what}: {error:#}"));
        let engine = engine::make(options.guests).map_err(|error| failed("engine", &error))?;
        let (linker, offered) = link(&engine, false).map_err(|error| failed("linker", &error))?;
        let (waiting, _) = link(&engine, true).map_err(|error| failed("linker", &error))?;
        let ticker = Ticker::start(&engine).map_err(|error| failed("ticker", &error))?;
        let cache = options.cache.as_ref().and_then(|dir| match Cache::open(dir, &engine) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!("no cache of compiled plugins: {error}");
                None
            }
        });
        Ok(Self {
            engine,
            linker,
            waiting,
            offered,
            ticker: Arc::new(ticker),
            cache,
            // The rest is for exchanges that need one more.
            places: Arc::new(Places::new(options.guests as usize / 4)),
            local: Arc::new(Store::local()),
            loaded: Mutex::default(),
        })
    }

    /// The store that bundled plugins may use without the operator's doing.
    pub const fn local_store(&self) -> &Arc<Store> {
        &self.local
    }

    /// A plugin from a `.wasm` file.
    pub fn load_file(&self, path: &Path, pin: Option<&[u8; 32]>) -> Result<Arc<Plugin>, LoadError> {
        self.load(&read_component(path)?, pin)
    }

    /// A plugin from the bytes of its file. Equal bytes give the same plugin for as long as it is used. Blocks for as long as
    /// compiling takes; several can be loaded at once on several threads.
    pub fn load(&self, bytes: &[u8], pin: Option<&[u8; 32]>) -> Result<Arc<Plugin>, LoadError> {
        let found = digest(bytes);
        if let Some(pinned) = pin.filter(|pinned| **pinned != found) {
            return Err(LoadError::Digest { found, pinned: *pinned });
        }
        let slot = self.slot(found);
        // Held while compiling, so that two threads do not compile the same file.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = slot.upgrade() {
            return Ok(plugin);
        }
        let plugin = Arc::new(self.make(bytes, found)?);
        *slot = Arc::downgrade(&plugin);
        Ok(plugin)
    }

    /// Several files at once, on as many threads as there are cores; results in the order given.
    pub fn load_all(&self, files: &[(&[u8], Option<[u8; 32]>)]) -> Vec<Result<Arc<Plugin>, LoadError>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut results = Vec::with_capacity(files.len());
        for some in files.chunks(threads) {
            std::thread::scope(|scope| {
                let running: Vec<_> = some.iter().map(|(bytes, pin)| scope.spawn(|| self.load(bytes, pin.as_ref()))).collect();
                for one in running {
                    results.push(one.join().unwrap_or_else(|_| Err(LoadError::NotAComponent("compiling it panicked".to_owned()))));
                }
            });
        }
        results
    }

    /// Components that are in use, and guests that live, all generations together; `None`: nobody counts, since there was no room for
    /// a pool of guests.
    pub fn population(&self) -> Population {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is locked is being loaded.
        let in_use = |slot: &&Arc<Slot>| slot.try_lock().map_or(true, |plugin| plugin.strong_count() > 0);
        let plugins = loaded.values().filter(in_use).count();
        let components = self.engine.pooling_allocator_metrics().map(|pool| pool.component_instances());
        Population { plugins, guests: components.map(|components| components + self.places.taken() as u64) }
    }

    /// All about a file that can be known without configuration. An error only if it is no component at all.
    pub fn inspect(&self, bytes: &[u8]) -> Result<inspect::Inspection, LoadError> {
        inspect::inspect(self, bytes)
    }

    pub(super) fn ticker(&self) -> Arc<Ticker> {
        Arc::clone(&self.ticker)
    }

    pub(super) fn imports(&self, component: &Component) -> Vec<Import> {
        let all = component.component_type();
        grants::imports(&self.engine, all.imports(&self.engine).map(|(name, item)| (name, item.ty)), &self.offered)
    }

    pub(super) fn compile(&self, bytes: &[u8], digest: &[u8; 32]) -> Result<Component, LoadError> {
        if bytes.len() as u64 > LARGEST {
            return Err(LoadError::TooLarge);
        }
        if !wasmparser::Parser::is_component(bytes) {
            return Err(LoadError::NotAComponent(what_it_is(bytes).to_owned()));
        }
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest)) {
            return Ok(component);
        }
        let component = Component::from_binary(&self.engine, bytes).map_err(|error| LoadError::NotAComponent(format!("{error:#}")))?;
        if let Some(cache) = &self.cache {
            cache.store(&component, digest);
        }
        Ok(component)
    }

    fn make(&self, bytes: &[u8], digest: [u8; 32]) -> Result<Plugin, LoadError> {
        let component = self.compile(bytes, &digest)?;
        let mut needs = Vec::new();
        let imports = self.imports(&component);
        let impure = impurity(&imports);
        let alone = imports.iter().all(|import| import.standing == Standing::Types);
        for import in imports {
            match import.standing {
                Standing::Refused(refusal) => return Err(refusal.into()),
                Standing::Capability(capability) => needs.push((capability, import.name)),
                Standing::Types | Standing::Stub => {}
            }
        }
        let link = |linker: &Linker<State>| linker.instantiate_pre(&component).map_err(|error| LoadError::ImportType(format!("{error:#}")));
        let may_wait = needs.iter().any(|(capability, _)| matches!(capability, Capability::Kv | Capability::HttpClient));
        let waiting = may_wait.then(|| link(&self.waiting)).transpose()?;
        let linked = Linked { pre: link(&self.linker)?, waiting, needs, impure };
        let direct = direct::module(bytes).filter(|_| alone).and_then(|module| self.direct(module, &digest));
        let lines = Lines::of(bytes, direct.is_some());
        Plugin::describe(linked, &self.ticker, seed(), (digest, lines), (Passing::of(bytes), direct))
    }

    /// Of the module in the component with this digest.
    fn direct(&self, bytes: &[u8], digest: &[u8; 32]) -> Option<Direct> {
        let kept = self.cache.as_ref().and_then(|cache| cache.load_module(&self.engine, digest));
        let module = match kept {
            Some(module) => module,
            None => {
                let module = match marked(bytes) {
                    Marked::Yes(named) => Module::new(&self.engine, named).ok()?,
                    Marked::No => Module::new(&self.engine, bytes).ok()?,
                    Marked::Pretends => return None,
                };
                if let Some(cache) = &self.cache {
                    cache.store_module(&module, digest);
                }
                module
            }
        };
        Direct::of(&self.engine, &module, bytes, &self.places)
    }

    fn slot(&self, digest: [u8; 32]) -> Arc<Slot> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody uses and nobody is loading right now.
        loaded.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|plugin| plugin.strong_count() > 0));
        Arc::clone(loaded.entry(digest).or_default())
    }
}

fn link(engine: &Engine, waits: bool) -> wasmtime::Result<(Linker<State>, Offered)> {
    let mut linker = Linker::new(engine);
    let mut offer = Offer::new(&mut linker);
    wasi::link(&mut offer)?;
    imports::link(&mut offer, waits)?;
    let offered = offer.done();
    Ok((linker, offered))
}

pub fn read_component(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST { Err(LoadError::TooLarge) } else { Ok(bytes) }
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    digest
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn what_it_is(bytes: &[u8]) -> &'static str {
    if wasmparser::Parser::is_core_wasm(bytes) {
        "it is a core module; build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    } else if bytes.starts_with(b"\0asm") {
        "it is a component of an unknown version"
    } else {
        "it does not begin as WebAssembly does"
    }
}

fn seed() -> (u64, u64) {
    let mut bytes = [0; 16];
    // Without random numbers the seed is known to others, and only the speed of a guest's hash maps is at stake.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let both = u128::from_le_bytes(bytes);
    (both as u64, (both >> 64) as u64)
}
