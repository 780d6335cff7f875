//! The state directory: the local CA, leaves and compiled plugins, readable by their owner only.

use crate::certs::publish_new;
use crate::upstream::Seal;
use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{} cannot be made: {source}", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the state directory {} belongs to another user, who could read the keys in it; set `state` in [server]", .0.display())]
    Foreign(PathBuf),
}

/// Where state is kept if the configuration does not say: systemd's directory, root's, or the user's.
fn usual() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Set by systemd for `StateDirectory=`; several are separated by colons, the first is meant.
    let systemd = || var("STATE_DIRECTORY").and_then(|dirs| dirs.to_str().and_then(|dirs| dirs.split(':').next()).map(PathBuf::from));
    let user = || var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state"))).map(|dir| dir.join("portcullis"));
    let own = if is_root() { None } else { user() };
    systemd().or(own).unwrap_or_else(|| PathBuf::from("/var/lib/portcullis"))
}

/// The directory that is meant, which need not be there.
pub fn place(configured: Option<&Path>) -> PathBuf {
    configured.map_or_else(usual, Path::to_path_buf)
}

/// The directory, made with mode 0700 if it is not there. Relative paths were made relative to the configuration file.
pub fn open(configured: Option<&Path>) -> Result<PathBuf, StateError> {
    let path = place(configured);
    let failed = |source| StateError::Make { path: path.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    let found = fs::metadata(&path).map_err(failed)?;
    if found.uid() != effective_user() {
        return Err(StateError::Foreign(path));
    }
    if found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(path)
}

/// What cookies that name servers are coded with: from the state directory, where the first process that needs it puts it.
pub fn seal(state: &Path) -> Result<Seal, StateError> {
    let path = state.join("sticky.key");
    let failed = |source| StateError::Make { path: path.clone(), source };
    let mut key = [0; 32];
    rand::fill(&mut key).map_err(|_| failed(io::Error::other("the system has no random numbers")))?;
    if !path.exists() {
        // Whoever else starts meanwhile reads what was there first.
        publish_new(&path, &BASE64URL_NOPAD.encode(&key)).map_err(|error| failed(io::Error::other(error)))?;
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    let key = BASE64URL_NOPAD.decode(text.trim().as_bytes()).ok().filter(|key| key.len() == 32);
    key.map(|key| Seal::new(&key)).ok_or_else(|| failed(io::Error::other("it has no key in it; without the file, a new one is made")))
}

fn is_root() -> bool {
    effective_user() == 0
}

#[allow(unsafe_code, reason = "geteuid(2) cannot fail and touches no memory; std has no wrapper")]
fn effective_user() -> u32 {
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_stays_the_same_and_is_the_owner_s_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sticky.key");
        seal(dir.path()).expect("made");
        let text = fs::read_to_string(&path).expect("there");
        seal(dir.path()).expect("read");
        assert_eq!(fs::read_to_string(&path).expect("there"), text);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").expect("written");
        assert!(seal(dir.path()).is_err_and(|error| error.to_string().contains("sticky.key")));
    }

    #[test]
    fn it_is_closed_to_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b");
        open(Some(&path)).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changed");
        open(Some(&path)).expect("closed again");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    }
}
