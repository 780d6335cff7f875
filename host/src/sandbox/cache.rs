//! Compiled components on disk, so that a start costs 0.2 ms a plugin instead of 100.
//!
//! Loading machine code from a file means trusting the file, so only what this program wrote for this user is loaded: the directory
//! and its files belong to us and nobody else can write them, and each file is authenticated under a random key kept beside it. What
//! is cut short, altered, renamed or of another version is compiled again. This does not defend against someone who can already
//! read and write our files; it defends against damage and against files that were put there.

use super::load::hex;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Files unused for this long are removed, and the oldest beyond this many.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
const MOST: usize = 256;

/// What is done to modules before they are compiled (`renewal`): raised when that is changed.
const MADE: u32 = 1;

/// Bytes of a cached component: several times the largest `.wasm`.
const LARGEST: u64 = 512 << 20;

/// A file: nonce, tag, its own name, code. Authenticated as GMAC does (NIST SP 800-38D, 3), nothing being encrypted: some times as fast as HMAC with
/// SHA-256, whose time was most of a start's.
const TAG: usize = 16;
const KEY: usize = 32;
const KEY_FILE: &str = "key";
const SUFFIX: &str = "aot";

/// What was compiled.
#[derive(Debug, Clone, Copy)]
enum What {
    Component,
    /// That the component is a shell around (`direct`).
    Module,
}

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} {reason}; it must be ours alone, with no write access for others", path.display())]
    Unsafe { path: PathBuf, reason: &'static str },
}

pub(super) struct Cache {
    dir: PathBuf,
    key: LessSafeKey,
    /// Of the engine's settings and of this program's version: what else a compiled component depends on.
    engine: u64,
}

impl Cache {
    /// Makes the directory (0700) and the key (0600) if they are not there, and removes old files.
    pub(super) fn open(dir: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let failed = |source| CacheError::Io { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let found = fs::symlink_metadata(dir).map_err(failed)?;
        if !found.is_dir() {
            return Err(CacheError::Unsafe { path: dir.to_owned(), reason: "is not a directory" });
        }
        check_owner(dir, &found)?;
        let path = dir.join(KEY_FILE);
        let key = UnboundKey::new(&AES_256_GCM, &key(&path)?);
        let key = key.map_err(|_| CacheError::Unsafe { path, reason: "is no key" })?;
        prune(dir);
        Ok(Self { dir: dir.to_owned(), key: LessSafeKey::new(key), engine: compatibility(engine) })
    }

    /// The compiled component of the file with this digest, if it is here and unharmed.
    pub(super) fn load(&self, engine: &Engine, digest: &[u8; 32]) -> Option<Component> {
        self.read(&self.name(digest, What::Component), |code| component(engine, code))
    }

    /// The same of the module in that component.
    pub(super) fn load_module(&self, engine: &Engine, digest: &[u8; 32]) -> Option<Module> {
        self.read(&self.name(digest, What::Module), |code| module(engine, code))
    }

    fn read<C>(&self, name: &str, make: impl FnOnce(&[u8]) -> Option<C>) -> Option<C> {
        let path = self.dir.join(name);
        let (bytes, file) = match read_ours(&path, LARGEST) {
            Ok(read) => read,
            Err(CacheError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("compiled plugin not used: {error}");
                return None;
            }
        };
        let Some(code) = self.verified(name, &bytes) else {
            tracing::warn!("{}: damaged; compiling again", path.display());
            let _ = fs::remove_file(&path);
            return None;
        };
        let made = make(code)?;
        // Used today: not to be pruned. If it fails, it is pruned and compiled again some day.
        let _ = file.set_modified(SystemTime::now());
        Some(made)
    }

    /// Failing costs the next start some time, no more.
    pub(super) fn store(&self, component: &Component, digest: &[u8; 32]) {
        self.write(component.serialize(), &self.name(digest, What::Component));
    }

    pub(super) fn store_module(&self, module: &Module, digest: &[u8; 32]) {
        self.write(module.serialize(), &self.name(digest, What::Module));
    }

    fn write(&self, code: wasmtime::Result<Vec<u8>>, name: &str) {
        let Ok(code) = code else { return };
        let mut nonce = [0; NONCE_LEN];
        let text = [name.as_bytes(), &code].concat();
        // Random, for some thousands of files under a key at most.
        let sealed = rand::fill(&mut nonce)
            .and_then(|()| self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&text), &mut []));
        let Ok(tag) = sealed else { return };
        if let Err(error) = write_whole(&self.dir, name, &[&nonce, tag.as_ref(), &text]) {
            tracing::warn!("compiled plugin not kept: {}: {error}", self.dir.display());
        }
    }

    /// `digest`: of the component, also for what is in it.
    fn name(&self, digest: &[u8; 32], what: What) -> String {
        let what = match what {
            What::Component => 'c',
            What::Module => 'm',
        };
        format!("{}-{:016x}-{what}.{SUFFIX}", hex(digest), self.engine)
    }

    /// The name is covered too, so that one file cannot stand in for another.
    fn verified<'b>(&self, name: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        let (tag, text) = rest.split_at_checked(TAG)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.key.open_separate_gather(nonce, Aad::from(text), &[], tag, &mut []).ok()?;
        text.strip_prefix(name.as_bytes())
    }
}

#[allow(unsafe_code, reason = "deserialising machine code is the point of the cache")]
fn component(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `verified` has shown that these bytes were written by `store`, with a key that only this user can read.
    unsafe { Component::deserialize(engine, code) }.inspect_err(|error| tracing::warn!("compiled plugin not used: {error:#}")).ok()
}

#[allow(unsafe_code, reason = "deserialising machine code is the point of the cache")]
fn module(engine: &Engine, code: &[u8]) -> Option<Module> {
    // SAFETY: as above; wasmtime tells components from modules by what it wrote in front of them.
    unsafe { Module::deserialize(engine, code) }.inspect_err(|error| tracing::warn!("compiled plugin not used: {error:#}")).ok()
}

fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    MADE.hash(&mut hasher);
    hasher.finish()
}

fn key(path: &Path) -> Result<Vec<u8>, CacheError> {
    for _ in 0..2 {
        match read_ours(path, 4 << 10) {
            Ok((key, _)) if key.len() == KEY => return Ok(key),
            // Of another length: with a new key, what the old one signed is compiled again.
            Ok(_) => drop(fs::remove_file(path)),
            Err(CacheError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let failed = |source| CacheError::Io { path: path.to_owned(), source };
        let mut key = vec![0; KEY];
        rand::fill(&mut key).map_err(|_| failed(io::Error::other("the system has no random numbers")))?;
        // Linked, not renamed: when two processes start at once, both use the key of the first.
        let parent = path.parent().unwrap_or(Path::new("."));
        let temporary = write_temporary(parent, &[&key]).map_err(failed)?;
        let linked = fs::hard_link(&temporary, path);
        let _ = fs::remove_file(&temporary);
        match linked {
            Ok(()) => return Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(CacheError::Unsafe { path: path.to_owned(), reason: "keeps changing" })
}

/// The contents of a plain file that is ours alone and has at most `most` bytes, and the file.
fn read_ours(path: &Path, most: u64) -> Result<(Vec<u8>, File), CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(CacheError::Unsafe { path: path.to_owned(), reason: "is not a plain file" });
    }
    check_owner(path, &found)?;
    if found.len() > most {
        return Err(CacheError::Unsafe { path: path.to_owned(), reason: "is too large" });
    }
    // Not through `take`, which reads in small steps.
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes, file))
}

#[allow(unsafe_code, reason = "geteuid has no safe wrapper among our dependencies; it takes nothing and cannot fail")]
fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), CacheError> {
    // SAFETY: no arguments, no failure, no memory.
    let us = unsafe { libc::geteuid() };
    let reason = if found.uid() != us {
        "belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "can be written by others"
    } else {
        return Ok(());
    };
    Err(CacheError::Unsafe { path: path.to_owned(), reason })
}

/// All or nothing: under a temporary name first.
fn write_whole(dir: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = write_temporary(dir, parts)?;
    fs::rename(&temporary, dir.join(name)).inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn write_temporary(dir: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| io::Error::other("the system has no random numbers"))?;
    let path = dir.join(format!("{}.tmp", hex(&random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    match written {
        Ok(()) => Ok(path),
        Err(error) => {
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Removes what has not been used for long, leftovers of a crash included. Failing is no harm.
fn prune(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let ours = |path: &Path| path.extension().is_some_and(|extension| extension == SUFFIX || extension == "tmp");
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| ours(path))
        .filter_map(|path| Some((fs::symlink_metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    files.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
    let now = SystemTime::now();
    for (rank, (used, path)) in files.iter().enumerate() {
        let age = now.duration_since(*used).unwrap_or_default();
        let leftover = path.extension().is_some_and(|extension| extension == "tmp") && age > Duration::from_secs(3600);
        if rank >= MOST || age > KEEP || leftover {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests;
