//! TLS: who is answered, with which certificate, and what the handler learns.

use super::kit::{Client, PATIENCE, Server, run};
use crate::certs::{LocalCa, Store, TicketKeys, TlsSettings};
use crate::config::{Limits, Location, Site, SiteName, TlsSpec};
use crate::listen::Kind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, Error, RootCertStore};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TLS server for these names, with certificates of a local CA.
pub struct TlsServer {
    pub server: Server,
    state: TempDir,
}

impl TlsServer {
    pub fn start(names: &[SiteName], limits: Limits) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let at = Location { file: "t".into(), line: 1, column: 1 };
        let site = |name: &SiteName| Site {
            name: name.clone(),
            aliases: Vec::new(),
            tls: TlsSpec::Local,
            client: None,
            routes: Vec::new(),
            at: at.clone(),
        };
        let sites: Vec<Site> = names.iter().map(site).collect();
        let (store, _) = Store::open(&sites, state.path()).expect("certificates");
        let settings = TlsSettings::new(Arc::new(store), &TicketKeys::open(None).expect("random bytes"), None).expect("settings");
        Self { server: Server::start(Kind::Tls(settings), limits), state }
    }

    /// A client that trusts the local CA.
    pub async fn connect(&self, name: &str, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let root = LocalCa::open(self.state.path()).expect("the CA").root_file().to_owned();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).expect("a root")).expect("a root");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let socket = TcpStream::connect(self.server.addr).await?;
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }
}

fn exact(name: &str) -> SiteName {
    SiteName::Exact(name.into())
}

async fn about(stream: &mut TlsStream<TcpStream>) -> String {
    let request = "GET /about HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("closed with close_notify");
    text
}

#[test]
fn names_choose_the_certificate_and_reach_the_handler() {
    run(async {
        let server = TlsServer::start(&[exact("a.test"), SiteName::Wildcard("w.test".into()), exact("127.0.0.1")], Limits::default());
        for (name, sni) in [("a.test", "Some(\"a.test\")"), ("X.w.test", "Some(\"x.w.test\")"), ("127.0.0.1", "None")] {
            let mut stream = server.connect(name, &["http/1.1"]).await.expect("trusted");
            let text = about(&mut stream).await;
            assert!(text.ends_with(&format!("tls=Some((\"1.3\", {sni}, false))")), "{text}");
        }
    });
}

#[test]
fn post_quantum_key_exchange_and_resumption() {
    run(async {
        let server = TlsServer::start(&[exact("a.test")], Limits::default());
        let mut stream = server.connect("a.test", &[]).await.expect("trusted");
        let group = stream.get_ref().1.negotiated_key_exchange_group().expect("settled").name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        about(&mut stream).await;
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 2);
    });
}

#[test]
fn an_unknown_name_is_told_so() {
    run(async {
        let server = TlsServer::start(&[exact("a.test")], Limits::default());
        let error = server.connect("b.test", &[]).await.expect_err("refused");
        let alert = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        assert_eq!(alert, Some(&Error::AlertReceived(AlertDescription::UnrecognisedName)));
    });
}

#[test]
fn a_handshake_has_its_time() {
    run(async {
        let server = TlsServer::start(&[exact("a.test")], Limits { tls_handshake: Duration::from_millis(50), ..Limits::default() });
        let mut silent: Client = server.server.connect().await;
        assert_eq!(timeout(PATIENCE, silent.rest()).await.expect("closed"), "");
    });
}
