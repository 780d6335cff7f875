//! Compiled plugins that the proxies of one run of the tests share: each has a state directory of its own, and to compile the same plugins anew for each
//! would be much of the time that tests take. What one has compiled, the next finds in its cache.
//!
//! Whoever needs no state directory of its own is in this one; the machine's own is nobody's.
//!
//! Nothing is taken on trust: a proxy loads what is authenticated under the key beside it, so the key is shared too, and compiles what is not there.
//! Of earlier runs nothing is kept.

use crate::tools;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// Beside the build, of this run: a state directory for whoever needs none of its own, such as commands that look at a file and end.
pub fn state() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let all = tools::repository().join("target/tests/compiled");
        let is_over = |run: &PathBuf| run.file_name().is_none_or(|process| !Path::new("/proc").join(process).exists());
        for run in files(&all).into_iter().filter(is_over) {
            // Another run may be at it too.
            let _ = fs::remove_dir_all(run);
        }
        let own = all.join(std::process::id().to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(own.join("compiled")).expect("a folder in the target directory");
        let mut key = [0; 32];
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).expect("random numbers");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(own.join("compiled/key"))
            .and_then(|mut file| file.write_all(&key))
            .expect("room");
        own
    })
}

fn shared() -> PathBuf {
    state().join("compiled")
}

/// Where a proxy in `dir` looks, unless its configuration says otherwise.
fn of(dir: &Path) -> PathBuf {
    dir.join("state/compiled")
}

/// What a command in `dir` takes for the state directory if the configuration does not say: never this machine's own.
pub fn usual(dir: &Path) -> PathBuf {
    Some(dir.join("state")).filter(|own| own.exists()).unwrap_or_else(|| state().to_path_buf())
}

/// Puts what there is where a proxy in `dir` will look, unless one was there before.
pub fn lend(dir: &Path) {
    if !dir.join("state").exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(of(dir)).expect("a folder in the test's own");
        files(&shared()).iter().for_each(|file| link(file, &of(dir)));
    }
}

/// Takes what the proxy in `dir` has compiled, if it has the same key.
pub fn keep(dir: &Path) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Ok(key) = fs::read(of(dir).join("key")) else { return };
    if fs::read(shared().join("key")).is_ok_and(|theirs| theirs == key) {
        files(&of(dir)).iter().filter(|file| file.extension().is_some_and(|end| end == "aot")).for_each(|file| link(file, &shared()));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The proxy replaces its files and never writes into one, so a link will do; another file system takes a copy. What is there already stays, and
/// what cannot be had is compiled.
fn link(file: &Path, folder: &Path) {
    let Some(to) = file.file_name().map(|name| folder.join(name)) else { return };
    if !to.exists() && fs::hard_link(file, &to).is_err() {
        let half = to.with_extension("half");
        let _ = fs::copy(file, &half).and_then(|_| fs::rename(&half, &to));
    }
}
