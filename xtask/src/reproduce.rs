//! `cargo xtask reproduce`: builds the last commit twice, each time from nothing and in another folder, and compares what comes out byte by
//! byte. The second time crates are in another folder too, and the clock is in another time zone. Not tried here: another machine, another compiler.

use crate::{differ, places, run, shipped};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Neither of the same length nor of the same depth.
const FOLDERS: [&str; 2] = ["a", "another/folder-with-a-longer-name"];

/// Of a user who lives 5:45 from Greenwich.
const ZONE: &str = "Asia/Kathmandu";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let way = Way::of(arguments)?;
    let commit = run::read(git(&run::root()).args(["rev-parse", "HEAD"]))?;
    if !run::read(git(&run::root()).args(["status", "--porcelain", "--untracked-files=no"]))?.is_empty() {
        eprintln!("what is not committed is not in it");
    }
    let work = Work::new(run::root().join("target/reproduce"))?;
    let path = path(&way)?;
    let found = [work.build(&way, &commit, 0, &path)?, work.build(&way, &commit, 1, &path)?];
    compare(&found)?;
    fs::remove_dir_all(work.0.join("found")).map_err(|error| format!("{}: {error}", work.0.display()))?;
    println!("the same in both folders, of commit {commit}");
    Ok(())
}

/// How it is built, and what comes out.
#[derive(Debug, PartialEq)]
struct Way {
    /// For the xtask of the checkout.
    command: Vec<String>,
    /// Folders and ends of names.
    made: &'static [(&'static str, &'static str)],
}

impl Way {
    const PACKED: &'static [(&'static str, &'static str)] = &[("target/package", "/portcullis"), ("target/debian", ".deb")];
    const SHIPPED: &'static [(&'static str, &'static str)] = &[("target/shipped", "/portcullis")];

    fn of(arguments: &[String]) -> Result<Self, String> {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match arguments {
            [] => Ok(Self { command: command(&["deb"]), made: Self::PACKED }),
            [flag, profile] if flag == "--profile" => Ok(Self { command: command(&["deb", "--profile", profile]), made: Self::PACKED }),
            [flag, file] if flag == "--trained" => {
                let file = std::path::absolute(file).map_err(|error| format!("{file}: {error}"))?;
                Ok(Self { command: command(&["dist", "--trained", &file.to_string_lossy()]), made: Self::SHIPPED })
            }
            _ => Err("takes nothing, --profile NAME, or --trained FILE".to_owned()),
        }
    }
}

/// With cargo-deb on it if that is needed: each checkout would build its own.
fn path(way: &Way) -> Result<OsString, String> {
    let mut folders: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if way.made == Way::PACKED {
        let tool = crate::package::cargo_deb()?;
        folders.extend(tool.parent().filter(|folder| folder.is_absolute()).map(Path::to_path_buf));
    }
    env::join_paths(folders).map_err(|error| error.to_string())
}

/// The folder for all of it. What is in there goes when we are done, but for `found`, which is worth a look when something differs.
struct Work(PathBuf);

impl Work {
    fn new(folder: PathBuf) -> Result<Self, String> {
        let _interrupted = fs::remove_dir_all(&folder);
        create(&folder.join("found"))?;
        another_home(&places::cargo_home(), &folder.join("crates-of-another"))?;
        Ok(Self(folder))
    }

    /// Builds in the folder of this number; what comes out is kept, the checkout is not: each takes some gigabytes.
    fn build(&self, way: &Way, commit: &str, number: usize, path: &OsString) -> Result<Vec<PathBuf>, String> {
        let checkout = self.0.join(FOLDERS[number]);
        // A worktree would be noted in the repository, and stay there if we are ended.
        run::run(git(&run::root()).args(["clone", "--quiet", "--shared", "--no-checkout", "."]).arg(&checkout))?;
        run::run(git(&checkout).args(["checkout", "--quiet", "--detach", commit]))?;
        let mut cargo = run::cargo();
        cargo.arg("xtask").args(&way.command).current_dir(&checkout).env("PATH", path).env_remove("CARGO_TARGET_DIR");
        if number == 1 {
            cargo.env("CARGO_HOME", self.0.join("crates-of-another")).env("TZ", ZONE);
        }
        run::run(&mut cargo)?;
        let kept = self.0.join("found").join(number.to_string());
        create(&kept)?;
        let made = way.made.iter().map(|(folder, ending)| keep(&made(&checkout.join(folder), ending)?, &kept)).collect();
        fs::remove_dir_all(&checkout).map_err(|error| format!("{}: {error}", checkout.display()))?;
        made
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let keep = self.0.join("found");
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in entries.filter(|folder| *folder != keep) {
            // Left behind, it costs space until the next time.
            let _ = fs::remove_dir_all(folder);
        }
        // Only if it is empty.
        let _ = fs::remove_dir(&self.0);
    }
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder);
    git
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// All that is in one, by another name, and nothing fetched again.
fn another_home(home: &Path, other: &Path) -> Result<(), String> {
    create(other)?;
    let entries = fs::read_dir(home).map_err(|error| format!("{}: {error}", home.display()))?;
    for entry in entries.flatten() {
        symlink(entry.path(), other.join(entry.file_name())).map_err(|error| format!("{}: {error}", other.display()))?;
    }
    Ok(())
}

/// The one file in `folder` whose path ends so.
fn made(folder: &Path, ending: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path()).filter(|file| file.to_string_lossy().ends_with(ending));
    files.next().ok_or_else(|| format!("{} has no …{ending}", folder.display()))
}

fn keep(file: &Path, folder: &Path) -> Result<PathBuf, String> {
    let kept = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &kept).map(|_| kept).map_err(|error| format!("{}: {error}", file.display()))
}

/// Prints the sum of each file; fails with where they differ.
fn compare(found: &[Vec<PathBuf>; 2]) -> Result<(), String> {
    let mut differ = String::new();
    for (one, other) in found[0].iter().zip(&found[1]) {
        for (file, folder) in [one, other].iter().zip(FOLDERS) {
            println!("{}  {}  ({folder})", shipped::sha256(file)?, file.file_name().unwrap_or_default().display());
        }
        let read = |file: &Path| fs::read(file).map_err(|error| format!("{}: {error}", file.display()));
        for line in differ::parts(&read(one)?, &read(other)?) {
            differ += &format!("\n  {}: {line}", one.file_name().unwrap_or_default().display());
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    Err(format!("not the same; both are in target/reproduce/found, for diffoscope\n{}", differ.trim_start_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(arguments: &[&str]) -> Result<Way, String> {
        Way::of(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_package_is_built_unless_a_profile_of_counts_is_given() {
        assert_eq!(way(&[]).expect("right").command, ["deb"]);
        assert_eq!(way(&["--profile", "release"]).expect("right").command, ["deb", "--profile", "release"]);
        let trained = way(&["--trained", "/x/y.profdata"]).expect("right");
        assert_eq!((trained.command.join(" ").as_str(), trained.made), ("dist --trained /x/y.profdata", Way::SHIPPED));
        assert!(way(&["--profile"]).is_err() && way(&["dist"]).is_err());
    }

    #[test]
    fn what_differs_is_an_error_that_says_where() {
        let folder = env::temp_dir().join(format!("portcullis-reproduce-{}", std::process::id()));
        create(&folder).expect("a folder");
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        fs::write(&one, "built in /a").expect("written");
        fs::write(&other, "built in /b").expect("written");
        assert_eq!(compare(&[vec![one.clone()], vec![one.clone()]]), Ok(()));
        let error = compare(&[vec![one], vec![other]]).expect_err("differs");
        assert!(error.contains("one: file from 0xa on: `built in /a` against `built in /b`"), "{error}");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
