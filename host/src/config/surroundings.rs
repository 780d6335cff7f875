//! What a configuration takes from outside its text: other files, folders and environment variables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Where files and variables come from.
pub trait Surroundings {
    /// The file's text.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Names in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Equal for equal files.
    fn identity(&self, path: &Path) -> PathBuf;
    fn variable(&self, name: &str) -> Option<String>;
}

/// The real file system and environment.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

/// More is no configuration; it would only cost memory before it is refused.
const LARGEST: u64 = 64 << 20;

impl Surroundings for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        let length = std::fs::metadata(path)?.len();
        if length > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
        }
        let bytes = std::fs::read(path)?;
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {at}"))
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(folder)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn identity(&self, path: &Path) -> PathBuf {
        std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Texts and variables held in memory, for tests and fuzzing.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub files: BTreeMap<PathBuf, String>,
    pub variables: BTreeMap<String, String>,
}

impl Surroundings for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        let found = self.files.get(&self.identity(path)).cloned();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = self.identity(folder);
        let below: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&folder).ok()?.components().next())
            .map(|first| first.as_os_str().to_string_lossy().into_owned())
            .collect();
        if below.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "no such folder")) } else { Ok(below) }
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.components().filter(|part| *part != Component::CurDir).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// The files that a pattern names, sorted; `*` and `?` stand for characters within one path element. A pattern without either
/// names one file, whether it exists or not.
pub fn expand(pattern: &Path, around: &dyn Surroundings) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        if !name.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let mut names: Vec<_> = around.list(folder)?.into_iter().filter(|candidate| wildcard(&name, candidate)).collect();
            names.sort();
            names.dedup();
            next.extend(names.into_iter().map(|name| folder.join(name)));
        }
        found = next;
    }
    Ok(found)
}

/// Whether `name` fits `pattern`; hidden files only fit a pattern that begins with a dot.
fn wildcard(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            // Give the last star one character more.
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("site-?.toml", "site-1.toml", true),
            ("site-?.toml", "site-12.toml", false),
        ] {
            assert_eq!(wildcard(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_expand_in_order() {
        let mut memory = Memory::default();
        for name in ["x/b.toml", "x/a.toml", "x/c.txt", "y.toml"] {
            memory.files.insert(name.into(), String::new());
        }
        let found = expand(Path::new("x/*.toml"), &memory).expect("folder is there");
        assert_eq!(found, [PathBuf::from("x/a.toml"), PathBuf::from("x/b.toml")]);
        assert!(expand(Path::new("z/*.toml"), &memory).is_err());
    }
}
