//! Configurations of other servers as ours: the common subset of nginx's and Caddy's. What cannot be carried over is listed with its place and a
//! word on what to do; nothing is dropped in silence. Text in, text out: no file but the ones that are read is looked at.
//!
//! In reading order: `line` (what both are read as), `draft` (what both are brought to), `write` (draft → TOML), `nginx`, `caddy`.

mod caddy;
mod draft;
mod line;
mod nginx;
mod write;

pub use draft::Lost;

use std::path::Path;

/// A configuration, and what is not in it.
pub struct Imported {
    /// TOML in its canonical layout.
    pub text: String,
    /// In the order of the files.
    pub lost: Vec<Lost>,
}

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Nginx,
    Caddy,
}

/// A file that cannot be read as what it is said to be.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{}: {source}", path.display())]
    Read {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}:{line}: {message}", path.display())]
    Syntax { path: std::path::PathBuf, line: usize, message: String },
    #[error("{}: no {what} to carry over", path.display())]
    Nothing { path: std::path::PathBuf, what: &'static str },
}

/// Reads a configuration with what it includes.
pub fn import(from: From, path: &Path) -> Result<Imported, ImportError> {
    let mut draft = match from {
        From::Nginx => nginx::draft(path)?,
        From::Caddy => caddy::draft(path)?,
    };
    draft.complete();
    if draft.sites.is_empty() && draft.tcp.is_empty() {
        let what = if from == From::Nginx { "`server` block" } else { "site" };
        return Err(ImportError::Nothing { path: path.into(), what });
    }
    Ok(Imported { text: write::text(&draft), lost: draft.lost })
}

/// Blocks in blocks in one file: more than anybody writes, and few enough for the stack of whoever reads them.
const DEEPEST: usize = 200;

fn read(path: &Path) -> Result<String, ImportError> {
    let text = std::fs::read_to_string(path).map_err(|source| ImportError::Read { path: path.into(), source })?;
    let (mut line, mut open) = (1, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'\n' => line += 1,
            b'{' => open += 1,
            b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEEPEST {
            return Err(ImportError::Syntax { path: path.into(), line, message: format!("more than {DEEPEST} blocks in each other") });
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_without_end_are_refused_where_they_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        for (text, line) in [
            ("a {\n".repeat(100_000) + &"}\n".repeat(100_000), 201),
            ("a { } b {\n} ".repeat(1000) + &"{".repeat(300), 1001),
            ("a { ".repeat(100_000) + &"} ".repeat(100_000), 1),
        ] {
            std::fs::write(&file, text).unwrap();
            for from in [From::Nginx, From::Caddy] {
                let error = import(from, &file).err().unwrap().to_string();
                assert_eq!(error, format!("{}:{line}: more than 200 blocks in each other", file.display()));
            }
        }
    }
}
