//! The secrets of every connection, in a file: what a network analyser needs to read recorded traffic (the NSS key log format). Only
//! by the operator's explicit word on the command line; no environment variable turns it on.

use rustls::KeyLog;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file that grows by a few lines for each handshake.
pub struct KeyLogFile {
    file: Mutex<File>,
}

impl KeyLogFile {
    /// Opens for appending, owner-only.
    ///
    /// # Errors
    /// The file cannot be made or written, or is not a file that only its owner can read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("it is no file that only its owner can read"));
        }
        Ok(Self { file: Mutex::new(file) })
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = label.to_owned();
        for bytes in [client_random, secret] {
            line.push(' ');
            line.extend(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
        line.push('\n');
        // In one write, so that lines of other processes cannot come between. A full disk must not end the connection.
        let written = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        if let Err(error) = written {
            tracing::warn!(%error, "the TLS key log cannot be written");
        }
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLogFile").finish_non_exhaustive()
    }
}
