//! Every link leads somewhere: to a page of the book and a heading in it, or, in the files beside the code, to a file of the repository.

use super::pages::{self, normal};
use portcullis_tests::tools::repository;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

fn links(text: &str) -> Vec<String> {
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    };
    parser(text).filter_map(target).collect()
}

/// The ids that mdBook gives to headings.
fn headings(text: &str) -> BTreeSet<String> {
    let mut found = BTreeMap::<String, usize>::new();
    let mut ids = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| heading.push_str(&text)),
            Event::End(TagEnd::Heading(_)) => {
                let id = id(&heading.take().unwrap_or_default());
                let count = found.entry(id.clone()).or_default();
                ids.insert(if *count == 0 { id } else { format!("{id}-{count}") });
                *count += 1;
            }
            _ => {}
        }
    }
    ids
}

fn id(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

fn is_elsewhere(link: &str) -> bool {
    ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme))
}

#[test]
fn links_in_the_book_lead_to_pages_and_headings() {
    let pages = pages::all();
    let mut ids: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for page in &pages {
        ids.insert(page.name.clone(), headings(&page.text));
    }
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in &pages {
        for link in links(&page.text).into_iter().filter(|link| !is_elsewhere(link)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.name.clone() } else { normal(&page.name.parent().expect("in a folder").join(path)) };
            let there = ids.get(&target).is_some_and(|ids| anchor.is_empty() || ids.contains(anchor));
            if !there {
                broken.push(format!("{}: {link}", page.file.display()));
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere in the book:\n{}", broken.join("\n"));
    assert!(followed > 100, "only {followed} links: they are not read as they should be");
}

#[test]
fn links_beside_the_code_lead_to_files() {
    let root = repository();
    let mut files: Vec<PathBuf> = ["README.md", "CHANGELOG.md", "sdk/README.md", "xtask/bench/README.md"].map(PathBuf::from).into();
    for kind in ["plugins", "examples"] {
        let folders = fs::read_dir(root.join(kind)).expect("readable").map(|entry| entry.expect("readable").file_name());
        files.extend(folders.map(|folder| Path::new(kind).join(folder).join("README.md")).filter(|file| root.join(file).exists()));
    }
    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(&file)).expect("readable");
        for link in links(&text).into_iter().filter(|link| !is_elsewhere(link)) {
            let path = link.split_once('#').map_or(&*link, |(path, _)| path);
            if !path.is_empty() && !root.join(file.parent().expect("in a folder")).join(path).exists() {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn ids_are_those_of_mdbook() {
    let ids = headings("# One `two` – three\n## A.b(c)\n## x\n## x\n");
    let expected = ["one-two--three", "abc", "x", "x-1"].map(str::to_owned);
    assert_eq!(ids, expected.into());
}
