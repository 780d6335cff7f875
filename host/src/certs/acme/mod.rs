//! Certificates from a CA that speaks ACME (RFC 8555): ordered when there is none, renewed when two thirds of its life are over.
//!
//! In reading order: `challenges` (what the listeners show the CA), `shelf` (files in the state directory), `transport` (HTTPS to the
//! directory), `order` (one certificate), `schedule` (when). Using a CA means agreeing to its terms of service, and the account says so.

mod challenges;
mod order;
mod schedule;
mod shelf;
mod transport;

pub use challenges::Challenges;
pub(super) use challenges::PROTOCOL;
pub(super) use shelf::Shelf;
pub(super) use transport::check_roots;

use super::files::Certified;
use super::store::Source;
use crate::config::AcmeSpec;
use order::{OrderError, Registrar};
use rustls::sign::CertifiedKey;
use schedule::{Backoff, renewal};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Orders under way at once: enough for hundreds of sites in minutes, few enough for every CA's rate limits.
const AT_ONCE: usize = 4;
/// A clock that is set, or a machine that slept, is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// Until another process that orders the same certificate is looked after again.
const OTHERS_TURN: Duration = Duration::from_secs(5);

/// A name of a site whose certificate is ordered.
pub(super) struct Ordered {
    pub name: String,
    pub spec: AcmeSpec,
    pub shelf: Shelf,
    pub source: Arc<Source>,
}

/// Keeps the certificates of all that is ordered.
pub struct Acme {
    sites: Vec<Ordered>,
    challenges: Arc<Challenges>,
}

impl Acme {
    pub(super) fn new(challenges: Arc<Challenges>, sites: Vec<Ordered>) -> Self {
        Self { sites, challenges }
    }

    /// Never ends; dropping it ends what is under way. What fails is logged and tried again, later each time.
    pub async fn run(self) {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut registrars = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for site in self.sites {
            let issuer = &site.spec.issuer;
            let registrar = registrars
                .entry(issuer.clone())
                .or_insert_with(|| Arc::new(Registrar::new(issuer.clone(), site.shelf.clone(), self.challenges.clone())));
            tasks.spawn(keep(site, registrar.clone(), slots.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a site's certificate is no longer looked after, by a defect of ours: {error}");
            }
        }
    }
}

/// Keeps one site's certificate for as long as the process lives.
async fn keep(site: Ordered, registrar: Arc<Registrar>, slots: Arc<Semaphore>) {
    let mut backoff = Backoff::default();
    let mut due = site.due(OffsetDateTime::now_utc());
    loop {
        let left = Duration::try_from(due - OffsetDateTime::now_utc()).unwrap_or_default();
        if !left.is_zero() {
            sleep(left.min(LONGEST_SLEEP)).await;
            continue;
        }
        // Never closed.
        let Ok(_slot) = slots.acquire().await else { return };
        let wait = match site.renew(&registrar).await {
            Ok(Renewed::Made(ends, next)) => {
                let (name, day, hour, minute) = (&site.name, ends.date(), ends.hour(), ends.minute());
                tracing::info!("certificate of `{name}`: from {}, ends {day} {hour:02}:{minute:02} UTC", registrar.directory());
                backoff = Backoff::default();
                due = next;
                continue;
            }
            Ok(Renewed::ByAnother) => OTHERS_TURN,
            Err(error) => {
                let wait = backoff.failed();
                let then = if site.is_served() { "the old one stays" } else { "handshakes for it fail" };
                let shown = crate::config::show_duration(Duration::from_secs(wait.as_secs()));
                tracing::error!("certificate of `{}`: {error}; {then}, next attempt in {shown}", site.name);
                wait
            }
        };
        due = OffsetDateTime::now_utc() + wait;
    }
}

enum Renewed {
    /// When it ends, and when to renew it.
    Made(OffsetDateTime, OffsetDateTime),
    /// Another process with this state directory is at it.
    ByAnother,
}

impl Ordered {
    /// When the certificate that is served is to be replaced: now if there is none.
    fn due(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.source.acme_certificate().map_or(now, |certified| renewal(&certified.coverage))
    }

    fn is_served(&self) -> bool {
        self.source.acme_certificate().is_some()
    }

    async fn renew(&self, registrar: &Registrar) -> Result<Renewed, OrderError> {
        // Held until this returns. The process that gets it later finds the certificate on the shelf.
        let lock = self.shelf.lock(&self.name)?;
        match lock.try_lock() {
            Ok(()) => self.renew_locked(registrar, &lock).await,
            Err(TryLockError::WouldBlock) => Ok(Renewed::ByAnother),
            Err(TryLockError::Error(error)) => Err(self.shelf.refused(&self.name, error).into()),
        }
    }

    async fn renew_locked(&self, registrar: &Registrar, _lock: &File) -> Result<Renewed, OrderError> {
        let now = OffsetDateTime::now_utc();
        if let Some(kept) = self.shelf.certificate(&self.name).filter(|kept| renewal(&kept.coverage) > now) {
            return Ok(self.serve(kept, now));
        }
        tracing::info!("certificate of `{}`: ordered from {}", self.name, registrar.directory());
        let text = registrar.order(&self.name, self.spec.challenge).await?;
        let made = shelf::read(&text, &self.name).ok_or(OrderError::Useless)?;
        // Served even if it cannot be kept: a full disk must not take the site down.
        let kept = self.shelf.keep(&self.name, &text);
        let renewed = self.serve(made, OffsetDateTime::now_utc());
        if let Err(error) = kept {
            tracing::error!("certificate of `{}`: served, but it cannot be kept: {error}", self.name);
        }
        Ok(renewed)
    }

    fn serve(&self, certified: Certified, now: OffsetDateTime) -> Renewed {
        let ends = certified.coverage.not_after;
        // A certificate that is old when it comes, by a wrong clock, must not be ordered again at once.
        let next = renewal(&certified.coverage).max(now + (ends - certified.coverage.not_before) / 3);
        self.source.serve(certified);
        Renewed::Made(ends, next)
    }
}

/// What a handshake is made with, for those who only know the key.
pub(super) type Presented = Arc<CertifiedKey>;
