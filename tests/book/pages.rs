//! The pages of the book as mdBook reads them: those that SUMMARY.md lists, with what they include in its place.

use portcullis_tests::tools::repository;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A page.
pub struct Page {
    /// In the repository.
    pub file: PathBuf,
    /// Below docs/src.
    pub name: PathBuf,
    /// With includes in place.
    pub text: String,
}

/// `docs/src`.
pub fn source() -> PathBuf {
    repository().join("docs/src")
}

/// SUMMARY.md, and every page that it lists, in its order.
pub fn all() -> Vec<Page> {
    let summary = fs::read_to_string(source().join("SUMMARY.md")).expect("a summary");
    let listed = summary.lines().filter_map(|line| line.split_once("](")?.1.strip_suffix(')')).map(PathBuf::from);
    [PathBuf::from("SUMMARY.md")].into_iter().chain(listed).map(page).collect()
}

fn page(name: PathBuf) -> Page {
    let file = source().join(&name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("SUMMARY.md lists {}: {error}", name.display()));
    Page { text: included(&text, &file), file, name }
}

/// Replaces `{{#include PATH}}` (whole files; of parts, `PATH:FROM:TO` lines) by what it names.
fn included(text: &str, file: &Path) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{#include ") {
        let (what, after) = after.split_once("}}").expect("an include ends");
        out.push_str(before);
        out.push_str(&part(what.trim(), file));
        rest = after;
    }
    out + rest
}

fn part(what: &str, file: &Path) -> String {
    let mut parts = what.split(':');
    let path = file.parent().expect("in a folder").join(parts.next().unwrap_or_default());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} includes {what}: {error}", file.display()));
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<usize>().ok());
    let (from, to) = (number(parts.next()).unwrap_or(1), number(parts.next()).unwrap_or(usize::MAX));
    let lines: Vec<&str> = text.lines().skip(from - 1).take(to.saturating_sub(from - 1)).collect();
    assert!(!lines.is_empty(), "{} includes nothing by {what}", file.display());
    lines.join("\n")
}

/// `a/b/../c` is `a/c`.
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[test]
fn every_page_is_listed_once() {
    let listed: Vec<PathBuf> = all().into_iter().map(|page| page.name).collect();
    let mut open = vec![source()];
    let mut lost = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            let name = entry.strip_prefix(source()).expect("below it").to_path_buf();
            if entry.is_dir() {
                open.push(entry);
            } else if listed.iter().filter(|listed| **listed == name).count() != 1 {
                lost.push(name);
            }
        }
    }
    assert!(lost.is_empty(), "not once in docs/src/SUMMARY.md: {lost:?}");
}

/// What stands beside the code is in the book too.
#[test]
fn plugins_and_examples_have_their_pages() {
    let listed: Vec<PathBuf> = all().into_iter().map(|page| page.name).collect();
    for kind in ["plugins", "examples"] {
        for folder in fs::read_dir(repository().join(kind)).expect("readable").map(|entry| entry.expect("readable")) {
            let page = Path::new(kind).join(folder.file_name()).join("README.md");
            let told = repository().join(&page).exists();
            assert!(!told || listed.contains(&page), "{} is not in docs/src/SUMMARY.md", page.display());
        }
    }
}
