//! HTTPS to an ACME directory: a connection for each request, which are few and far between.

use crate::wire::dial;
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// From the look-up of the name to the last byte. CAs do what takes long behind resources that are polled.
const LIMIT: Duration = Duration::from_secs(30);
/// A chain has a few KiB.
const LARGEST: usize = 1 << 20;

/// Why a request to the CA has no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("`{0}` is not an https URL")]
    Url(Uri),
    #[error("cannot connect to {0}: {1}")]
    Connect(String, #[source] std::io::Error),
    #[error("TLS with {0}: {1}")]
    Tls(String, #[source] std::io::Error),
    #[error("{0} does not speak HTTP: {1}")]
    Http(String, #[source] hyper::Error),
    #[error("{0}: {1}")]
    Body(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} did not answer within {limit} s", limit = LIMIT.as_secs())]
    Slow(String),
    #[error("{0}")]
    Roots(String),
}

/// How the directory is reached.
#[derive(Clone)]
pub struct Transport {
    tls: Arc<ClientConfig>,
}

/// What is wrong with the file that `ca` names, if anything.
pub fn check_roots(ca: &Path) -> Result<(), String> {
    roots_in(ca).map(|_| ())
}

impl Transport {
    /// Trusts the roots in `ca`, or the system's.
    pub fn new(ca: Option<&Path>) -> Result<Self, TransportError> {
        let roots = ca.map_or_else(system_roots, roots_in).map_err(TransportError::Roots)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TransportError::Roots(error.to_string()))?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls) })
    }
}

fn roots_in(ca: &Path) -> Result<RootCertStore, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(ca).and_then(Iterator::collect);
    let certificates = found.map_err(|error| format!("{}: {error}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| format!("{}: {error}", ca.display()))?;
    }
    if roots.is_empty() { Err(format!("no certificate in {}", ca.display())) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (_, _unusable) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err("the system trusts no CA; install ca-certificates, or name a file: [acme] ca = \"….pem\"".into()),
        false => Ok(roots),
    }
}

impl HttpClient for Transport {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.tls.clone();
        Box::pin(async move {
            let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let answer = timeout(LIMIT, send(tls, request)).await;
            answer.unwrap_or(Err(TransportError::Slow(server))).map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

/// At whichever of its addresses answers first.
async fn reach(host: &str, port: u16) -> std::io::Result<TcpStream> {
    dial(lookup_host((host, port)).await?.collect()).await
}

async fn send(tls: Arc<ClientConfig>, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, TransportError> {
    let url = request.uri().clone();
    let wrong = || TransportError::Url(url.clone());
    let (Some("https"), Some(authority)) = (url.scheme_str(), url.authority()) else { return Err(wrong()) };
    let shown = authority.to_string();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
    request.headers_mut().insert(HOST, HeaderValue::try_from(authority.as_str()).map_err(|_| wrong())?);
    *request.uri_mut() = url.path_and_query().map_or("/", |target| target.as_str()).parse().map_err(|_| wrong())?;

    let port = authority.port_u16().unwrap_or(443);
    let socket = reach(&host, port).await.map_err(|error| TransportError::Connect(shown.clone(), error))?;
    let stream = TlsConnector::from(tls).connect(name, socket).await.map_err(|error| TransportError::Tls(shown.clone(), error))?;
    let http = |error| TransportError::Http(shown.clone(), error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let answer = async {
        let (parts, body) = sender.send_request(request).await.map_err(http)?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| TransportError::Body(shown.clone(), error))?;
        Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // What the connection has read before it ended is still there to be taken.
        _ended = connection => answer.await,
    }
}
