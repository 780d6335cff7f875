//! How other processes of the same user speak to a running proxy: a socket in the state directory, one line of JSON each way. Its name comes from
//! the configuration file's, so that several proxies can share a state directory.
//!
//! The directory and the socket are the owner's alone; nobody else is asked who they are.

use super::state;
use crate::config;
use crate::sandbox::digest;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Question {
    /// To take over what the files say now.
    Reload,
    /// To say what that would change.
    Diff,
    /// To let a new process take over.
    Upgrade,
}

/// What a running proxy says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Whether all is well: what was asked for is done, or there was nothing to do.
    pub well: bool,
    /// The generation that is served.
    pub generation: u64,
    /// How many generations are not gone yet, this one included.
    pub generations: usize,
    /// Compiled components of all of them.
    pub plugins: usize,
    /// Their guests, if somebody counts.
    pub guests: Option<u64>,
    /// What has changed, a line each.
    pub changes: Vec<String>,
    /// For the operator: warnings, or why nothing was applied.
    pub text: String,
}

/// A question with whom to tell, who goes when it is passed on. `None`: nobody waits for an answer.
pub struct Asked {
    pub question: Question,
    pub answer: Option<mpsc::Sender<Said>>,
}

/// A question fits many times.
const LONGEST: u64 = 64 << 10;
/// For the question; chosen arbitrarily.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket's file; dropping this removes it, unless another process has taken its place.
pub struct Control {
    path: PathBuf,
    inode: u64,
}

impl Control {
    /// Listens for questions about the configuration in `config`. A process that was there before is not heard any more.
    pub fn open(state: &Path, config: &Path) -> io::Result<(Self, UnixListener)> {
        let folder = folder(state);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (path, aside) = (folder.join(name(config)), format!(".{}", std::process::id()));
        // Bound aside and put into place: between the two, whoever was there is asked.
        let _ = fs::remove_file(folder.join(&aside));
        let socket = in_folder(&folder, &aside, |path| UnixListener::bind(path))?;
        fs::set_permissions(folder.join(&aside), Permissions::from_mode(0o600))?;
        let inode = fs::symlink_metadata(folder.join(&aside))?.ino();
        fs::rename(folder.join(&aside), &path)?;
        socket.set_nonblocking(true)?;
        Ok((Self { path, inode }, socket))
    }

    /// Another process has put its own there, or is about to.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // Nobody is left to be told; the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder(state: &Path) -> PathBuf {
    state.join("control")
}

/// Of the socket for this file.
fn name(config: &Path) -> String {
    let config = fs::canonicalize(config).unwrap_or_else(|_| config.to_path_buf());
    let digest = digest(config.as_os_str().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>() + ".sock"
}

/// A socket's path has room for some hundred bytes only, which a directory's may fill.
fn in_folder<T>(folder: &Path, name: &str, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let folder = File::open(folder)?;
    make(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no proxy runs with {} and the state directory {}; another one is named with --state", config.display(), state.display())]
    Nobody { config: PathBuf, state: PathBuf },
    #[error("the running proxy cannot be asked: {0}")]
    Io(#[from] io::Error),
    #[error("the running proxy has ended, or is another version: it says {0:?}")]
    Answer(String),
}

/// Puts a question to the proxy that runs with `config`. A text that is wrong is not even brought to it.
pub fn ask(config: &Path, state: Option<&Path>, question: &Question) -> Result<Said, AskError> {
    let written = match config::load(config) {
        Ok((written, _)) => written,
        Err(report) => return Ok(Said { text: report.text(), ..Said::default() }),
    };
    let state = state::place(state.or(written.server.state.as_deref()));
    match bring(&state, config, question) {
        // Whoever was asked has left meanwhile without a word; its successor, if there is one, knows nothing of the question.
        Err(AskError::Answer(nothing)) if nothing.is_empty() => bring(&state, config, question),
        said => said,
    }
}

impl Said {
    pub fn json(&self) -> String {
        // It is strings and numbers only.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// As the answer to that question.
    pub fn words(&self, question: &Question) -> String {
        let number = self.generation;
        let outcome = match (question, self.well, self.changes.is_empty()) {
            (_, false, _) => String::new(),
            (Question::Reload, true, true) => format!("nothing has changed: generation {number} is still served\n"),
            (Question::Reload, true, false) => format!("generation {number} is served\n"),
            (Question::Upgrade, true, _) => "another process has taken over:\n".to_owned(),
            (Question::Diff, true, true) => format!("nothing would change: generation {number} serves what the file says\n"),
            (Question::Diff, true, false) => format!("a reload would replace generation {number}:\n"),
        };
        let changes: String = self.changes.iter().map(|change| format!("  {change}\n")).collect();
        format!("{}{outcome}{changes}", self.text)
    }
}

/// Waits for what is said.
fn bring(state: &Path, config: &Path, question: &Question) -> Result<Said, AskError> {
    let connected = in_folder(&folder(state), &name(config), |path| UnixStream::connect(path));
    let mut socket = connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::Nobody { config: config.into(), state: state.into() },
        _ => AskError::Io(error),
    })?;
    let mut line = serde_json::to_string(question).map_err(io::Error::other)?;
    line.push('\n');
    socket.write_all(line.as_bytes())?;
    line.clear();
    BufReader::new(socket).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|_| AskError::Answer(line))
}

/// Takes questions until whoever answers them is gone.
pub async fn listen(socket: UnixListener, asked: mpsc::UnboundedSender<Asked>) {
    let Ok(socket) = tokio::net::UnixListener::from_std(socket) else { return };
    while !asked.is_closed() {
        match socket.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, asked.clone()))),
            // Out of files, for a while.
            Err(error) => {
                tracing::warn!("questions cannot be taken: {error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn converse(stream: tokio::net::UnixStream, asked: mpsc::UnboundedSender<Asked>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(LONGEST));
    let read = timeout(PATIENCE, reader.read_line(&mut line)).await;
    let Ok(question) = read.map_err(io::Error::other).and_then(|_| serde_json::from_str(&line).map_err(io::Error::other)) else { return };
    let (answer, mut answered) = mpsc::channel(1);
    if asked.send(Asked { question, answer: Some(answer) }).is_err() {
        return;
    }
    if let Some(said) = answered.recv().await
        && let Ok(mut line) = serde_json::to_string(&said)
    {
        line.push('\n');
        // Who has gone does not want to know.
        let _ = timeout(PATIENCE, writer.write_all(line.as_bytes())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_owners_and_goes_with_its_process() {
        let dir = tempfile::tempdir().expect("a directory");
        // Longer than a socket's path can be.
        let state = dir.path().join("long".repeat(40));
        let config = dir.path().join("portcullis.toml");
        let (first, _listens) = Control::open(&state, &config).expect("open");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&first.path), mode(&folder(&state))), (0o600, 0o700));
        let (second, _listens_too) = Control::open(&state, &config).expect("taken over");
        drop(first);
        assert!(second.path.exists(), "it is another's now");
        let path = second.path.clone();
        drop(second);
        assert!(!path.exists());
        assert!(matches!(bring(&state, &config, &Question::Reload), Err(AskError::Nobody { .. })));
    }
}
