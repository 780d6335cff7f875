//! Who we are to a registry: what `docker login` left behind (`$DOCKER_CONFIG/config.json` or `~/.docker/config.json`), its helper programs included.

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A helper may ask a key ring; one that asks a person would wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Nobody in particular if nothing is written; an error only if what is written cannot be used.
pub async fn find(registry: &str) -> Result<RegistryAuth, String> {
    // As Docker has called its own registry for ever.
    let registry = if matches!(registry, "docker.io" | "index.docker.io") { "https://index.docker.io/v1/" } else { registry };
    let asked = registry.to_owned();
    let looking = spawn_blocking(move || docker_credential::get_credential(&asked));
    let Ok(found) = timeout(PATIENCE, looking).await else {
        return Err(format!("the credential helper does not answer within {} s", PATIENCE.as_secs()));
    };
    match found.map_err(|panic| panic.to_string())? {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(format!("Docker's configuration has an identity token for {registry}; only user names with passwords can be used"))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => Ok(RegistryAuth::Anonymous),
        // No such file is the usual case, and the crate says the same of one that it may not read.
        Err(CredentialRetrievalError::ConfigReadError) => Ok(RegistryAuth::Anonymous),
        // What a helper prints may hold secrets.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => Ok(RegistryAuth::Anonymous).inspect(|_| {
            tracing::warn!("the credential helper `{helper}` has nothing for {registry}");
        }),
        Err(error) => Err(format!("Docker's configuration: {error}")),
    }
}
