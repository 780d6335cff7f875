//! Fetching with patience: what is on the shelf needs no registry; else it is asked, again after a pause if it does not answer, until the time is up.
//! Blocks the calling thread, which is one that serves nobody.

use super::artefact::{Artefact, LARGEST_MANIFEST, Label, Leads, Manifest, Unreadable, pack};
use super::registry::{Registry, RegistryError};
use super::shelf::{Shelf, ShelfError};
use super::{LARGEST, digest};
use crate::config::Reference;
use bytes::Bytes;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

/// All tries together. A large component over a slow line takes some seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    #[error("it did not come within {} s", LIMIT.as_secs())]
    Slow,
    #[error("fetched, but it cannot be kept: {0}")]
    Shelf(#[from] ShelfError),
    #[error("the system refuses a runtime to fetch with: {0}")]
    System(String),
}

/// From the shelf alone; `None` if not all of it is there.
pub fn kept(wanted: &[u8; 32], shelf: &Shelf) -> Option<Artefact> {
    let (mut at, mut steps) = (*wanted, 0);
    loop {
        let manifest = Manifest::read(&shelf.get(&at, LARGEST_MANIFEST)?).ok()?;
        match manifest.leads().ok()? {
            Leads::Layer(layer) => {
                let bytes = shelf.get(&layer.digest, layer.size)?;
                return manifest.open(&layer, bytes, *wanted).ok();
            }
            Leads::Manifest(next) if steps == 0 => (at, steps) = (next, 1),
            Leads::Manifest(_) => return None,
        }
    }
}

/// One artefact; with a tag or nothing instead of a digest, what it is today.
pub fn fetch(reference: &Reference, shelf: Option<&Shelf>) -> Result<Artefact, FetchError> {
    run(async { patiently(reference, shelf).await })?
}

/// Several at once, in the order given.
pub fn fetch_all(references: Vec<Reference>, shelf: &Shelf) -> Vec<Result<Artefact, FetchError>> {
    let count = references.len();
    let all = async {
        let tasks: Vec<_> = references
            .into_iter()
            .map(|reference| {
                let shelf = shelf.clone();
                tokio::spawn(async move { patiently(&reference, Some(&shelf)).await })
            })
            .collect();
        let mut found = Vec::with_capacity(count);
        for task in tasks {
            found.push(task.await.unwrap_or_else(|panic| Err(FetchError::System(panic.to_string()))));
        }
        found
    };
    run(all).unwrap_or_else(|error| {
        let why = error.to_string();
        (0..count).map(|_| Err(FetchError::System(why.clone()))).collect()
    })
}

/// Sends a component; gives the digest of its manifest.
pub fn push(reference: &Reference, wasm: Vec<u8>, label: &Label, signature: Option<&str>) -> Result<[u8; 32], FetchError> {
    let (config, manifest) = pack(&wasm, label, signature);
    let digest = digest(manifest.as_bytes());
    let tag = reference.tag.as_deref().unwrap_or("latest");
    run(async {
        let sent = async { Registry::open(reference).await?.push(tag, [Bytes::from(config), Bytes::from(wasm)], manifest).await };
        timeout(LIMIT, sent).await.map_err(|_| FetchError::Slow)?.map_err(FetchError::from)
    })??;
    Ok(digest)
}

/// On a thread of its own: whoever asks may be within a runtime already.
fn run<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, FetchError> {
    let failed = |error: &dyn std::fmt::Display| FetchError::System(error.to_string());
    std::thread::scope(|scope| {
        let running = std::thread::Builder::new().name("fetch".into()).spawn_scoped(scope, || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(work);
            // A look-up of a name that hangs, or a credential helper, must not hold us up.
            runtime.shutdown_background();
            std::io::Result::Ok(done)
        });
        let joined = running.map_err(|error| failed(&error))?.join().map_err(|_| failed(&"it panicked"))?;
        joined.map_err(|error| failed(&error))
    })
}

async fn patiently(reference: &Reference, shelf: Option<&Shelf>) -> Result<Artefact, FetchError> {
    let trying = async {
        let mut pauses = PAUSES.into_iter();
        loop {
            match once(reference, shelf).await {
                Err(FetchError::Registry(RegistryError::Away { registry, why })) => match pauses.next() {
                    Some(pause) => {
                        tracing::warn!("{reference}: {registry} cannot be reached, trying again in {} ms: {why}", pause.as_millis());
                        sleep(pause).await;
                    }
                    None => return Err(RegistryError::Away { registry, why }.into()),
                },
                done => return done,
            }
        }
    };
    timeout(LIMIT, trying).await.unwrap_or(Err(FetchError::Slow))
}

async fn once(reference: &Reference, shelf: Option<&Shelf>) -> Result<Artefact, FetchError> {
    if let (Some(digest), Some(shelf)) = (&reference.digest, shelf)
        && let Some(artefact) = kept(digest, shelf)
    {
        return Ok(artefact);
    }
    let registry = Registry::open(reference).await?;
    let (bytes, digest) = registry.manifest(reference.digest.as_ref(), reference.tag.as_deref()).await?;
    keep(shelf, &bytes)?;
    let mut manifest = Manifest::read(&bytes)?;
    let mut leads = manifest.leads()?;
    if let Leads::Manifest(next) = leads {
        let (bytes, _) = registry.manifest(Some(&next), None).await?;
        keep(shelf, &bytes)?;
        manifest = Manifest::read(&bytes)?;
        leads = manifest.leads()?;
    }
    let Leads::Layer(layer) = leads else { return Err(Unreadable::NoComponent("its manifests lead to manifests".to_owned()).into()) };
    let on_shelf = shelf.and_then(|shelf| shelf.get(&layer.digest, LARGEST));
    let bytes = match on_shelf {
        Some(bytes) => bytes,
        None => registry.layer(&layer).await?,
    };
    keep(shelf, &bytes)?;
    Ok(manifest.open(&layer, bytes, digest)?)
}

fn keep(shelf: Option<&Shelf>, bytes: &[u8]) -> Result<(), ShelfError> {
    shelf.map_or(Ok(()), |shelf| shelf.put(bytes).map(drop))
}
