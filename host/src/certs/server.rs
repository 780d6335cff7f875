//! rustls settings for the TLS listeners: versions, key exchange, ALPN, resumption.

use super::acme;
use super::clients::Clients;
use super::store::{Answer, Store};
use super::tickets::TicketKeys;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, Error, KeyLog, NoKeyLog, ServerConfig};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Sessions of TLS 1.2 clients that know no tickets; about 300 bytes each.
const SESSIONS: usize = 4096;
/// The same at a site that asks for client certificates, whose sessions hold the client's chain as well.
const GUARDED_SESSIONS: usize = 256;

/// What the tickets of sites that do not ask their clients who they are were made for; guarded sites have a fingerprint.
const HTTP: [u8; 32] = [0; 32];
const NOT_HTTP: [u8; 32] = [1; 32];

/// What handshakes are made with. Cheap to clone; one for all workers, so that a ticket of one is good at the others.
#[derive(Clone)]
pub struct TlsSettings {
    store: Arc<Store>,
    general: Arc<ServerConfig>,
    /// A resolver is not told the local address, so each address that is a site has settings of its own.
    by_address: Arc<[(IpAddr, Arc<ServerConfig>)]>,
    /// Of the store's guarded sites, by their numbers. Each has tickets and sessions of its own: an identity that one site has checked
    /// is none to another.
    guarded: Arc<[(Arc<str>, Arc<ServerConfig>)]>,
    /// For CAs that look whether a name is ours.
    proof: Arc<ServerConfig>,
    tickets: Arc<TicketKeys>,
}

/// Why a client hello gets no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// No site answers to the name.
    UnknownName,
    /// The site's first certificate has not come yet.
    NotYet,
}

/// The settings for one handshake.
pub struct Chosen {
    pub config: Arc<ServerConfig>,
    /// The site whose demands the client has met when the handshake is over. `None`: it is not asked who it is.
    pub guard: Option<Arc<str>>,
}

impl TlsSettings {
    /// Every secret of every connection goes to `key_log`, if there is one.
    ///
    /// # Errors
    /// None that a machine should show: rustls refuses what we ask of it.
    pub fn new(store: Arc<Store>, tickets: &Arc<TicketKeys>, key_log: Option<Arc<dyn KeyLog>>) -> Result<Self, Error> {
        let key_log = key_log.unwrap_or_else(|| Arc::new(NoKeyLog));
        let general = general_config(store.clone(), tickets, &key_log)?;
        let own = |address| {
            let mut settings = ServerConfig::clone(&general);
            settings.cert_resolver = Arc::new(Resolver { store: store.clone(), local: Some(address) });
            (address, Arc::new(settings))
        };
        let by_address = store.addresses().into_iter().map(own).collect();
        let guarded =
            |(number, clients)| guarded_config(&store, number, clients, tickets, &key_log).map(|config| (clients.site.clone(), config));
        let guarded = store.guarded().enumerate().map(guarded).collect::<Result<_, _>>()?;
        let proof = proof_config(store.clone())?;
        Ok(Self { general, by_address, guarded, proof, tickets: tickets.clone(), store })
    }

    /// The same for another protocol than HTTP: agrees on one of these (ALPN), best first, or speaks of none if there are none. Tickets
    /// of one kind are good for nothing to the other.
    #[must_use]
    pub fn speaking(self, protocols: &[String]) -> Self {
        let ticketer = self.tickets.ticketer(NOT_HTTP);
        let other = |settings: &Arc<ServerConfig>| {
            let mut settings = ServerConfig::clone(settings);
            settings.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            settings.ticketer = ticketer.clone();
            Arc::new(settings)
        };
        let by_address = self.by_address.iter().map(|(address, settings)| (*address, other(settings))).collect();
        Self { general: other(&self.general), by_address, ..self }
    }

    /// The settings for this client hello.
    pub fn choose(&self, hello: &ClientHello<'_>, local: IpAddr) -> Result<Chosen, Unanswered> {
        if Self::is_proof_wanted(hello) {
            return Ok(Chosen { config: self.proof.clone(), guard: None });
        }
        let local = local.to_canonical();
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        match self.store.answer(sni.as_deref(), Some(local)) {
            Answer::Certificate => {}
            Answer::NotYet => return Err(Unanswered::NotYet),
            Answer::Unknown => return Err(Unanswered::UnknownName),
        }
        if let Some((site, config)) = self.store.guard(sni.as_deref(), Some(local)).and_then(|number| self.guarded.get(number)) {
            return Ok(Chosen { config: in_order(hello, config), guard: Some(site.clone()) });
        }
        let own = self.by_address.iter().find(|(address, _)| *address == local).map(|(_, settings)| settings);
        Ok(Chosen { config: in_order(hello, own.unwrap_or(&self.general)), guard: None })
    }

    /// Whether somebody answers to this name, in lower case, or to the address if there is none; the certificate may be still to come.
    pub fn answers_to(&self, sni: Option<&str>, local: IpAddr) -> bool {
        !matches!(self.store.answer(sni, Some(local.to_canonical())), Answer::Unknown)
    }

    /// Whether it is a CA that looks (RFC 8737): then the connection ends with the handshake.
    pub fn is_proof_wanted(hello: &ClientHello<'_>) -> bool {
        hello.alpn().is_some_and(|mut offered| offered.next() == Some(acme::PROTOCOL) && offered.next().is_none())
    }
}

/// Of all sites that do not ask their clients who they are.
fn general_config(store: Arc<Store>, tickets: &Arc<TicketKeys>, key_log: &Arc<dyn KeyLog>) -> Result<Arc<ServerConfig>, Error> {
    let mut settings = settings(WebPkiClientVerifier::no_client_auth(), Arc::new(Resolver { store, local: None }))?;
    settings.ticketer = tickets.ticketer(HTTP);
    settings.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    settings.key_log = key_log.clone();
    Ok(Arc::new(settings))
}

fn guarded_config(
    store: &Arc<Store>,
    number: usize,
    clients: &Clients,
    tickets: &Arc<TicketKeys>,
    key_log: &Arc<dyn KeyLog>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut settings = settings(clients.verifier.clone(), Arc::new(OwnCertificate { store: store.clone(), number }))?;
    settings.ticketer = tickets.ticketer(clients.fingerprint);
    settings.session_storage = ServerSessionMemoryCache::new(GUARDED_SESSIONS);
    settings.key_log = key_log.clone();
    Ok(Arc::new(settings))
}

/// For CAs that look (RFC 8737). Nothing can be resumed: what a handshake here was not asked, no other may skip.
fn proof_config(store: Arc<Store>) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut settings = builder.with_no_client_auth().with_cert_resolver(Arc::new(Proof { store }));
    settings.alpn_protocols = vec![acme::PROTOCOL.to_vec()];
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.send_tls13_tickets = 0;
    Ok(Arc::new(settings))
}

/// TLS 1.2 and 1.3, X25519MLKEM768 preferred, no early data (it can be replayed), `h2` before `http/1.1`.
fn settings(verifier: Arc<dyn ClientCertVerifier>, resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let mut provider = default_provider();
    // AES-128 first: it takes a quarter less CPU than AES-256, and no attack on either is in sight.
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut settings = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    settings.max_early_data_size = 0;
    settings.ignore_client_order = true;
    Ok(settings)
}

/// Our order of ciphers, unless the client would rather have ChaCha20: then it has no instructions for AES, and to it they cost a lot.
fn in_order(hello: &ClientHello<'_>, settings: &Arc<ServerConfig>) -> Arc<ServerConfig> {
    let first = hello.cipher_suites().iter().find(|suite| !is_grease(**suite));
    if !first.is_some_and(|suite| is_chacha20(*suite)) {
        return settings.clone();
    }
    // A copy of references, which costs nothing beside a handshake, for the few clients of this kind.
    let mut own = ServerConfig::clone(settings);
    own.ignore_client_order = false;
    Arc::new(own)
}

/// What clients throw in so that servers do not take fright at new values (RFC 8701).
fn is_grease(suite: CipherSuite) -> bool {
    let value = u16::from(suite);
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn is_aes_128(suite: CipherSuite) -> bool {
    use CipherSuite::*;
    matches!(suite, TLS13_AES_128_GCM_SHA256 | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
}

fn is_chacha20(suite: CipherSuite) -> bool {
    use CipherSuite::*;
    matches!(
        suite,
        TLS13_CHACHA20_POLY1305_SHA256 | TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 | TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// Of one guarded site, whichever of its names the client said.
struct OwnCertificate {
    store: Arc<Store>,
    number: usize,
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.store.guarded_certificate(self.number)
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate").field("number", &self.number).finish_non_exhaustive()
    }
}

struct Resolver {
    store: Arc<Store>,
    local: Option<IpAddr>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        self.store.choose(sni.as_deref(), self.local)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("local", &self.local).finish_non_exhaustive()
    }
}

/// Only what orders under way show; for other names the handshake fails.
struct Proof {
    store: Arc<Store>,
}

impl ResolvesServerCert for Proof {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.store.challenges().handshake(&name)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::NamedGroup;

    #[test]
    fn post_quantum_key_exchange_comes_first() {
        let tickets = TicketKeys::open(None).expect("random bytes");
        let settings = TlsSettings::new(Arc::new(Store::default()), &tickets, None).expect("made").general;
        assert_eq!(settings.crypto_provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        assert_eq!(settings.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(settings.ticketer.enabled() && settings.max_early_data_size == 0);
        let suites: Vec<_> = settings.crypto_provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!((suites[0], suites.len()), (CipherSuite::TLS13_AES_128_GCM_SHA256, 9));
    }

    #[test]
    fn grease_is_no_cipher() {
        assert!(is_grease(CipherSuite::from(0x0a0a)) && is_grease(CipherSuite::from(0xfafa)));
        assert!(!is_grease(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) && !is_grease(CipherSuite::from(0x0a1a)));
    }
}
