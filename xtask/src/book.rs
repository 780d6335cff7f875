//! `cargo xtask book`: builds docs/ with mdBook into target/book; `--write` makes the pages that are made from the code anew first, `--serve` shows it
//! while it is written. What can be wrong with the book is found by `cargo xtask test`, without mdBook.

use crate::{run, wasm_target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Built from source where it is not there, which takes minutes.
const VERSION: &str = "0.5.4";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let flags: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match flags[..] {
        [] => build("build").and_then(|()| look()),
        ["--write"] => write().and_then(|()| build("build")).and_then(|()| look()),
        ["--serve"] => build("serve"),
        _ => Err("takes nothing, --write or --serve".to_owned()),
    }
}

fn build(how: &str) -> Result<(), String> {
    run::run(Command::new(run::tool("mdbook", VERSION)?).arg(how).arg(run::root().join("docs")))
}

/// Follows every link of what was built, within it.
fn look() -> Result<(), String> {
    let book = run::root().join("target/book");
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in pages(&book)? {
        let html = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
        for link in html.split("<a ").skip(1).filter_map(|tag| tag.split('>').next()?.split("href=\"").nth(1)?.split('"').next()) {
            followed += 1;
            if !link.contains(':') && !leads(&page, link) {
                broken.push(format!("{}: {link}", page.strip_prefix(&book).unwrap_or(&page).display()));
            }
        }
    }
    println!("{}: {followed} links", book.join("index.html").display());
    if broken.is_empty() { Ok(()) } else { Err(format!("links that lead nowhere:\n{}", broken.join("\n"))) }
}

/// But for those that are made for printing and for what is not found, whose links are those of other places.
fn pages(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if name.ends_with(".html") && !["print.html", "404.html"].contains(&&*name) {
            found.push(path);
        }
    }
    Ok(found)
}

fn leads(page: &Path, link: &str) -> bool {
    let (path, id) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { page.to_path_buf() } else { page.parent().unwrap_or(page).join(path) };
    let Ok(html) = fs::read_to_string(&target) else { return false };
    id.is_empty() || html.contains(&format!("id=\"{id}\""))
}

/// The test that holds the pages to the code makes them, so that xtask itself needs to know nothing of either.
fn write() -> Result<(), String> {
    wasm_target::ensure()?;
    run::run(run::cargo().args(["build", "--locked", "--workspace", "--bins", "--tests"]))?;
    let mut test = run::cargo();
    test.args(["test", "--locked", "--workspace", "--test", "book", "--", "reference::"]);
    run::run(test.env("PORTCULLIS_WRITE", "1").env("PORTCULLIS_BIN", run::root().join("target/debug/portcullis")))
}
