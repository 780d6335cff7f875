//! The certificates of a store, for who wants to know what is shown and when it ends.

use super::{Source, Store};
use crate::certs::Presented;
use crate::certs::coverage::Subject;
use time::OffsetDateTime;

/// What is shown under one name of a site.
#[derive(Debug)]
pub struct Listed {
    /// The name.
    pub site: String,
    /// `files`, `local` or `acme`.
    pub from: &'static str,
    /// `None`: it has not come yet.
    pub certificate: Option<Presented>,
}

impl Store {
    /// In file order.
    pub fn listed(&self) -> Vec<Listed> {
        let now = OffsetDateTime::now_utc();
        let one = |(site, source): &(Subject, std::sync::Arc<Source>)| {
            let shown = source.certified(now);
            let certificate = shown.and_then(|key| Presented::read(key.end_entity_cert().ok()?.as_ref()));
            Listed { site: site.to_string(), from: source.from(), certificate }
        };
        self.sites.iter().map(one).collect()
    }
}

impl Source {
    const fn from(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Local(_) => "local",
            Self::Acme(_) => "acme",
        }
    }
}
