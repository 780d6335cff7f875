//! rustls settings for the TLS listeners: versions, key exchange, ALPN, resumption.

use super::clients::Clients;
use super::store::Store;
use super::tickets::TicketKeys;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier};
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
        let by_address = store.addresses().map(own).collect();
        let guarded =
            |(number, clients)| guarded_config(&store, number, clients, tickets, &key_log).map(|config| (clients.site.clone(), config));
        let guarded = store.guarded().enumerate().map(guarded).collect::<Result<_, _>>()?;
        Ok(Self { general, by_address, guarded, store })
    }

    /// The settings for this client hello; `None`: no site answers to the name (RFC 6066, section 3: `unrecognized_name`).
    pub fn choose(&self, hello: &ClientHello<'_>, local: IpAddr) -> Option<Chosen> {
        let local = local.to_canonical();
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        if let Some((site, config)) = self.store.guard(sni.as_deref(), Some(local)).and_then(|number| self.guarded.get(number)) {
            return Some(Chosen { config: in_order(hello, config), guard: Some(site.clone()) });
        }
        let own = self.by_address.iter().find(|(address, _)| *address == local).map(|(_, settings)| settings);
        let config = || in_order(hello, own.unwrap_or(&self.general));
        self.store.answers(sni.as_deref(), Some(local)).then(|| Chosen { config: config(), guard: None })
    }
}

/// Of all sites that do not ask their clients who they are.
fn general_config(store: Arc<Store>, tickets: &Arc<TicketKeys>, key_log: &Arc<dyn KeyLog>) -> Result<Arc<ServerConfig>, Error> {
    let mut settings = settings(WebPkiClientVerifier::no_client_auth(), Arc::new(Resolver { store, local: None }))?;
    settings.ticketer = tickets.ticketer([0; 32]);
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
