//! What a peer's certificate says, for who wants to read it.

use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    pub subject: String,
    pub issuer: String,
    pub not_after: OffsetDateTime,
}

impl Presented {
    /// Reads a DER certificate; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_after: certificate.validity().not_after.to_datetime(),
        })
    }

    /// Whole days until it ends; negative if it has.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }
}
