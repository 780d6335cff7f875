//! What a configuration was made of: every file and folder that was looked at, so that they can be watched.

use super::FileStamp;
use super::surroundings::{Disk, Surroundings};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The real file system and environment, with a note of what was read.
#[derive(Debug, Default)]
pub struct Recorder(RefCell<Recorded>);

/// Files as they were before they were read, and folders with the names that were in them; what could not be read is noted too, since it may
/// come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    files: BTreeMap<PathBuf, Option<FileStamp>>,
    folders: BTreeMap<PathBuf, Vec<String>>,
}

impl Recorder {
    pub fn into_recorded(self) -> Recorded {
        self.0.into_inner()
    }
}

impl Recorded {
    /// The same files and folders as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let folders = self.folders.keys().map(|folder| (folder.clone(), names(Disk.list(folder)))).collect();
        Self { files: self.files.keys().map(|path| (path.clone(), FileStamp::of(path))).collect(), folders }
    }

    /// A file that is about to be read.
    pub fn note(&mut self, path: &Path) {
        self.files.entry(path.to_path_buf()).or_insert_with(|| FileStamp::of(path));
    }

    /// With what others have that was not looked at here.
    pub fn add(&mut self, others: Self) {
        for (path, stamp) in others.files {
            self.files.entry(path).or_insert(stamp);
        }
        for (folder, names) in others.folders {
            self.folders.entry(folder).or_insert(names);
        }
    }
}

fn names(listed: io::Result<Vec<String>>) -> Vec<String> {
    let mut names = listed.unwrap_or_default();
    names.sort();
    names
}

impl Surroundings for Recorder {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.borrow_mut().note(path);
        Disk.read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let listed = Disk.list(folder);
        let noted = listed.as_ref().map(Vec::clone).unwrap_or_default();
        self.0.borrow_mut().folders.insert(folder.to_path_buf(), names(Ok(noted)));
        listed
    }

    fn identity(&self, path: &Path) -> PathBuf {
        Disk.identity(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        Disk.variable(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_and_their_folder_are_noted() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("sites")).expect("made");
        std::fs::write(path("main.toml"), "include = [\"sites/*.toml\"]\n").expect("written");
        std::fs::write(path("sites/a.toml"), "[site.localhost.routes]\n\"/*\" = \"app\"\n[upstream]\napp = \"h:1\"\n").expect("written");
        let recorder = Recorder::default();
        crate::config::load_from(&path("main.toml"), &recorder).unwrap_or_else(|report| panic!("{}", report.text()));
        let recorded = recorder.into_recorded();
        assert_eq!(recorded.files.keys().collect::<Vec<_>>(), [&path("main.toml"), &path("sites/a.toml")]);
        assert_eq!(recorded.now(), recorded);
        std::fs::write(path("sites/a.toml"), "# other").expect("written");
        assert_ne!(recorded.now(), recorded);
        let recorded = recorded.now();
        std::fs::write(path("sites/b.toml"), "").expect("written");
        assert_ne!(recorded.now(), recorded);
    }
}
