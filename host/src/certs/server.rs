//! rustls settings for the TLS listeners: versions, key exchange, ALPN, resumption.

use super::acme;
use super::clients::{Clients, Guard};
use super::store::{Answer, Store};
use super::tickets::TicketKeys;
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ConfigBuilder, Error, KeyLog, NoKeyLog, ServerConfig, WantsVerifier};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Sessions of TLS 1.2 clients that know no tickets; about 300 bytes each.
const SESSIONS: usize = 4096;
/// The same at a site that asks for client certificates, whose sessions hold the client's chain as well.
const GUARDED_SESSIONS: usize = 256;

/// What handshakes are made with. Cheap to clone; one for all workers, so that a ticket of one is good at the others.
#[derive(Clone)]
pub struct TlsSettings {
    store: Arc<Store>,
    recipe: Arc<Recipe>,
    general: Arc<ServerConfig>,
    /// A resolver is not told the local address, so each address that is a site has settings of its own.
    by_address: Arc<[(IpAddr, Arc<ServerConfig>)]>,
    /// Of the store's guarded sites, by their numbers.
    guarded: Arc<[Guarded]>,
    /// For CAs that look whether a name is ours.
    proof: Arc<ServerConfig>,
}

/// What all settings of a listener have in common.
struct Recipe {
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    /// ALPN, best first; empty: none is spoken of.
    protocols: Vec<Vec<u8>>,
    http: bool,
    tickets: Arc<TicketKeys>,
    key_log: Arc<dyn KeyLog>,
}

/// The settings of a site that asks its clients who they are, made anew when what it asks has changed: with other tickets and other
/// sessions, so that nobody comes back on the word of an older check.
struct Guarded {
    guard: Arc<Guard>,
    made: ArcSwap<(Arc<Clients>, Arc<ServerConfig>)>,
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
    /// For HTTP. Every secret of every connection goes to `key_log`, if there is one.
    ///
    /// # Errors
    /// None that a machine should show: rustls refuses what we ask of it.
    pub fn new(store: Arc<Store>, tickets: &Arc<TicketKeys>, key_log: Option<Arc<dyn KeyLog>>) -> Result<Self, Error> {
        Self::from_recipe(store, Recipe::new(vec![b"h2".to_vec(), b"http/1.1".to_vec()], true, tickets, key_log)?)
    }

    /// The same for other protocols than HTTP: agrees on one of these (ALPN), best first, or speaks of none if there are none. Tickets
    /// of one kind are good for nothing to the other.
    pub fn speaking(
        protocols: &[String],
        store: Arc<Store>,
        tickets: &Arc<TicketKeys>,
        key_log: Option<Arc<dyn KeyLog>>,
    ) -> Result<Self, Error> {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self::from_recipe(store, Recipe::new(protocols, false, tickets, key_log)?)
    }

    fn from_recipe(store: Arc<Store>, recipe: Recipe) -> Result<Self, Error> {
        let general = recipe.general(store.clone());
        let own = |address| {
            let mut settings = ServerConfig::clone(&general);
            settings.cert_resolver = Arc::new(Resolver { store: store.clone(), local: Some(address) });
            (address, Arc::new(settings))
        };
        let by_address = store.addresses().into_iter().map(own).collect();
        let guarded = |(number, guard): (usize, &Arc<Guard>)| {
            let clients = guard.clients();
            let config = recipe.guarded(&store, number, &clients);
            Guarded { guard: guard.clone(), made: ArcSwap::from_pointee((clients, config)) }
        };
        let guarded = store.guarded().enumerate().map(guarded).collect();
        let proof = proof_config(store.clone())?;
        Ok(Self { general, by_address, guarded, proof, recipe: Arc::new(recipe), store })
    }

    /// The settings for this client hello.
    pub fn choose(&self, hello: &ClientHello<'_>, local: IpAddr) -> Result<Chosen, Unanswered> {
        if hello.alpn().is_some_and(Self::is_proof_wanted) {
            return Ok(Chosen { config: self.proof.clone(), guard: None });
        }
        let local = local.to_canonical();
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        match self.store.answer(sni.as_deref(), Some(local)) {
            Answer::Certificate => {}
            Answer::NotYet => return Err(Unanswered::NotYet),
            Answer::Unknown => return Err(Unanswered::UnknownName),
        }
        if let Some((site, config)) = self.store.guard(sni.as_deref(), Some(local)).and_then(|number| self.guarded(number)) {
            return Ok(Chosen { config: in_order(hello, &config), guard: Some(site) });
        }
        let own = self.by_address.iter().find(|(address, _)| *address == local).map(|(_, settings)| settings);
        Ok(Chosen { config: in_order(hello, own.unwrap_or(&self.general)), guard: None })
    }

    /// Whether somebody answers to this name, in lower case, or to the address if there is none; the certificate may be still to come.
    pub fn answers_to(&self, sni: Option<&str>, local: IpAddr) -> bool {
        !matches!(self.store.answer(sni, Some(local.to_canonical())), Answer::Unknown)
    }

    /// The name and the settings of a guarded site, as it is guarded now.
    fn guarded(&self, number: usize) -> Option<(Arc<str>, Arc<ServerConfig>)> {
        let Guarded { guard, made } = self.guarded.get(number)?;
        let clients = guard.clients();
        let current = made.load();
        if Arc::ptr_eq(&clients, &current.0) {
            return Some((clients.site.clone(), current.1.clone()));
        }
        // Some microseconds, once for each change; two workers that meet here make the same.
        let config = self.recipe.guarded(&self.store, number, &clients);
        made.store(Arc::new((clients.clone(), config.clone())));
        Some((clients.site.clone(), config))
    }

    /// Whether it is a CA that looks (RFC 8737): then the connection ends with the handshake.
    pub fn is_proof_wanted<'a>(mut offered: impl Iterator<Item = &'a [u8]>) -> bool {
        offered.next() == Some(acme::PROTOCOL) && offered.next().is_none()
    }
}

impl Recipe {
    /// TLS 1.2 and 1.3, X25519MLKEM768 preferred.
    fn new(protocols: Vec<Vec<u8>>, http: bool, tickets: &Arc<TicketKeys>, key_log: Option<Arc<dyn KeyLog>>) -> Result<Self, Error> {
        let mut provider = default_provider();
        // AES-128 first: it takes a quarter less CPU than AES-256, and no attack on either is in sight.
        provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
        let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13, &TLS12])?;
        Ok(Self { builder, protocols, http, tickets: tickets.clone(), key_log: key_log.unwrap_or_else(|| Arc::new(NoKeyLog)) })
    }

    /// Of all sites that do not ask their clients who they are.
    fn general(&self, store: Arc<Store>) -> Arc<ServerConfig> {
        let resolver = Arc::new(Resolver { store, local: None });
        self.make(WebPkiClientVerifier::no_client_auth(), resolver, None, SESSIONS)
    }

    /// Of one that asks.
    fn guarded(&self, store: &Arc<Store>, number: usize, clients: &Clients) -> Arc<ServerConfig> {
        let resolver = Arc::new(OwnCertificate { store: store.clone(), number });
        self.make(clients.verifier.clone(), resolver, Some(&clients.fingerprint), GUARDED_SESSIONS)
    }

    /// No early data: it can be replayed.
    fn make(
        &self,
        verifier: Arc<dyn ClientCertVerifier>,
        resolver: Arc<dyn ResolvesServerCert>,
        check: Option<&[u8; 32]>,
        sessions: usize,
    ) -> Arc<ServerConfig> {
        let mut settings = self.builder.clone().with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        settings.alpn_protocols = self.protocols.clone();
        settings.max_early_data_size = 0;
        settings.ignore_client_order = true;
        settings.ticketer = self.tickets.ticketer(self.purpose(check));
        settings.session_storage = ServerSessionMemoryCache::new(sessions);
        settings.key_log = self.key_log.clone();
        Arc::new(settings)
    }

    /// What tickets are made for. `check`: the fingerprint of what clients were checked against.
    fn purpose(&self, check: Option<&[u8; 32]>) -> [u8; 32] {
        let mut digest = Context::new(&SHA256);
        digest.update(if self.http { b"http" } else { b"else" });
        digest.update(check.map_or(&[], |check| check));
        let mut purpose = [0; 32];
        purpose.copy_from_slice(digest.finish().as_ref());
        purpose
    }
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
