//! Session tickets (RFC 5077; RFC 8446, section 4.6.1): sealed with AES-256-GCM-SIV, under a key that is replaced every 12 hours; what the
//! key before has sealed is still accepted, so a ticket is good for 12 to 24 hours.
//!
//! Keys are in memory only, or in a directory that several processes share: `<unix time at which its 12 hours begin>.key`, owner-only,
//! made by whoever needs it first, deleted when its time is over. With the keys of a directory, everything recorded under tickets of
//! its time can be read, so it belongs on a disk that is not backed up (`/run`).
//!
//! A ticket opens only for the settings it was made for: a site's client-certificate check is in no other site's tickets.

use super::problem::CertProblem;
use crate::config::Location;
use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long one key seals tickets, seconds.
const PERIOD: u64 = 12 * 60 * 60;
/// A ticket under a key that we do not know makes us look again at most this often, seconds: another process may have made one, but
/// anyone may send tickets.
const LOOK_AGAIN: u64 = 10;
/// After a failure to read or make a key, seconds. The disk may be full for a while.
const PAUSE: u64 = 600;

const NAME: usize = 16;
const SECRET: usize = 32;

/// The keys in use. Shared by all workers and all settings.
pub struct TicketKeys {
    directory: Option<PathBuf>,
    ring: ArcSwap<Ring>,
    /// Held by who makes the next ring; the others go on with the old one.
    renewing: Mutex<()>,
    looked: AtomicU64,
}

/// The keys of one period.
struct Ring {
    /// Unix time from which there must be another.
    until: u64,
    /// The first seals.
    keys: Vec<Arc<Key>>,
}

struct Key {
    name: [u8; NAME],
    aead: LessSafeKey,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    #[error("{path}: {1}", path = .0.display())]
    Disk(PathBuf, #[source] io::Error),
    #[error("{path}: others than its owner could read the keys (mode {1:o}); chmod go= it", path = .0.display())]
    Open(PathBuf, u32),
    #[error("{path}: not a key of {length} bytes; remove the file to have a new one made", path = .0.display(), length = NAME + SECRET)]
    Contents(PathBuf),
    #[error("the system has no random bytes")]
    Random,
}

/// What is wrong with a directory of ticket keys, without making it. For `portcullis check`.
pub fn check_ticket_keys(directory: &Path, at: &Location) -> Option<CertProblem> {
    let found = fs::symlink_metadata(directory).is_ok().then(|| closed(directory)).and_then(Result::err);
    found.map(|error| error.problem(at))
}

impl TicketKeyError {
    pub fn problem(&self, at: &Location) -> CertProblem {
        CertProblem::error(CertProblem::TICKET_KEYS, at, format!("ticket keys: {self}"))
    }
}

impl TicketKeys {
    /// Keys that no other process knows, or those in `directory`, which is made if it is not there.
    pub fn open(directory: Option<&Path>) -> Result<Arc<Self>, TicketKeyError> {
        if let Some(directory) = directory {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| TicketKeyError::Disk(directory.into(), error))?;
            closed(directory)?;
        }
        let ring = Ring::load(directory, now(), None)?;
        Ok(Arc::new(Self {
            directory: directory.map(Path::to_path_buf),
            ring: ArcSwap::from_pointee(ring),
            renewing: Mutex::default(),
            looked: AtomicU64::default(),
        }))
    }

    /// Seals and opens tickets for settings that `context` tells from all others.
    pub fn ticketer(self: &Arc<Self>, context: [u8; 32]) -> Arc<dyn ProducesTickets> {
        Arc::new(Ticketer { keys: self.clone(), context })
    }

    /// The ring of the time. Reading the next one takes a worker well under a millisecond, twice a day.
    fn ring(&self, now: u64) -> Arc<Ring> {
        let ring = self.ring.load_full();
        if now < ring.until { ring } else { self.renew(now, false) }
    }

    fn renew(&self, now: u64, anew: bool) -> Arc<Ring> {
        let Ok(_guard) = self.renewing.try_lock() else { return self.ring.load_full() };
        let old = self.ring.load_full();
        if now < old.until && !anew {
            return old;
        }
        let loaded = Ring::load(self.directory.as_deref(), now, Some(&old)).unwrap_or_else(|error| {
            tracing::warn!(%error, "ticket keys cannot be renewed; new tickets are good in this process only");
            // Without a directory: a key that nobody else knows is better than an old one.
            let own = Ring::load(None, now, Some(&old));
            own.map_or_else(|_| Ring { until: now + PAUSE, keys: Vec::new() }, |ring| Ring { until: now + PAUSE, ..ring })
        });
        self.ring.store(Arc::new(loaded));
        self.ring.load_full()
    }

    /// Whether it is time to look for keys that other processes have made.
    fn may_look(&self, now: u64) -> bool {
        let last = self.looked.load(Ordering::Relaxed);
        self.directory.is_some()
            && now >= last.saturating_add(LOOK_AGAIN)
            && self.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Ring {
    /// The key of the period that `now` lies in, then the one before, then the next, if a process whose clock is ahead has made it.
    fn load(directory: Option<&Path>, now: u64, old: Option<&Self>) -> Result<Self, TicketKeyError> {
        let begin = now - now % PERIOD;
        let mut keys = Vec::with_capacity(3);
        match directory {
            None => {
                keys.push(Arc::new(Key::of(&random()?).ok_or(TicketKeyError::Random)?));
                let before = old.filter(|old| old.until >= begin);
                keys.extend(before.and_then(|old| old.keys.first()).cloned());
            }
            Some(directory) => {
                publish(directory, begin)?;
                keys.push(Arc::new(read(&file(directory, begin))?));
                for other in [begin.saturating_sub(PERIOD), begin + PERIOD].map(|begin| file(directory, begin)) {
                    if other.exists() {
                        keys.push(Arc::new(read(&other)?));
                    }
                }
                forget(directory, begin.saturating_sub(PERIOD));
            }
        }
        Ok(Self { until: begin + PERIOD, keys })
    }
}

impl Key {
    fn of(bytes: &[u8; NAME + SECRET]) -> Option<Self> {
        let (name, secret) = bytes.split_first_chunk::<NAME>()?;
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, secret).ok()?);
        Some(Self { name: *name, aead })
    }
}

/// For one kind of settings.
struct Ticketer {
    keys: Arc<TicketKeys>,
    context: [u8; 32],
}

/// Name of the key, nonce, sealed session.
impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ring = self.keys.ring(now());
        let key = ring.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        key.aead.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.context), &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let now = now();
        let mut ring = self.keys.ring(now);
        if !ring.keys.iter().any(|key| key.name == *name) && self.keys.may_look(now) {
            ring = self.keys.renew(now, true);
        }
        let key = ring.keys.iter().find(|key| key.name == *name)?;
        let mut opened = sealed.to_vec();
        let length = key.aead.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.context), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn file(directory: &Path, begin: u64) -> PathBuf {
    directory.join(format!("{begin}.key"))
}

fn random() -> Result<[u8; NAME + SECRET], TicketKeyError> {
    let mut bytes = [0; NAME + SECRET];
    rand::fill(&mut bytes).map_err(|_| TicketKeyError::Random)?;
    Ok(bytes)
}

/// Makes the key of a period, unless another process was first.
fn publish(directory: &Path, begin: u64) -> Result<(), TicketKeyError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = file(directory, begin);
    if path.exists() {
        return Ok(());
    }
    // Written aside and linked into place: nobody must see half a key.
    let aside = directory.join(format!(".{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let disk = |error| TicketKeyError::Disk(path.clone(), error);
    // What a process with our id left behind when it died is of no use to anyone.
    let _ = fs::remove_file(&aside);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(disk)?;
    out.write_all(&random()?).map_err(disk)?;
    let linked = fs::hard_link(&aside, &path);
    let removed = fs::remove_file(&aside);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.and(removed).map_err(disk),
    }
}

fn read(path: &Path) -> Result<Key, TicketKeyError> {
    closed(path)?;
    let mut bytes = Vec::new();
    let disk = |error| TicketKeyError::Disk(path.into(), error);
    fs::File::open(path).map_err(disk)?.take(1024).read_to_end(&mut bytes).map_err(disk)?;
    let bytes = bytes.as_slice().try_into().ok();
    bytes.and_then(Key::of).ok_or_else(|| TicketKeyError::Contents(path.into()))
}

/// Deletes the keys of periods before this one. What cannot be deleted is told by its age.
fn forget(directory: &Path, before: u64) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let begin = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".key")?.parse::<u64>().ok());
        if begin.is_some_and(|begin| begin < before) {
            let _ = fs::remove_file(path);
        }
    }
}

fn closed(path: &Path) -> Result<(), TicketKeyError> {
    let found = fs::metadata(path).map_err(|error| TicketKeyError::Disk(path.into(), error))?;
    let mode = found.permissions().mode() & 0o7777;
    let elsewhere =
        path.parent().and_then(|parent| fs::metadata(parent).ok()).is_some_and(|parent| found.is_file() && parent.uid() != found.uid());
    if mode & 0o077 != 0 || elsewhere { Err(TicketKeyError::Open(path.into(), mode)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(keys: &Arc<TicketKeys>, context: u8, ticket: &[u8]) -> bool {
        keys.ticketer([context; 32]).decrypt(ticket).as_deref() == Some(b"session")
    }

    fn sealed(keys: &Arc<TicketKeys>, context: u8) -> Vec<u8> {
        keys.ticketer([context; 32]).encrypt(b"session").expect("sealed")
    }

    #[test]
    fn a_ticket_opens_for_the_settings_it_was_made_for_only() {
        let keys = TicketKeys::open(None).expect("made");
        let ticket = sealed(&keys, 1);
        assert!(opens(&keys, 1, &ticket));
        assert!(!opens(&keys, 2, &ticket), "another site");
        assert!(!opens(&TicketKeys::open(None).expect("made"), 1, &ticket), "another process");
        for index in 0..ticket.len() {
            let mut broken = ticket.clone();
            broken[index] ^= 1;
            assert!(!opens(&keys, 1, &broken) && !opens(&keys, 1, &ticket[..index]), "byte {index}");
        }
    }

    #[test]
    fn keys_are_replaced_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("keys");
        for directory in [None, Some(place.as_path())] {
            let keys = TicketKeys::open(directory).expect("made");
            let mut old = sealed(&keys, 1);
            for (periods, accepted) in [(1, true), (3, false)] {
                // As if the time had come: `now()` is not ours to turn.
                let later = now() + periods * PERIOD;
                keys.renew(later, true);
                let known = keys.ring.load().keys.iter().any(|key| old.starts_with(&key.name));
                assert_eq!(known, accepted, "{periods} {directory:?}");
                old = keys.ring.load().keys[0].name.to_vec();
            }
        }
        assert_eq!(fs::read_dir(&place).expect("there").count(), 1, "old keys are deleted");
    }

    #[test]
    fn processes_that_share_a_directory_share_tickets() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("deep/keys");
        let (one, two) = (TicketKeys::open(Some(&place)).expect("made"), TicketKeys::open(Some(&place)).expect("read"));
        assert!(opens(&two, 1, &sealed(&one, 1)) && opens(&one, 1, &sealed(&two, 1)));
        // One's clock is ahead: the other finds its key when it meets a ticket under it.
        one.renew(now() + PERIOD, false);
        let ahead = one.ring.load().keys[0].clone();
        let ticket = [&ahead.name[..], &[0; NONCE_LEN], b"nonsense"].concat();
        assert!(!two.ring.load().keys.iter().any(|key| key.name == ahead.name));
        assert!(!opens(&two, 1, &ticket));
        assert!(two.ring.load().keys.iter().any(|key| key.name == ahead.name));
    }

    #[test]
    fn keys_that_others_can_read_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("keys");
        TicketKeys::open(Some(&place)).expect("made");
        let key = fs::read_dir(&place).expect("there").next().expect("a key").expect("readable").path();
        assert_eq!(fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(matches!(TicketKeys::open(Some(&place)), Err(TicketKeyError::Open(..))));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("changed");
        fs::write(&key, "short").expect("written");
        assert!(matches!(TicketKeys::open(Some(&place)), Err(TicketKeyError::Contents(_))));
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("changed");
        let at = Location { file: "edge.toml".into(), line: 1, column: 1 };
        assert_eq!(check_ticket_keys(&place, &at).map(|problem| problem.code), Some(CertProblem::TICKET_KEYS));
        assert_eq!(check_ticket_keys(&dir.path().join("none"), &at), None);
    }
}
