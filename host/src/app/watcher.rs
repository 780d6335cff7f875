//! Looking at a running proxy from outside: what its admin listener says, again and again, and what has happened between two looks.

use crate::config::{self, ListenAddress};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};

/// For one answer; the proxy is on this machine, mostly.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who looks. It makes a connection for each question: there are five of them in two seconds.
pub struct Watcher {
    address: ListenAddress,
    token: Option<String>,
    runtime: Runtime,
}

/// What was seen at one time, as the API has it.
pub struct Look {
    pub at: Instant,
    pub status: Value,
    pub routes: Value,
    pub upstreams: Value,
    pub plugins: Value,
    pub refusals: Value,
}

/// Why nothing is seen.
#[derive(Debug, thiserror::Error)]
pub enum WatcherError {
    #[error("{} has no [admin], so there is nobody to ask; for example: [admin] listen = \"127.0.0.1:9180\"", .0.display())]
    Nobody(PathBuf),
    #[error("the proxy is not there: {0}")]
    Away(#[from] io::Error),
    #[error("the admin listener does not answer: {0}")]
    Silent(hyper::Error),
    #[error("the admin listener refuses {path}: {status}")]
    Refused { path: &'static str, status: u16 },
    #[error("what the admin listener says of {0} is not what is expected: another version?")]
    Unclear(&'static str),
}

impl Watcher {
    /// Of the proxy that runs with the configuration in `path`. `Err(Err(report))`: it cannot be read.
    ///
    /// # Errors
    /// If the configuration is wrong, or says nothing of an admin listener.
    pub fn new(path: &Path) -> Result<Self, Result<WatcherError, String>> {
        let (config, _) = config::load(path).map_err(|report| Err(report.text()))?;
        let nobody = || Ok(WatcherError::Nobody(path.to_path_buf()));
        let admin = config.admin.ok_or_else(nobody)?;
        let (address, _) = admin.listen.into_iter().next().ok_or_else(nobody)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| Ok(error.into()))?;
        Ok(Self { address, token: admin.token.map(|token| token.0), runtime })
    }

    /// One look.
    ///
    /// # Errors
    /// If the proxy is not there, or does not say what is expected.
    pub fn look(&self) -> Result<Look, WatcherError> {
        self.runtime.block_on(async {
            Ok(Look {
                at: Instant::now(),
                status: self.page("/api/status").await?,
                routes: self.page("/api/routes").await?,
                upstreams: self.page("/api/upstreams").await?,
                plugins: self.page("/api/plugins").await?,
                refusals: self.page("/api/refusals").await?,
            })
        })
    }

    async fn page(&self, path: &'static str) -> Result<Value, WatcherError> {
        let late = |_| WatcherError::Away(io::ErrorKind::TimedOut.into());
        match &self.address {
            ListenAddress::Ip(address) => {
                let stream = timeout(PATIENCE, TcpStream::connect(address)).await.map_err(late)??;
                timeout(PATIENCE, self.ask(stream, path)).await.map_err(late)?
            }
            ListenAddress::Unix { path: file, .. } => {
                let stream = timeout(PATIENCE, UnixStream::connect(file)).await.map_err(late)??;
                timeout(PATIENCE, self.ask(stream, path)).await.map_err(late)?
            }
        }
    }

    async fn ask(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, path: &'static str) -> Result<Value, WatcherError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(WatcherError::Silent)?;
        // Ends with the sender; what goes wrong with it the answer says too.
        drop(tokio::spawn(connection));
        let host = self.address.ip().map_or_else(|| "localhost".to_owned(), |ip| ip.to_string());
        let mut request = Request::get(path).header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| WatcherError::Unclear(path))?;
        let answer = sender.send_request(request).await.map_err(WatcherError::Silent)?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(WatcherError::Silent)?.to_bytes();
        if status != 200 {
            return Err(WatcherError::Refused { path, status });
        }
        serde_json::from_slice(&body).map_err(|_| WatcherError::Unclear(path))
    }
}
