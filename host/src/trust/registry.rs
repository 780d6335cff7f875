//! Asking one registry, by the OCI distribution protocol. Every wait has a deadline; what comes is believed if its digest fits.

use super::artefact::{LARGEST_MANIFEST, Layer, MANIFEST, MANIFESTS};
use super::{credentials, digest, hex};
use crate::config::Reference;
use bytes::Bytes;
use http::HeaderValue;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Image, RegistryOperation};
use rustls::crypto::aws_lc_rs::default_provider;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// As to an upstream with TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two pieces of an answer.
const PAUSE: Duration = Duration::from_secs(15);

/// Why a registry did not give (or take) what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Trying again may help.
    #[error("{registry} cannot be reached: {why}")]
    Away { registry: String, why: String },
    #[error("{registry} wants to know who we are; `docker login {registry}` writes what is needed into Docker's configuration")]
    Unauthorized { registry: String },
    #[error("{0} is not there")]
    NotThere(String),
    #[error("what {registry} sent is not what was asked for: {why}")]
    Differs { registry: String, why: String },
    #[error("credentials for {registry}: {why}")]
    Credentials { registry: String, why: String },
    #[error("{registry}: {why}")]
    Refused { registry: String, why: String },
}

pub struct Registry {
    client: Client,
    name: String,
    repository: String,
    auth: RegistryAuth,
}

impl Registry {
    /// Connects to nobody yet, but may ask a credential helper.
    pub async fn open(reference: &Reference) -> Result<Self, RegistryError> {
        // The client takes the process's; nothing else of ours does. An error says that it is set already.
        let _ = default_provider().install_default();
        let name = reference.registry.clone();
        let config = ClientConfig {
            protocol: if reference.in_the_clear() { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT),
            read_timeout: Some(PAUSE),
            user_agent: concat!("portcullis/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| RegistryError::Refused { registry: name.clone(), why: chain(&error) })?;
        let auth = credentials::find(&name).await.map_err(|why| RegistryError::Credentials { registry: name.clone(), why })?;
        Ok(Self { client, name, repository: reference.repository.clone(), auth })
    }

    /// The manifest under a digest, or else under a tag, with its digest.
    pub async fn manifest(&self, wanted: Option<&[u8; 32]>, tag: Option<&str>) -> Result<(Bytes, [u8; 32]), RegistryError> {
        let image = match wanted {
            Some(digest) => self.image(digest),
            None => Image::with_tag(self.name.clone(), self.repository.clone(), tag.unwrap_or("latest").to_owned()),
        };
        let answer = self.client.pull_manifest_raw(&image, &self.auth, MANIFESTS).await;
        let (bytes, _) = answer.map_err(|error| self.error(&error, &image))?;
        let found = digest(&bytes);
        if wanted.is_some_and(|wanted| *wanted != found) || bytes.len() > LARGEST_MANIFEST {
            return Err(self.differs(&found));
        }
        Ok((bytes, found))
    }

    pub async fn layer(&self, layer: &Layer) -> Result<Vec<u8>, RegistryError> {
        let image = self.image(&layer.digest);
        self.client.store_auth_if_needed(image.resolve_registry(), &self.auth).await;
        let mut whole = Bounded { bytes: Vec::with_capacity(layer.size), most: layer.size };
        let name = format!("sha256:{}", hex(&layer.digest));
        self.client.pull_blob(&image, &*name, &mut whole).await.map_err(|error| self.error(&error, &image))?;
        let found = digest(&whole.bytes);
        if found == layer.digest { Ok(whole.bytes) } else { Err(self.differs(&found)) }
    }

    /// Sends blobs, then the manifest that names them.
    pub async fn push(&self, tag: &str, blobs: [Bytes; 2], manifest: String) -> Result<(), RegistryError> {
        let image = Image::with_tag(self.name.clone(), self.repository.clone(), tag.to_owned());
        let failed = |error| self.error(&error, &image);
        self.client.auth(&image, &self.auth, RegistryOperation::Push).await.map_err(failed)?;
        for blob in blobs {
            let digest = format!("sha256:{}", hex(&digest(&blob)));
            if !self.client.blob_exists(&image, &digest).await.map_err(failed)? {
                self.client.push_blob(&image, blob, &digest).await.map_err(failed)?;
            }
        }
        self.client.push_manifest_raw(&image, manifest, HeaderValue::from_static(MANIFEST)).await.map_err(failed)?;
        Ok(())
    }

    fn image(&self, digest: &[u8; 32]) -> Image {
        Image::with_digest(self.name.clone(), self.repository.clone(), format!("sha256:{}", hex(digest)))
    }

    fn differs(&self, found: &[u8; 32]) -> RegistryError {
        RegistryError::Differs { registry: self.name.clone(), why: format!("it has the digest sha256:{}", hex(found)) }
    }

    fn error(&self, error: &OciDistributionError, image: &Image) -> RegistryError {
        let registry = self.name.clone();
        match error {
            OciDistributionError::RequestError(sent) => match sent.status().map(|status| status.as_u16()) {
                Some(401 | 403) => RegistryError::Unauthorized { registry },
                Some(404) => RegistryError::NotThere(image.to_string()),
                Some(400..429) => RegistryError::Refused { registry, why: chain(error) },
                _ => RegistryError::Away { registry, why: chain(error) },
            },
            OciDistributionError::IoError(_) => RegistryError::Away { registry, why: chain(error) },
            OciDistributionError::ServerError { code, .. } if *code == 404 => RegistryError::NotThere(image.to_string()),
            OciDistributionError::ServerError { code, .. } if *code == 429 || *code >= 500 => {
                RegistryError::Away { registry, why: format!("it answers with status {code}") }
            }
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
                RegistryError::Unauthorized { registry }
            }
            OciDistributionError::ImageManifestNotFoundError(_) => RegistryError::NotThere(image.to_string()),
            OciDistributionError::RegistryError { envelope, .. } => {
                let code = envelope.errors.first().map(|error| &error.code);
                match code {
                    Some(
                        OciErrorCode::ManifestUnknown | OciErrorCode::BlobUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound,
                    ) => RegistryError::NotThere(image.to_string()),
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => RegistryError::Unauthorized { registry },
                    Some(OciErrorCode::Toomanyrequests) => RegistryError::Away { registry, why: "it has had too many requests".to_owned() },
                    _ => RegistryError::Refused { registry, why: chain(error) },
                }
            }
            OciDistributionError::DigestError(DigestError::VerificationError { actual, .. }) => {
                RegistryError::Differs { registry, why: format!("it has the digest {actual}") }
            }
            error => RegistryError::Refused { registry, why: chain(error) },
        }
    }
}

/// With what led to it, without what could drive a terminal: some of it a registry says.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl AsyncWrite for &mut Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > self.most {
            return Poll::Ready(Err(io::Error::other("more came than the manifest says")));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
