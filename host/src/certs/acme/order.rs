//! One certificate from one CA: account, order, proof, key, chain (RFC 8555, section 7).

use super::challenges::{Challenges, Shown};
use super::shelf::Shelf;
use super::transport::{Transport, TransportError};
use crate::certs::owner_only::DiskError;
use crate::config::{AcmeChallenge, AcmeIssuer};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A CA looks from several places, one after the other, and may be busy.
const PATIENCE: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_secs(120));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The CA's word, or that there was none.
    #[error("{}", told(.0))]
    Ca(#[from] Error),
    #[error("the CA could not prove the name by {0}: {1}")]
    Unproved(&'static str, String),
    #[error("the CA offers no challenge {0} for this name; it offers {1}")]
    NotOffered(&'static str, String),
    #[error("the CA sent a certificate that is not for this name or not for this key")]
    Useless,
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the key or the request could not be made: {0}")]
    Key(#[from] rcgen::Error),
}

/// An issuer, and our account there once it was needed.
pub struct Registrar {
    issuer: AcmeIssuer,
    shelf: Shelf,
    challenges: Arc<Challenges>,
    /// Held while the account is opened, so that sites beside each other make one, not one each.
    account: Mutex<Option<Account>>,
}

/// `account.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    /// Of the external account that it is bound to.
    kid: Option<String>,
    credentials: AccountCredentials,
}

impl Registrar {
    pub fn new(issuer: AcmeIssuer, shelf: Shelf, challenges: Arc<Challenges>) -> Self {
        Self { issuer, shelf, challenges, account: Mutex::new(None) }
    }

    pub fn directory(&self) -> &str {
        &self.issuer.directory
    }

    /// Key and chain for `name`, as PEM.
    pub async fn order(&self, name: &str, challenge: AcmeChallenge) -> Result<String, OrderError> {
        let account = self.account(true).await?;
        match self.order_as(&account, name, challenge).await {
            // The CA has forgotten us, or the state directory is another CA's.
            Err(OrderError::Ca(Error::Api(problem))) if is(&problem, "accountDoesNotExist") => {
                tracing::warn!("{} does not know our account any more; a new one is made", self.directory());
                let account = self.account(false).await?;
                self.order_as(&account, name, challenge).await
            }
            outcome => outcome,
        }
    }

    /// The account; `known`: one that was used or kept will do.
    async fn account(&self, known: bool) -> Result<Account, OrderError> {
        let mut current = self.account.lock().await;
        if let (true, Some(account)) = (known, &*current) {
            return Ok(account.clone());
        }
        let transport = Transport::new(self.issuer.ca.as_ref().map(|(path, _)| path.as_path()))?;
        let account = match self.kept().filter(|_| known) {
            Some(kept) => self.restore(kept, transport).await?,
            None => self.register(transport).await?,
        };
        *current = Some(account.clone());
        Ok(account)
    }

    /// The account on the shelf, if it is bound to the same external account.
    fn kept(&self) -> Option<Kept> {
        let kept: Kept = serde_json::from_str(&self.shelf.account()?).ok()?;
        (kept.kid.as_deref() == self.issuer.eab.as_ref().map(|eab| &*eab.kid)).then_some(kept)
    }

    async fn restore(&self, kept: Kept, transport: Transport) -> Result<Account, OrderError> {
        // Credentials cannot be copied, but written and read again.
        let again = serde_json::to_value(&kept.credentials).and_then(serde_json::from_value).map_err(Error::from)?;
        let account = Account::builder_with_http(Box::new(transport)).from_credentials(kept.credentials).await?;
        if kept.contact != self.issuer.contact {
            let contact = self.contact();
            account.update_contacts(&contact.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            self.keep(again)?;
        }
        Ok(account)
    }

    async fn register(&self, transport: Transport) -> Result<Account, OrderError> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let bound = self.issuer.eab.as_ref().map(|eab| ExternalAccountKey::new(eab.kid.clone(), &eab.key));
        let builder = Account::builder_with_http(Box::new(transport));
        let (account, credentials) = builder.create(&new, self.issuer.directory.clone(), bound.as_ref()).await?;
        self.keep(credentials)?;
        tracing::info!("account {} at {}", account.id(), self.directory());
        Ok(account)
    }

    fn keep(&self, credentials: AccountCredentials) -> Result<(), OrderError> {
        let kid = self.issuer.eab.as_ref().map(|eab| eab.kid.clone());
        let kept = Kept { contact: self.issuer.contact.clone(), kid, credentials };
        let text = serde_json::to_string_pretty(&kept).map_err(Error::from)?;
        Ok(self.shelf.keep_account(&text)?)
    }

    fn contact(&self) -> Vec<String> {
        self.issuer.contact.iter().map(|address| format!("mailto:{address}")).collect()
    }

    async fn order_as(&self, account: &Account, name: &str, challenge: AcmeChallenge) -> Result<String, OrderError> {
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        // Until the order is done, or has failed.
        let _shown = self.prove(&mut order, name, challenge).await?;
        let ready = order.poll_ready(&PATIENCE).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            return Err(refusal(&mut order, ready, challenge).await);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut request = CertificateParams::new(vec![name.to_owned()])?;
        request.distinguished_name = DistinguishedName::new();
        order.finalize_csr(request.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(format!("{}{chain}", key.serialize_pem()))
    }

    /// Shows the CA what it wants to see, and tells it to look.
    async fn prove(&self, order: &mut Order, name: &str, wanted: AcmeChallenge) -> Result<Vec<Shown>, OrderError> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // From an earlier order; CAs remember for a while.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let offered: Vec<_> = authorization.challenges.iter().map(|challenge| format!("{:?}", challenge.r#type)).collect();
            let kind = match wanted {
                AcmeChallenge::Http01 => ChallengeType::Http01,
                AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                return Err(OrderError::NotOffered(wanted.as_str(), offered.join(", ")));
            };
            let key = challenge.key_authorization();
            shown.push(match wanted {
                AcmeChallenge::Http01 => self.challenges.show_file(&challenge.token, key.as_str()),
                AcmeChallenge::TlsAlpn01 => self.challenges.show_handshake(name, key.digest().as_ref())?,
            });
            challenge.set_ready().await?;
        }
        Ok(shown)
    }
}

/// What the CA found when it looked: more telling than the state of the order.
async fn refusal(order: &mut Order, ready: Result<OrderStatus, Error>, wanted: AcmeChallenge) -> OrderError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return OrderError::Unproved(wanted.as_str(), said(problem));
        }
    }
    match ready {
        Err(error) => error.into(),
        Ok(status) => OrderError::Unproved(wanted.as_str(), format!("the order is {status:?}")),
    }
}

fn is(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref().and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:")) == Some(kind)
}

fn told(error: &Error) -> String {
    match error {
        Error::Api(problem) => format!("the CA refuses: {}", said(problem)),
        Error::Timeout(_) => "the CA has not come to a decision in two minutes".into(),
        error => error.to_string(),
    }
}

/// The CA's words in one printable line: they are not ours, and end in our log.
fn said(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("unknown").trim_start_matches("urn:ietf:params:acme:error:");
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    let text = format!("{detail} ({kind})");
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
