//! rustls settings for the TLS listeners: versions, key exchange, ALPN, resumption.

use super::store::Store;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Sessions of TLS 1.2 clients that know no tickets; about 300 bytes each.
const SESSIONS: usize = 4096;

/// What handshakes are made with. Cheap to clone; one for all workers, so that a ticket of one is good at the others.
#[derive(Clone)]
pub struct TlsSettings {
    store: Arc<Store>,
    general: Arc<ServerConfig>,
    /// A resolver is not told the local address, so each address that is a site has settings of its own.
    by_address: Arc<[(IpAddr, Arc<ServerConfig>)]>,
}

impl TlsSettings {
    /// Errors: the system has no random bytes.
    pub fn new(store: Arc<Store>) -> Result<Self, Error> {
        let general = server_config(store.clone())?;
        let own = |address| {
            let mut settings = ServerConfig::clone(&general);
            settings.cert_resolver = Arc::new(Resolver { store: store.clone(), local: Some(address) });
            (address, Arc::new(settings))
        };
        let by_address = store.addresses().map(own).collect();
        Ok(Self { general, by_address, store })
    }

    /// The same for another protocol than HTTP: agrees on one of these (ALPN), best first, or speaks of none if there are none.
    #[must_use]
    pub fn speaking(self, protocols: &[String]) -> Self {
        let other = |settings: &Arc<ServerConfig>| {
            let mut settings = ServerConfig::clone(settings);
            settings.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            Arc::new(settings)
        };
        let by_address = self.by_address.iter().map(|(address, settings)| (*address, other(settings))).collect();
        Self { general: other(&self.general), by_address, ..self }
    }

    /// The settings for this client hello; `None`: no site answers to the name (RFC 6066, section 3: `unrecognized_name`).
    pub fn choose(&self, hello: &ClientHello<'_>, local: IpAddr) -> Option<Arc<ServerConfig>> {
        let local = local.to_canonical();
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        let own = self.by_address.iter().find(|(address, _)| *address == local).map(|(_, settings)| settings);
        self.store.answers(sni.as_deref(), Some(local)).then(|| own.unwrap_or(&self.general).clone())
    }
}

/// TLS 1.2 and 1.3, X25519MLKEM768 preferred, tickets, no early data (it can be replayed), `h2` before `http/1.1`.
pub fn server_config(store: Arc<Store>) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut settings = builder.with_no_client_auth().with_cert_resolver(Arc::new(Resolver { store, local: None }));
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    settings.ticketer = Ticketer::new()?;
    settings.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    settings.max_early_data_size = 0;
    Ok(Arc::new(settings))
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
        let settings = server_config(Arc::new(Store::default())).expect("made");
        assert_eq!(settings.crypto_provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        assert_eq!(settings.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(settings.ticketer.enabled() && settings.max_early_data_size == 0);
    }
}
