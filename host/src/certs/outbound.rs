//! rustls settings for connections to the servers of upstreams: whom to trust, which name to ask for and to find in the certificate,
//! what to show of ourselves.
//!
//! Web roots are the system's: its administrator keeps them fresh and adds the company's own, and a container without any says so at
//! start.

use super::coverage::Coverage;
use super::files;
use super::problem::CertProblem;
use super::revocation::{list_problems, lists};
use super::server_check::Check;
use super::watch::{MadeOfFiles, Stamp, Taken, Watch, Watched};
use crate::config::{
    CertifiedFiles, Location, Placeless, Protocol, ServerAddress, UpstreamName, UpstreamServer, UpstreamSpec, UpstreamTls,
};
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, RootCertStore};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// Sessions kept per upstream, for all of its servers and workers. rustls keeps 8 tickets of each name in one.
const SESSIONS: usize = 64;

/// What all upstreams with TLS connect with. Shared by all workers, so that a ticket of one is good at the others.
#[derive(Default)]
pub struct Outbound {
    upstreams: BTreeMap<UpstreamName, Vec<(ServerAddress, ServerTls)>>,
    /// Until someone takes over the watch.
    watched: Mutex<Vec<Watched>>,
}

/// What one server is connected to with.
#[derive(Clone)]
pub struct ServerTls {
    /// Replaced when a file has changed.
    settings: Arc<ArcSwap<Settings>>,
    asked: ServerName<'static>,
}

struct Settings {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
    raw: Arc<ClientConfig>,
    /// Of all that they were made from.
    origin: Origin,
}

/// What is written, and what was in the files that it names. Equal ones lead to equal settings.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Origin([u8; 32]);

impl Outbound {
    /// Reads what the upstreams name. `Err` has every error of every upstream; `Ok` may come with warnings.
    pub fn open(upstreams: &BTreeMap<UpstreamName, UpstreamSpec>) -> Result<(Self, Vec<CertProblem>), Vec<CertProblem>> {
        Self::default().succeed(upstreams)
    }

    /// The same for the next configuration: servers whose settings would be equal keep them, with their sessions.
    pub fn succeed(&self, upstreams: &BTreeMap<UpstreamName, UpstreamSpec>) -> Result<(Self, Vec<CertProblem>), Vec<CertProblem>> {
        let mut system = None;
        let (mut opened, mut watched, mut problems) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, upstream) in upstreams {
            let Some(spec) = &upstream.tls else { continue };
            let stamp = Stamp::of(&paths(spec));
            let Some(trust) = Trust::open(spec, &mut system, &mut problems) else { continue };
            let made = |server: &UpstreamServer| match self.server(name, &server.address) {
                Some(earlier) if earlier.settings.load().origin == trust.origin => Ok(earlier.clone()),
                _ => trust.server(spec, &server.address),
            };
            match upstream.servers.iter().map(made).collect::<Result<Vec<_>, _>>() {
                Ok(servers) => {
                    let files = UpstreamFiles {
                        name: name.clone(),
                        spec: spec.clone(),
                        servers: upstream.servers.iter().map(|server| server.address.clone()).zip(servers.clone()).collect(),
                    };
                    if !files.files().is_empty() {
                        watched.push(Watched::new(files, stamp));
                    }
                    opened.insert(name.clone(), upstream.servers.iter().map(|server| server.address.clone()).zip(servers).collect());
                }
                Err(error) => problems.push(unusable(spec, &error)),
            }
        }
        if problems.iter().any(CertProblem::is_error) {
            return Err(problems);
        }
        Ok((Self { upstreams: opened, watched: Mutex::new(watched) }, problems))
    }

    /// Beside these servers of the upstream, which may have been found by names that are written; `None`: it is spoken to in the clear.
    pub fn servers(&self, upstream: &UpstreamName, servers: &[UpstreamServer]) -> Option<Vec<ServerTls>> {
        let written = self.upstreams.get(upstream)?;
        let of = |server: &UpstreamServer| written.iter().find(|(address, _)| address == server.written()).map(|(_, tls)| tls.clone());
        servers.iter().map(of).collect()
    }

    fn server(&self, upstream: &UpstreamName, server: &ServerAddress) -> Option<&ServerTls> {
        self.upstreams.get(upstream)?.iter().find(|(address, _)| address == server).map(|(_, tls)| tls)
    }

    /// The watch over the files that upstreams name; `None` if there are none, or if someone has taken it over already.
    pub fn watch(&self) -> Option<Watch> {
        Watch::new(std::mem::take(&mut *self.watched.lock().unwrap_or_else(PoisonError::into_inner)), || {})
    }
}

impl ServerTls {
    /// Whether connections made with either are alike, now and after files have changed.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.settings, &other.settings) && self.asked == other.asked
    }

    /// Settings that offer so much, and the name to ask for.
    pub fn offering(&self, offer: Offer) -> (Arc<ClientConfig>, ServerName<'static>) {
        let settings = self.settings.load();
        let offering = match offer {
            Offer::Nothing => &settings.raw,
            Offer::Http1 => &settings.http1,
            Offer::Http2 => &settings.http2,
            Offer::Either => &settings.either,
        };
        (offering.clone(), self.asked.clone())
    }

    /// The same for a look at whatever the server presents. Nothing is to be sent to it.
    pub fn unverified(&self) -> Self {
        let mut settings = ClientConfig::clone(&self.settings.load().raw);
        settings.dangerous().set_certificate_verifier(Arc::new(Check::nothing()));
        settings.resumption = Resumption::disabled();
        let settings = Settings::of(settings, self.settings.load().origin);
        Self { settings: Arc::new(ArcSwap::from_pointee(settings)), asked: self.asked.clone() }
    }
}

/// What a server is offered to be spoken to in (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// For connections whose bytes are not looked at.
    Nothing,
    Http1,
    Http2,
    /// HTTP/2 rather than HTTP/1.1.
    Either,
}

impl Offer {
    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1,
            Protocol::Http2 => Self::Http2,
            Protocol::Auto => Self::Either,
        }
    }
}

impl Settings {
    /// `raw` offers nothing.
    fn of(raw: ClientConfig, origin: Origin) -> Self {
        let offering = |protocols: &[&[u8]]| {
            let mut settings = raw.clone();
            settings.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(settings)
        };
        let (http1, http2, either) = (offering(&[b"http/1.1"]), offering(&[b"h2"]), offering(&[b"h2", b"http/1.1"]));
        Self { http1, http2, either, raw: Arc::new(raw), origin }
    }
}

/// What an upstream's `tls` names, and the servers that are connected to with it.
struct UpstreamFiles {
    name: UpstreamName,
    spec: UpstreamTls,
    servers: Vec<(ServerAddress, ServerTls)>,
}

fn paths(spec: &UpstreamTls) -> Vec<&Path> {
    let client = spec.client.as_ref().map(|files| [&*files.cert, &*files.key]);
    let crl = spec.crl.as_ref().map(|(path, _)| &**path);
    spec.ca.as_deref().into_iter().chain(crl).chain(client.into_iter().flatten()).collect()
}

impl MadeOfFiles for UpstreamFiles {
    fn name(&self) -> (&'static str, String) {
        ("TLS of upstream", format!("`{}`", self.name))
    }

    fn files(&self) -> Vec<&Path> {
        paths(&self.spec)
    }

    /// With new sessions: a resumed one would spare the server the new check.
    fn read_again(&self, _now: OffsetDateTime) -> Result<Taken, Vec<CertProblem>> {
        let mut problems = Vec::new();
        let Some(trust) = Trust::open(&self.spec, &mut None, &mut problems).filter(|_| !problems.iter().any(CertProblem::is_error)) else {
            return Err(problems);
        };
        let made: Result<Vec<_>, _> = self.servers.iter().map(|(address, _)| trust.server(&self.spec, address)).collect();
        for ((_, server), made) in self.servers.iter().zip(made.map_err(|error| vec![unusable(&self.spec, &error)])?) {
            server.settings.store(made.settings.load_full());
        }
        Ok(Taken { said: "new connections are made with it".into(), warnings: problems, renamed: false })
    }
}

/// What the servers of one upstream have in common.
struct Trust {
    /// `None`: the servers need not prove who they are.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    client: Option<Arc<SingleCertAndKey>>,
    sessions: Resumption,
    origin: Origin,
}

impl Trust {
    /// `system` remembers the system's roots from upstream to upstream. `None`: an error is among the `problems`.
    fn open(spec: &UpstreamTls, system: &mut Option<Arc<RootCertStore>>, problems: &mut Vec<CertProblem>) -> Option<Self> {
        // Before the files are read for good: what changes in between is seen as a change later.
        let origin = Origin::of(spec);
        // All are read before one is given up, so that one run of `check` tells all.
        let client = spec.client.as_ref().map(|files| client(files, problems));
        let verifier = spec.verify.then(|| verifier(spec, system, problems));
        let verifier = verifier.map_or(Some(None), |made| made.map(Some))?;
        let client = client.map_or(Some(None), |made| made.map(Some))?;
        Some(Self { verifier, client, sessions: Resumption::in_memory_sessions(SESSIONS), origin })
    }

    fn server(&self, spec: &UpstreamTls, server: &ServerAddress) -> Result<ServerTls, Error> {
        let given = |name: &Option<String>| name.as_deref().and_then(server_name);
        let own = match server {
            ServerAddress::Tcp { host, .. } => server_name(host),
            // Not the hosts that records name, since whoever is on the way to DNS can change these (RFC 6125, section 6.2.1).
            ServerAddress::Service { name } => name.splitn(3, '.').nth(2).and_then(server_name),
            ServerAddress::Unix(_) | ServerAddress::Component(_) => None,
        };
        // An address of which none is told the server; without a name of its own, nothing is verified either.
        let nobody = || ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        let wanted = given(&spec.name).or(own).unwrap_or_else(nobody);
        let asked = given(&spec.sni).unwrap_or_else(|| wanted.clone());
        let verifier: Arc<dyn ServerCertVerifier> = match &self.verifier {
            None => Arc::new(Check::nothing()),
            Some(verifier) if asked == wanted => verifier.clone(),
            Some(verifier) => Arc::new(Check::name(wanted, verifier.clone())),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_protocol_versions(&[&TLS13, &TLS12])?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut raw = match &self.client {
            Some(client) => builder.with_client_cert_resolver(client.clone()),
            None => builder.with_no_client_auth(),
        };
        raw.resumption = self.sessions.clone();
        let settings = Settings::of(raw, self.origin);
        Ok(ServerTls { settings: Arc::new(ArcSwap::from_pointee(settings)), asked })
    }
}

impl Origin {
    /// Files that cannot be read count as empty: using them fails anyway. The system's certificates are not looked at: they change with
    /// updates of the system only.
    fn of(spec: &UpstreamTls) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(format!("{:?}", spec.placeless()).as_bytes());
        for path in paths(spec) {
            let contents = fs::read(path).unwrap_or_default();
            digest.update(&(contents.len() as u64).to_le_bytes());
            digest.update(&contents);
        }
        let mut origin = [0; 32];
        origin.copy_from_slice(digest.finish().as_ref());
        Self(origin)
    }
}

/// Whom to trust, and whom not any more. `None`: an error is among the `problems`.
fn verifier(
    spec: &UpstreamTls,
    system: &mut Option<Arc<RootCertStore>>,
    problems: &mut Vec<CertProblem>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let own = spec.ca.as_deref().map(|file| from_file(spec, file).map_err(|problem| problems.push(problem)));
    let (roots, bundle) = match own {
        None => (Some(system.get_or_insert_with(from_system).clone()), Vec::new()),
        Some(own) => own.map_or((None, Vec::new()), |(roots, bundle)| (Some(roots), bundle)),
    };
    let revoked = match &spec.crl {
        None => Some(Vec::new()),
        Some((path, at)) => revoked(path, at, &bundle, problems),
    };
    let provider = Arc::new(default_provider());
    match WebPkiServerVerifier::builder_with_provider(roots?, provider).with_crls(revoked?).build() {
        Ok(verifier) => Some(verifier),
        Err(VerifierBuilderError::NoRootAnchors) => {
            let problem = CertProblem::error(CertProblem::CA_EMPTY, &spec.at, "this system has no certificates to trust");
            problems.push(problem.with_help("install the package ca-certificates, or write tls = { ca = \"….pem\" }"));
            None
        }
        Err(error) => {
            let at = spec.crl.as_ref().map_or(&spec.at, |(_, at)| at);
            problems.push(CertProblem::error(CertProblem::CA_EMPTY, at, format!("servers cannot be checked: {error}")));
            None
        }
    }
}

/// The revocation lists of a file; `None`: an error is among the `problems`.
fn revoked(
    path: &Path,
    at: &Location,
    bundle: &[CertificateDer<'_>],
    problems: &mut Vec<CertProblem>,
) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let lists = lists(path).map_err(|message| problems.push(CertProblem::error(CertProblem::CA_EMPTY, at, message))).ok()?;
    problems.extend(list_problems(&lists, bundle, path, at, OffsetDateTime::now_utc()));
    Some(lists)
}

fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

fn from_file(spec: &UpstreamTls, file: &Path) -> Result<(Arc<RootCertStore>, Vec<CertificateDer<'static>>), CertProblem> {
    let certificates = files::chain(file).map_err(|message| {
        let empty = message.starts_with("no certificate");
        CertProblem::error(if empty { CertProblem::CA_EMPTY } else { CertProblem::UNREADABLE }, &spec.at, message)
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| {
            let message = format!("a certificate in {} cannot be trusted: {error}", file.display());
            CertProblem::error(CertProblem::UNREADABLE, &spec.at, message)
        })?;
    }
    Ok((Arc::new(roots), certificates))
}

/// Those of the system that can be understood; a few old ones never can.
fn from_system() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

/// `None`: it cannot be used, and `problems` say why.
fn client(files: &CertifiedFiles, problems: &mut Vec<CertProblem>) -> Option<Arc<SingleCertAndKey>> {
    let unreadable = |at, message| CertProblem::error(CertProblem::UNREADABLE, at, message);
    let (chain, key) = match (files::chain(&files.cert), files::key(&files.key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            problems.extend(chain.err().map(|message| unreadable(&files.at, message)));
            problems.extend(key.err().map(|message| unreadable(&files.key_at, message)));
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
