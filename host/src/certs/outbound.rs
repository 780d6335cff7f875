//! rustls settings for connections to the servers of upstreams: whom to trust, which name to ask for and to find in the certificate,
//! what to show of ourselves.
//!
//! Web roots are the system's: its administrator keeps them fresh and adds the company's own, and a container without any says so at
//! start.

use super::coverage::Coverage;
use super::files;
use super::problem::CertProblem;
use crate::config::{CertifiedFiles, ServerAddress, UpstreamName, UpstreamSpec, UpstreamTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// Sessions kept per upstream, for all of its servers and workers. rustls keeps 8 tickets of each name in one.
const SESSIONS: usize = 64;

/// What all upstreams with TLS connect with. Shared by all workers, so that a ticket of one is good at the others.
#[derive(Default)]
pub struct Outbound {
    upstreams: BTreeMap<UpstreamName, Vec<ServerTls>>,
}

/// What one server is connected to with.
#[derive(Clone)]
pub struct ServerTls {
    http: Arc<ClientConfig>,
    raw: Arc<ClientConfig>,
    asked: ServerName<'static>,
}

impl Outbound {
    /// Reads what the upstreams name. `Err` has every error of every upstream; `Ok` may come with warnings.
    pub fn open(upstreams: &BTreeMap<UpstreamName, UpstreamSpec>) -> Result<(Self, Vec<CertProblem>), Vec<CertProblem>> {
        let mut system = None;
        let (mut opened, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, upstream) in upstreams {
            let Some(spec) = &upstream.tls else { continue };
            match Trust::open(spec, &mut system, &mut problems) {
                None => {}
                Some(trust) => match upstream.servers.iter().map(|server| trust.server(spec, server)).collect() {
                    Ok(servers) => drop(opened.insert(name.clone(), servers)),
                    Err(error) => problems.push(unusable(spec, &error)),
                },
            }
        }
        if problems.iter().any(CertProblem::is_error) { Err(problems) } else { Ok((Self { upstreams: opened }, problems)) }
    }

    /// In the order of the upstream's servers; `None`: it is spoken to in the clear.
    pub fn servers(&self, upstream: &UpstreamName) -> Option<&[ServerTls]> {
        self.upstreams.get(upstream).map(Vec::as_slice)
    }
}

impl ServerTls {
    /// Settings that offer `http/1.1`, and the name to ask for.
    pub fn http(&self) -> (Arc<ClientConfig>, ServerName<'static>) {
        (self.http.clone(), self.asked.clone())
    }

    /// The same for a look at whatever the server presents. Nothing is to be sent to it.
    pub fn unverified(&self) -> Self {
        let mut settings = ClientConfig::clone(&self.http);
        settings.dangerous().set_certificate_verifier(Arc::new(Anybody(Arc::new(default_provider()))));
        settings.resumption = Resumption::disabled();
        let settings = Arc::new(settings);
        Self { http: settings.clone(), raw: settings, asked: self.asked.clone() }
    }

    /// Settings that offer no protocol, for connections whose bytes are not looked at.
    pub fn raw(&self) -> (Arc<ClientConfig>, ServerName<'static>) {
        (self.raw.clone(), self.asked.clone())
    }
}

/// What the servers of one upstream have in common.
struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None`: the servers need not prove who they are.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    client: Option<Arc<SingleCertAndKey>>,
    sessions: Resumption,
}

impl Trust {
    /// `system` remembers the system's roots from upstream to upstream.
    fn open(spec: &UpstreamTls, system: &mut Option<Arc<RootCertStore>>, problems: &mut Vec<CertProblem>) -> Option<Self> {
        let provider = Arc::new(default_provider());
        let roots = match &spec.ca {
            _ if !spec.verify => Ok(None),
            Some(file) => from_file(spec, file).map(Some),
            None => Ok(Some(system.get_or_insert_with(from_system).clone())),
        };
        let client = spec.client.as_ref().map(|files| client(files, problems));
        let roots = roots.map_err(|problem| problems.push(problem)).ok()?;
        let verifier = match roots.map(|roots| WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()) {
            None => None,
            Some(Ok(verifier)) => Some(verifier),
            Some(Err(_)) => {
                let problem = CertProblem::error(CertProblem::CA_EMPTY, &spec.at, "this system has no certificates to trust");
                problems.push(problem.with_help("install the package ca-certificates, or write tls = { ca = \"….pem\" }"));
                return None;
            }
        };
        let client = match client {
            None => None,
            // What is wrong with it has been said.
            Some(None) => return None,
            Some(Some(client)) => Some(client),
        };
        Some(Self { provider, verifier, client, sessions: Resumption::in_memory_sessions(SESSIONS) })
    }

    fn server(&self, spec: &UpstreamTls, server: &ServerAddress) -> Result<ServerTls, Error> {
        let given = |name: &Option<String>| name.as_deref().and_then(server_name);
        let own = match server {
            ServerAddress::Tcp { host, .. } => server_name(host),
            ServerAddress::Unix(_) => None,
        };
        // An address of which none is told the server; without a name of its own, nothing is verified either.
        let nobody = || ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        let wanted = given(&spec.name).or(own).unwrap_or_else(nobody);
        let asked = given(&spec.sni).unwrap_or_else(|| wanted.clone());
        let verifier: Arc<dyn ServerCertVerifier> = match &self.verifier {
            None => Arc::new(Anybody(self.provider.clone())),
            Some(verifier) if asked == wanted => verifier.clone(),
            Some(verifier) => Arc::new(Named { verifier: verifier.clone(), wanted }),
        };
        let builder = ClientConfig::builder_with_provider(self.provider.clone()).with_protocol_versions(&[&TLS13, &TLS12])?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut raw = match &self.client {
            Some(client) => builder.with_client_cert_resolver(client.clone()),
            None => builder.with_no_client_auth(),
        };
        raw.resumption = self.sessions.clone();
        let mut http = raw.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(ServerTls { http: Arc::new(http), raw: Arc::new(raw), asked })
    }
}

fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

fn from_file(spec: &UpstreamTls, file: &Path) -> Result<Arc<RootCertStore>, CertProblem> {
    let certificates = files::chain(file).map_err(|message| {
        let empty = message.starts_with("no certificate");
        CertProblem::error(if empty { CertProblem::CA_EMPTY } else { CertProblem::UNREADABLE }, &spec.at, message)
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| {
            let message = format!("a certificate in {} cannot be trusted: {error}", file.display());
            CertProblem::error(CertProblem::UNREADABLE, &spec.at, message)
        })?;
    }
    Ok(Arc::new(roots))
}

/// Those of the system that can be understood; a few old ones never can.
fn from_system() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

/// `None`: it cannot be used, and `problems` say why.
fn client(files: &CertifiedFiles, problems: &mut Vec<CertProblem>) -> Option<Arc<SingleCertAndKey>> {
    let unreadable = |message| CertProblem::error(CertProblem::UNREADABLE, &files.at, message);
    let (chain, key) = match (files::chain(&files.cert), files::key(&files.key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            problems.extend([chain.err(), key.err()].into_iter().flatten().map(unreadable));
            return None;
        }
    };
    if let Some(coverage) = chain.first().and_then(|leaf| Coverage::read(leaf)) {
        problems.extend(files::validity_problem(files, &coverage, OffsetDateTime::now_utc()));
    }
    match CertifiedKey::from_der(chain, key, &default_provider()) {
        Ok(key) => Some(Arc::new(SingleCertAndKey::from(key))),
        Err(error) => {
            problems.push(files::pair_problem(files, &error));
            None
        }
    }
}

fn unusable(spec: &UpstreamTls, error: &Error) -> CertProblem {
    CertProblem::error(CertProblem::UNREADABLE, &spec.at, format!("TLS cannot be set up: {error}"))
}

/// Finds one name in the certificate although another was asked for.
#[derive(Debug)]
struct Named {
    verifier: Arc<WebPkiServerVerifier>,
    wanted: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _asked: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify_server_cert(leaf, intermediates, &self.wanted, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// `verify = false`: any certificate will do, as long as the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _asked: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
