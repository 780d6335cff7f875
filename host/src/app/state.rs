//! The state directory: the local CA, leaves and compiled plugins, readable by their owner only.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state directory {} cannot be made: {source}", path.display())]
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
    fn it_is_closed_to_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b");
        open(Some(&path)).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changed");
        open(Some(&path)).expect("closed again");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    }
}
